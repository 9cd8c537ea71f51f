"""Explorers for notebooks: a few controls over one picture of ``minigemma.plots``, for any checkpoint.

The frame, for whoever adds one (one file an idea, one function an explorer, a line below):

- ``Explorer(draw, controls)``: ``controls`` are named widgets, made by ``slider``, ``stops``, ``choice``, ``text`` and
  ``toggle``; ``draw`` gets their values under these names and returns a Figure. An error is shown in the picture's
  place: raise ``InputError`` for what a reader can mend. ``adapt`` fits controls to one another
  (``end_at``: a slider's end to the text's length); ``beside=[play(slider)]`` adds a button that runs a slider.
- ``Reader(model, "layers.*.attention.pattern")``: called with a text it returns tokens and trace; one forward pass a
  text, kept for the moves that follow.
- ``source(function)``: the source of anything in the package, shown in a notebook.

>>> def clocks(frequencies):
...     def draw(position):
...         return plots.clock_faces(frequencies, position)
...     return Explorer(draw, {"position": slider("position", 0, 511)})
"""

from minigemma.explore.attention import attention_heads
from minigemma.explore.base import Explorer, Reader, Reading, choice, end_at, play, slider, stops, text, toggle
from minigemma.explore.budget import budget_calculator
from minigemma.explore.cache import cache_calculator
from minigemma.explore.layer import layer_player
from minigemma.explore.lens import logit_lens
from minigemma.explore.patches import patch_viewer
from minigemma.explore.ple import ple_switches, ple_vectors
from minigemma.explore.rope import angle_map, rotation_clocks
from minigemma.explore.router import router_player
from minigemma.explore.sampler import sampler
from minigemma.explore.senses import three_senses
from minigemma.explore.sharing import key_readers, sharing_layers
from minigemma.explore.sound import conformer_heads, sound_lengths, sound_viewer
from minigemma.explore.sound_input import sound_choice
from minigemma.explore.source import source
from minigemma.explore.upload import picture_upload
from minigemma.explore.validation import error_growth
from minigemma.explore.whatif import what_if, what_if_picture
from minigemma.explore.window import moving_window, window_masks

__all__ = [
    "Explorer",
    "Reader",
    "Reading",
    "angle_map",
    "attention_heads",
    "budget_calculator",
    "cache_calculator",
    "choice",
    "conformer_heads",
    "end_at",
    "error_growth",
    "key_readers",
    "layer_player",
    "logit_lens",
    "moving_window",
    "patch_viewer",
    "picture_upload",
    "play",
    "ple_switches",
    "ple_vectors",
    "rotation_clocks",
    "router_player",
    "sampler",
    "sharing_layers",
    "slider",
    "sound_choice",
    "sound_lengths",
    "sound_viewer",
    "source",
    "stops",
    "text",
    "three_senses",
    "toggle",
    "what_if",
    "what_if_picture",
    "window_masks",
]
