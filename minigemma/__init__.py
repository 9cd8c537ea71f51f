"""minigemma: Google's Gemma 4 family in plain NumPy, to be read, taught and looked at."""

from minigemma import audio, vision
from minigemma.config import PRESETS, Config
from minigemma.conversation import Conversation
from minigemma.errors import CheckpointError, ConfigError, InputError, MinigemmaError, TokenizerError
from minigemma.model import Gemma4, default_checkpoint, load, shipped_names
from minigemma.prompt import Prompt, answer_text, make_prompt
from minigemma.tokenizer import Tokenizer
from minigemma.trace import Trace

__all__ = [
    "PRESETS",
    "CheckpointError",
    "Config",
    "ConfigError",
    "Conversation",
    "Gemma4",
    "InputError",
    "MinigemmaError",
    "Prompt",
    "Tokenizer",
    "TokenizerError",
    "Trace",
    "answer_text",
    "audio",
    "default_checkpoint",
    "load",
    "make_prompt",
    "shipped_names",
    "vision",
]
