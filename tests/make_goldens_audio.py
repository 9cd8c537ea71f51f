"""Remake tests/goldens/audio.npz with the reference extra installed: ``python tests/make_goldens_audio.py``.

Also the workshop of test_audio_reference.py: sounds that need no file, reference towers whose every tensor is random.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

import minigemma
from minigemma import audio
from minigemma.config import AudioConfig

GOLDENS = Path(__file__).parent / "goldens" / "audio.npz"
RECORDED = Path(minigemma.__file__).parent / "shipped" / "samples" / "recorded.wav"  # a sentence, read aloud

# Small, and different from the released tower in every number, so that nothing is right by accident.
SMALL = AudioConfig(
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    subsampling_conv_channels=(16, 6),  # the reference takes the first as the number of mel bins, too
    conv_kernel_size=3,
    residual_weight=0.4,
    attention_chunk_size=4,
    attention_context_left=5,
    attention_logit_cap=3.0,
    gradient_clipping=2.5,  # bites
    rms_norm_eps=1e-3,
    output_proj_dims=20,
)


def sounds() -> dict[str, np.ndarray]:
    """Waveforms at 16 kHz, made from formulas alone."""
    t = np.arange(5_000) / 16_000
    noise = np.random.default_rng(7).standard_normal(4_321)
    return {
        name: wave.astype(np.float32)
        for name, wave in {
            "chirp": 0.5 * np.sin(2 * np.pi * (100 + 12_000 * t) * t),
            "vowel": sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 30)) * np.hanning(len(t)) * 0.3,
            "noise": 0.1 * noise,
            "clipped": np.clip(3 * noise, -1, 1),
            "click": np.eye(1, 2_000, 700)[0],
            "silence": np.zeros(1_000),
        }.items()
    }


def reference_config(config: AudioConfig):
    from transformers.models.gemma4.configuration_gemma4 import Gemma4AudioConfig

    fields = {name: getattr(config, name) for name in AudioConfig.__dataclass_fields__}
    return Gemma4AudioConfig(**fields, attn_implementation="eager")


def random_module(module, seed: int):
    """Fill every parameter and stored buffer at random; clip bounds are finite and bite."""
    import torch

    rng = np.random.default_rng(seed)
    state = {}
    for name, tensor in module.state_dict().items():
        shape = tuple(tensor.shape)
        if name.endswith("_min") or name.endswith("_max"):
            value = (-1 if name.endswith("_min") else 1) * rng.uniform(0.7, 1.6)
        elif "norm" in name:
            value = 1 + 0.3 * rng.standard_normal(shape)
        elif name.endswith(("per_dim_scale", "bias")):
            value = rng.standard_normal(shape)
        else:
            value = rng.standard_normal(shape, np.float32) * (1.5 / np.sqrt(max(1, np.prod(shape[1:]))))
        value = np.asarray(value, np.float32)
        if value.size < 1e5:  # stored goldens are in half precision
            value = value.astype(np.float16).astype(np.float32)
        state[name] = torch.from_numpy(value)
    module.load_state_dict(state)
    return module.eval()


def reference_tower(config: AudioConfig, seed: int = 0):
    from transformers.models.gemma4.modeling_gemma4 import Gemma4AudioModel

    return random_module(Gemma4AudioModel(reference_config(config)), seed)


def arrays(module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in module.state_dict().items()}


def run_reference(tower, mel: np.ndarray, mask: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Outputs of the tower's parts for one spectrogram, valid tokens only, under the names our trace uses."""
    import torch

    parts: dict[str, np.ndarray] = {}

    def keep(name, change=lambda output: output):
        def hook(module, inputs, output):
            output = output[0] if isinstance(output, tuple) else output
            parts[name] = change(output)[0].numpy().copy()  # the reference goes on in place

        return hook

    sub = tower.subsample_conv_projection
    hooks = [sub.register_forward_hook(keep("subsampling.output"))]
    for i in range(2):
        stage = getattr(sub, f"layer{i}")
        hooks.append(stage.register_forward_hook(keep(f"subsampling.conv{i}", lambda x: x.permute(0, 2, 3, 1))))
    for i, layer in enumerate(tower.layers):
        hooks.append(layer.register_forward_hook(keep(f"layers.{i}.output")))
        hooks.append(layer.self_attn.register_forward_hook(keep(f"layers.{i}.attention.output")))
        hooks.append(layer.norm_post_attn.register_forward_hook(keep(f"layers.{i}.attention.added")))
    mask = np.ones(len(mel), bool) if mask is None else mask
    with torch.no_grad():
        output = tower(torch.from_numpy(mel)[None], torch.from_numpy(mask)[None])
    for hook in hooks:
        hook.remove()
    parts["output_projection"] = output.last_hidden_state[0].numpy()
    kept = int(output.attention_mask[0].sum())
    rows = {"subsampling.conv0": -(-int(mask.sum()) // 2)}
    return {name: value[: rows.get(name, kept)] for name, value in parts.items()}


@functools.cache
def extractor():
    from transformers.models.gemma4.feature_extraction_gemma4 import Gemma4AudioFeatureExtractor

    return Gemma4AudioFeatureExtractor()


def reference_mel(*waveforms: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The reference's spectrograms of a padded batch, and its masks of valid frames."""
    features = extractor()([np.asarray(w) for w in waveforms], return_tensors="np")
    return list(features["input_features"]), [m.astype(bool) for m in features["input_features_mask"]]


def main() -> None:
    goldens = {}
    for name, wave in sounds().items():
        (mel,), (mask,) = reference_mel(wave)
        goldens[f"mel.{name}"] = mel[mask]
    (mel,), (mask,) = reference_mel(audio.load(RECORDED)[0])
    goldens["mel.recorded"] = mel[mask][::16]
    tower = reference_tower(SMALL)
    goldens |= {f"weights.{name}": value.astype(np.float16) for name, value in arrays(tower).items()}
    mel = np.random.default_rng(1).standard_normal((71, 16)).astype(np.float16).astype(np.float32)
    goldens["tower.mel"] = mel.astype(np.float16)
    goldens |= {f"tower.{name}": value for name, value in run_reference(tower, mel).items()}
    GOLDENS.parent.mkdir(exist_ok=True)
    np.savez_compressed(GOLDENS, **goldens)
    print(f"{GOLDENS}: {GOLDENS.stat().st_size / 1e3:.0f} kB, {len(goldens)} arrays")


if __name__ == "__main__":
    main()
