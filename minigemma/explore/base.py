"""An explorer: a few labelled controls over one picture. The controls choose the arguments of a plot, nothing more."""

from __future__ import annotations

import base64
import html
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import ipywidgets as widgets
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from minigemma.errors import InputError, MinigemmaError
from minigemma.model import Gemma4
from minigemma.plots.style import slim
from minigemma.trace import Trace

DPI = 80  # drawn on every move of a slider, so no larger than a screen needs
LONGEST = 256  # tokens of a typed text that are read: patterns of all layers and heads are kept


class Explorer(widgets.VBox):
    """Controls by argument name, and the picture that ``draw(**values)`` returns for them.

    The picture is redrawn when a control changes. An error is shown in its place, in words; an unexpected one is also
    raised, so that tests see it. The first picture is kept as a still image for readers without a kernel.
    note: a line above. beside: widgets in the controls' row that are no argument, such as ``play``.
    adapt: called with the controls before each drawing, to fit one to another; it may set their ends and values.
    """

    def __init__(
        self,
        draw: Callable[..., Figure],
        controls: Mapping[str, widgets.Widget],
        note: str = "",
        beside: Sequence[widgets.Widget] = (),
        adapt: Callable[[Mapping[str, widgets.Widget]], None] | None = None,
    ):
        self.draw, self.controls, self.adapt, self._adapting = draw, dict(controls), adapt, False
        self.picture = widgets.Image(format="png", layout=widgets.Layout(max_width="100%", object_fit="contain"))
        self.message = widgets.HTML()
        row = widgets.Layout(flex_flow="row wrap", align_items="center")
        self.redraw()
        parts = [widgets.Box([*self.controls.values(), *beside], layout=row), self.message, self.picture]
        super().__init__([widgets.HTML(note), *parts] if note else parts)
        for control in self.controls.values():
            control.observe(self.redraw, "value")

    def values(self) -> dict[str, Any]:
        """What the controls stand at."""
        return {name: control.value for name, control in self.controls.items()}

    def redraw(self, *_: Any) -> None:
        """Draw for the present values; called by every control."""
        if self._adapting:  # the controls are being fitted to one another; what they come to is drawn once
            return
        try:
            self._fit()
            self.picture.value = png(self.draw(**self.values()))
            self.message.value = ""
        except MinigemmaError as error:  # what the reader asked for cannot be: say so where they look
            self.message.value = _alert(str(error))
        except Exception as error:
            self.message.value = _alert(f"{type(error).__name__}: {error}")
            raise

    def _fit(self) -> None:
        if self.adapt is not None:
            self._adapting = True
            try:
                self.adapt(self.controls)
            finally:
                self._adapting = False

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle = super()._repr_mimebundle_(**options)
        still = {"image/png": base64.b64encode(self.picture.value).decode()}
        return {**bundle, **still} if isinstance(bundle, dict) else ({**bundle[0], **still}, *bundle[1:])


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """A Figure as the bytes of a PNG, without pyplot, so that nothing stays open."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # once, where savefig draws twice
    return slim(Image.fromarray(np.asarray(canvas.buffer_rgba())))


def _alert(text: str) -> str:
    return f'<div role="alert" style="color:#b00020;padding:4px 0">{html.escape(text)}</div>'


class Reading(NamedTuple):
    """What a model made of a text."""

    tokens: list[str]  # labels, the first is the one every text begins with
    trace: Trace
    note: str  # "" or what was left out


class Reader:
    """Reads texts with a model, recording the tensors named; the last few are kept, so a control's move costs nothing.

    names: as ``Trace`` takes them. Texts longer than ``longest`` tokens are cut, and the reading's ``note`` says so.
    """

    def __init__(self, model: Gemma4, *names: str, longest: int = LONGEST, keep: int = 4):
        self.model, self.names, self.longest, self.keep = model, names, longest, keep
        self._readings: OrderedDict[str, Reading] = OrderedDict()

    def __call__(self, text: str) -> Reading:
        """Tokens and trace of a text; InputError when there is none."""
        if not text.strip():
            raise InputError("There is no text to read: type a word or two.")
        if text not in self._readings:
            self._readings[text] = self._read(text)
        self._readings.move_to_end(text)
        while len(self._readings) > self.keep:
            self._readings.popitem(last=False)
        return self._readings[text]

    def _read(self, text: str) -> Reading:
        tokenizer = self.model.tokenizer
        ids = [self.model.config.text.bos_token_id, *tokenizer.encode(text)]
        note = f"The first {self.longest} of {len(ids)} tokens." if len(ids) > self.longest else ""
        ids, trace = ids[: self.longest], Trace(*self.names)
        self.model.forward(ids, trace=trace, last_only=False)
        return Reading(tokenizer.tokens(ids), trace, note)


def slider(name: str, low: int, high: int, value: int | None = None, step: int = 1) -> widgets.IntSlider:
    """A whole number between two ends; the picture follows while it is dragged."""
    return widgets.IntSlider(value=low if value is None else value, min=low, max=high, step=step, **_style(name))


def end_at(control: widgets.IntSlider, last: int) -> None:
    """Give a slider another end; one that stands at its end stays there: the last token of another text."""
    at_end = control.value == control.max
    control.max = last
    control.value = last if at_end else control.value


def choice(name: str, options: Any, value: Any = None) -> widgets.Dropdown:
    """One of several: a list, or {what is shown: what is meant}."""
    entries = list(options.items()) if isinstance(options, Mapping) else list(options)
    chosen = value if value is not None else (entries[0][1] if isinstance(entries[0], tuple) else entries[0])
    return widgets.Dropdown(options=entries, value=chosen, **_style(name))


def stops(name: str, options: Mapping[str, Any], value: Any = None) -> widgets.SelectionSlider:
    """A slider over named stops: {what is shown: what is meant}."""
    entries = list(options.items())
    chosen = entries[0][1] if value is None else value
    return widgets.SelectionSlider(options=entries, value=chosen, **_style(name))


def text(name: str, value: str, rows: int = 1) -> widgets.Text | widgets.Textarea:
    """Words the reader types; the picture follows on Enter or when the field is left."""
    kind = widgets.Text if rows == 1 else widgets.Textarea
    options = {} if rows == 1 else {"rows": rows}
    style = _style(name) | {"layout": widgets.Layout(width="95%")}
    return kind(value=value, continuous_update=False, **options, **style)


def toggle(name: str, value: bool = False) -> widgets.Checkbox:
    """Yes or no."""
    return widgets.Checkbox(value=value, description=name, indent=False, layout=widgets.Layout(width="auto"))


def play(control: widgets.IntSlider, interval: int = 400) -> widgets.Play:
    """A button that runs a slider from end to end, a step every ``interval`` milliseconds; goes ``beside`` it."""
    button = widgets.Play(
        value=control.value, min=control.min, max=control.max, step=control.step, interval=interval, show_repeat=False
    )
    for end in ("max", "value"):  # the end first: it may move with the reader's text
        widgets.jslink((control, end), (button, end))
    return button


def _style(name: str) -> dict[str, Any]:
    return {"description": name, "style": {"description_width": "initial"}}
