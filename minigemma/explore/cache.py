"""The KV-cache calculator: variant, context, numbers' width, what global layers keep."""

from __future__ import annotations

from matplotlib.figure import Figure

from minigemma import numbers, plots
from minigemma.config import PRESETS
from minigemma.errors import InputError
from minigemma.explore.base import Explorer, choice, stops
from minigemma.model import Gemma4

K = 1024
WIDTHS = {"bfloat16, 2 bytes": 2.0, "float32, 4 bytes": 4.0, "8 bits": 1.0, "4 bits": 0.5}
CONTEXTS = {f"{n // K}K" if n >= K else str(n): n for n in (2**i for i in range(9, 19))}


def cache_calculator(model: Gemma4 | None = None, variant: str = "E2B") -> Explorer:
    """Bytes of a full cache for a released model (or ``model``): on its curve, and step by step from plain attention.

    A context longer than the model reads is cut to its longest.
    """
    texts = {name: config.text for name, config in PRESETS.items()}
    if model is not None:
        texts["the loaded model"] = model.config.text

    def draw(variant, context, bytes_per_number, keep) -> Figure:
        text = texts[variant]
        if keep != "keys and values" and not text.attention_k_eq_v:
            raise InputError(
                f"{variant} makes its values with a projection of their own, so both tensors must be kept."
            )
        context = min(context, text.max_position_embeddings)
        return plots.cache_calculator(text, context, bytes_per_number, keep, name=variant)

    controls = {
        "variant": choice("model", list(texts), variant),
        "context": stops("context", CONTEXTS, 32 * K),
        "bytes_per_number": choice("a number takes", WIDTHS),
        "keep": choice("global layers keep", list(numbers.KEEP)),
    }
    return Explorer(draw, controls)
