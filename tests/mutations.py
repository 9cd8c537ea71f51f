"""Does a test notice? Break one rule of Gemma 4 at a time in a copy of the package, and see the tests go red.

    python tests/mutations.py [NAME ...]

Runs the tests of the decoder that need no torch on each broken copy and prints how many comparisons with the stored
outputs of the reference failed, and the first unit test that did. Every line must say "red". Not collected by pytest;
about ten minutes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
GOLDEN = ["test_text_golden.py"]
UNITS = [
    f"test_{name}.py" for name in ("ops", "interleaving", "rope", "attention", "cache", "moe", "ple", "model", "laws")
]


class Mutation(NamedTuple):
    """One rule, and the edit that breaks it: the text that stands in a module, and what is put in its place."""

    rule: str
    module: str
    right: str
    wrong: str


MUTATIONS = [
    Mutation(
        "scores are not scaled by 1/sqrt(K)",
        "attention.py",
        "queries *= spec.attention_scale",
        "queries *= spec.head_dim**-0.5",
    ),
    Mutation("the window counts the token itself", "interleaving.py", "positions - window + 1", "positions - window"),
    Mutation(
        "images see themselves whole in local layers",
        "decoder.py",
        "block_end if spec.is_local else None",
        "None",
    ),
    Mutation(
        "global layers stay causal inside images",
        "decoder.py",
        "block_end if spec.is_local else None",
        "block_end",
    ),
    Mutation(
        "the window bounds the past inside an image too",
        "interleaving.py",
        "is None else np.maximum(positions - window + 1, 0)",
        "is None else np.where(positions == (positions if block_end is None else block_end), "
        "np.maximum(positions - window + 1, 0), 0)",
    ),
    Mutation(
        "values are the raw key projection, before its norm",
        "attention.py",
        "values = projected if",
        "values = rms_norm(projected, weights['k_norm.weight'], eps) if",
    ),
    Mutation(
        "values are never rotated",
        "attention.py",
        "values = rms_norm(values, None, eps) if spec.value_norm else values",
        "values = rms_norm(values, None, eps)\n    values = rotate(values, rotation) if spec.k_eq_v else values",
    ),
    Mutation(
        "values are normed",
        "attention.py",
        "values = rms_norm(values, None, eps) if spec.value_norm else values",
        "pass",
    ),
    Mutation(
        "keys are normed before they turn",
        "attention.py",
        'rms_norm(projected, weights["k_norm.weight"], eps)',
        "projected * weights['k_norm.weight']",
    ),
    Mutation(
        "pairs are half a head apart",
        "rope.py",
        "a, b = x[..., :half], x[..., half:]",
        "a, b = x[..., ::2], x[..., 1::2]",
    ),
    Mutation(
        "p-RoPE keeps the whole width in its exponent",
        "rope.py",
        "dtype=np.float32) / head_dim)",
        "dtype=np.float32) / (head_dim * fraction))",
    ),
    Mutation("only a quarter of the pairs turns in global layers", "rope.py", "int(fraction * pairs)", "pairs"),
    Mutation(
        "each kind of layer has its own theta",
        "interleaving.py",
        "config.rope_theta_local if kind == LOCAL else config.rope_theta_global",
        "config.rope_theta_local",
    ),
    Mutation(
        "a layer shares the keys of its own kind",
        "interleaving.py",
        "max((i for i in range(shared) if kinds[i] == kind), default=-1)",
        "shared - 1",
    ),
    Mutation(
        "of the layers of its kind, the last one is shared",
        "interleaving.py",
        "max((i for i in range(shared) if kinds[i] == kind), default=-1)",
        "min((i for i in range(shared) if kinds[i] == kind), default=-1)",
    ),
    Mutation(
        "a shared local layer reads all keys of this pass, not what the cache keeps",
        "decoder.py",
        "self.keys_values[layer] = found",
        "gone = max(len(found[0]) - 5, 0) if layer == 6 else 0\n"  # the small E2B: window 5, shared layer 6
        "            self.keys_values[layer] = (found[0][gone:], found[1][gone:], found[2] + gone)",
    ),
    Mutation(
        "the cache keeps a whole window",
        "cache.py",
        "max(self._kept[layer][0], self.length - window)",
        "max(self._kept[layer][0], self.length - window + 2)",
    ),
    Mutation(
        "layers that share are double-wide",
        "interleaving.py",
        "config.use_double_wide_mlp and i >= shared",
        "config.use_double_wide_mlp",
    ),
    Mutation(
        "the layer scalar multiplies the whole stream, not a branch",
        "decoder.py",
        'watch("before_scalar", x) * weights["layer_scalar"]',
        "x + (weights['layer_scalar'] - 1) * rms_norm(f, weights['post_feedforward_layernorm.weight'], eps)",
    ),
    Mutation(
        "there is a layer scalar",
        "decoder.py",
        'watch("before_scalar", x) * weights["layer_scalar"]',
        'watch("before_scalar", x)',
    ),
    Mutation(
        "a branch is normed again before it is added",
        "decoder.py",
        'rms_norm(a, weights["post_attention_layernorm.weight"], eps)',
        "a",
    ),
    Mutation("the factor of a norm is its weight", "ops.py", "normed *= weight", "normed *= 1 + weight"),
    Mutation(
        "eps stands inside the root", "ops.py", "x / np.sqrt(mean_square + eps)", "x / (np.sqrt(mean_square) + eps)"
    ),
    Mutation(
        "the router reads the residual stream through its own norm",
        "decoder.py",
        'route(x, weights.under("router.")',
        'route(rms_norm(x, weights["pre_feedforward_layernorm.weight"], eps), weights.under("router.")',
    ),
    Mutation("the router divides by sqrt(D)", "moe.py", " * np.float32(x.shape[-1] ** -0.5)", ""),
    Mutation("the router has a scale", "moe.py", 'rms_norm(x, None, eps) * weights["scale"]', "rms_norm(x, None, eps)"),
    Mutation(
        "an expert's own scale comes after renormalising",
        "moe.py",
        "weight /= weight.sum(axis=-1, keepdims=True)",
        'weight = weight * weights["per_expert_scale"][index]\n'
        "    weight /= weight.sum(axis=-1, keepdims=True) * weights['per_expert_scale'][index]",
    ),
    Mutation("chosen probabilities are renormalised", "moe.py", "weight /= weight.sum(axis=-1, keepdims=True)", "pass"),
    Mutation(
        "the gate is the first half of gate_up",
        "moe.py",
        "gelu(gate_up[:, :width]) * gate_up[:, width:]",
        "gelu(gate_up[:, width:]) * gate_up[:, :width]",
    ),
    Mutation(
        "experts have an input norm of their own",
        "decoder.py",
        "pre_feedforward_layernorm_2.weight",
        "pre_feedforward_layernorm.weight",
    ),
    Mutation("the dense branch runs beside the experts", "decoder.py", "return dense + chosen", "return chosen"),
    Mutation(
        "the two branches have norms 1 and 2",
        "decoder.py",
        '(dense, weights["post_feedforward_layernorm_1.weight"]',
        '(dense, weights["post_feedforward_layernorm_2.weight"]',
    ),
    Mutation("per-layer embeddings are scaled by sqrt(P)", "ple.py", "token *= math.sqrt(token.shape[-1])", "pass"),
    Mutation("their context part is scaled by 1/sqrt(D)", "ple.py", "context *= D**-0.5", "pass"),
    Mutation("their two parts are divided by sqrt(2)", "ple.py", "inputs *= 2**-0.5", "pass"),
    Mutation(
        "their table lies layer by layer",
        "ple.py",
        ".reshape(T, layers, -1)  # (T, L, P)",
        ".reshape(T, -1, layers).swapaxes(1, 2)",
    ),
    Mutation(
        "the gate is activated before it is multiplied",
        "ple.py",
        'watch("gate", gelu(linear(x, weights["per_layer_input_gate.weight"])))',
        'linear(x, weights["per_layer_input_gate.weight"])',
    ),
    Mutation(
        "where a soft token stands, the pad row is looked up",
        "model.py",
        "plain_ids = np.where(is_image | is_audio, self.config.text.pad_token_id, ids)",
        "plain_ids = ids",
    ),
    Mutation(
        "soft tokens are not scaled",
        "model.py",
        "x[where] = np.concatenate(soft)",
        "x[where] = np.concatenate(soft) * np.float32(x.shape[-1] ** 0.5)",
    ),
    Mutation(
        "embeddings are scaled by sqrt(D)",
        "model.py",
        "x = x * np.float32(math.sqrt(self.config.text.hidden_size))",
        "pass",
    ),
    Mutation(
        "logits are softly capped",
        "model.py",
        "soft_cap(logits, self.config.text.final_logit_softcapping, out=logits)",
        "pass",
    ),
    Mutation(
        "GELU is the tanh form",
        "ops.py",
        "np.tanh(inner, out=inner)",
        "import scipy.special; inner[...] = scipy.special.erf(x / np.float32(2**0.5))",
    ),
]


def copy_project(directory: Path) -> None:
    """The package and its tests, without what other parts of it ship."""
    shutil.copytree(
        ROOT / "minigemma", directory / "minigemma", ignore=shutil.ignore_patterns("__pycache__", "shipped")
    )
    shutil.copytree(ROOT / "tests", directory / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", directory)


def failures(directory: Path, tests: list[str], *options: str) -> list[str]:
    """The tests that fail in a copy of the project."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", *options]
    run = subprocess.run(
        [*command, *(f"tests/{test}" for test in tests)],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(directory), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    found = re.findall(r"^(?:FAILED|ERROR) tests/(\S+)", run.stdout, re.M)
    if run.returncode not in (0, 1) and not found:
        sys.exit(f"pytest did not run:\n{run.stdout[-3000:]}{run.stderr[-3000:]}")
    return found


def main() -> int:
    chosen = [m for m in MUTATIONS if not sys.argv[1:] or any(word in m.rule for word in sys.argv[1:])]
    green = []
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        copy_project(directory)
        if broken := failures(directory, GOLDEN + UNITS):
            sys.exit(f"the tests fail before anything is broken: {broken}")
        for mutation in chosen:
            file = directory / "minigemma" / mutation.module
            text = file.read_text()
            if text.count(mutation.right) != 1:
                sys.exit(f"{mutation.module} has not once: {mutation.right}")
            file.write_text(text.replace(mutation.right, mutation.wrong))
            by_golden, by_units = failures(directory, GOLDEN), failures(directory, UNITS, "-x")
            file.write_text(text)
            colour = "red  " if by_golden or by_units else "GREEN"
            noticed = f"{len(by_golden):>2} goldens, {by_units[0] if by_units else 'no unit test'}"
            print(f"{colour}  {mutation.rule:<76}  {noticed}", flush=True)
            green += [] if by_golden or by_units else [mutation.rule]
    print(f"{len(chosen) - len(green)} of {len(chosen)} red")
    return 1 if green else 0


if __name__ == "__main__":
    sys.exit(main())
