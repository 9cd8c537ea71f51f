"""The logit lens: read the residual stream out after any layer, as if the model ended there.

A vector of the stream goes through the final norm and the tied head, as the last layer's does. Only that last one was
trained to be read in this way, so what comes out earlier is a hint, not the model's opinion. Sources: nostalgebraist
2020, "interpreting GPT: the logit lens"; Belrose et al. 2023, "Eliciting Latent Predictions with the Tuned Lens".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minigemma.model import Gemma4
from minigemma.ops import rms_norm, softmax

TRACED = ("embedding", "layers.*.output")  # the names a trace must record


def streams(model: Gemma4, trace: Mapping[str, np.ndarray]) -> np.ndarray:
    """The residual stream as it enters layer 0, then after every layer: (L + 1, T, D)."""
    return np.stack([trace["embedding"], *(trace[f"layers.{spec.index}.output"] for spec in model.schedule)])


def read_out(model: Gemma4, x: np.ndarray) -> np.ndarray:
    """Vectors of the stream (T, D) -> probabilities of the next token (T, V): final norm, tied head, softmax."""
    x = rms_norm(x, model.text_weights["norm.weight"], model.config.text.rms_norm_eps)
    return softmax(model.logits(x))


def ranks(probabilities: np.ndarray, token: int) -> np.ndarray:
    """The place of one token in every row of (T, V), the likeliest being 1: (T,)."""
    return 1 + np.count_nonzero(probabilities > probabilities[:, token, None], axis=-1)
