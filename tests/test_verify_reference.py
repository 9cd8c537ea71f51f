"""``minigemma verify`` against transformers, on small random checkpoints of every shape."""

import io
import json
import os
import shutil

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("torch")

import torch
from reference import random_model, save
from safetensors.torch import load_file, save_file
from small_models import draw_ids, media_prompt

from minigemma import verify as module
from minigemma.__main__ import main
from minigemma.model import load
from minigemma.streamed_reference import StreamedReference, _Files
from minigemma.trace import Trace
from minigemma.verify import verify

pytestmark = pytest.mark.reference
torch.set_num_threads(1)  # models this small only wait for a second thread


@pytest.mark.parametrize("shape", ["e2b", "e4b", "26b", "31b"])
def test_every_shape_agrees(shape, tmp_path):
    model = random_model(shape, towers=True)
    save(model, tmp_path)
    output = io.StringIO()
    report = verify(tmp_path, *media_prompt(shape, 0), file=output)
    assert report.ok, output.getvalue()
    names = [c.name for c in report.comparisons]
    layers = model.small_config.text.num_hidden_layers
    assert {f"layers.{i}.attention.pattern" for i in range(layers)} <= set(names)
    assert {f"layers.{i}.output" for i in range(layers)} <= set(names)
    assert {f"images.1.layers.{i}.output" for i in (0, 1)} <= set(names)
    assert {"images.0.soft_tokens", "images.1.soft_tokens", "embedding", "final_norm", "logits"} <= set(names)
    assert names[-1] == "end_to_end.logits"
    assert report.comparisons[-1].relative < 1e-4
    assert ("ple.inputs" in names) == ("audio.0.soft_tokens" in names) == shape.startswith("e")
    assert ("layers.0.moe.router_probabilities" in names) == ("layers.0.moe.expert_index" in names) == (shape == "26b")
    assert names.index("layers.0.output") < names.index("layers.1.attention.pattern")
    assert output.getvalue().count("[OK]") == len(names)


@pytest.mark.parametrize("shape", ["e2b", "26b"])
def test_shards_and_bfloat16(shape, tmp_path):
    random_model(shape, towers=True).bfloat16().save_pretrained(tmp_path, max_shard_size="100KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    assert '"dtype": "bfloat16"' in (tmp_path / "config.json").read_text()
    assert verify(tmp_path, *media_prompt(shape, 0), file=io.StringIO()).ok
    streamed = StreamedReference(tmp_path).model
    assert {b.dtype for b in streamed.buffers() if b.is_floating_point()} == {torch.float32}


def test_text_only_checkpoint(tmp_path):
    save(random_model("e2b", causal_lm=True), tmp_path)
    assert verify(tmp_path, draw_ids(30, 1), file=io.StringIO()).ok


@pytest.mark.parametrize(
    ("shape", "damaged", "found"),
    [
        ("e2b", "layers.2.mlp.down_proj.weight", "layers.2.feed_forward.output"),
        ("e2b", "layers.1.layer_scalar", "layers.1.output"),
        ("e2b", "embed_tokens_per_layer.weight", "ple.inputs"),
        ("e4b", "layers.3.self_attn.q_norm.weight", "layers.3.attention.pattern"),
        ("26b", "layers.1.router.scale", "layers.1.moe.router_probabilities"),
        ("26b", "layers.2.experts.down_proj", "layers.2.moe.experts"),
        ("31b", "layers.4.self_attn.o_proj.weight", "layers.4.attention.output"),
        ("31b", "norm.weight", "final_norm"),
        ("31b", "vision_tower.encoder.layers.1.mlp.down_proj.linear.weight", "images.0.layers.1.feed_forward.output"),
        ("26b", "vision_tower.std_scale", "images.0.soft_tokens"),
        ("e2b", "audio_tower.layers.0.lconv1d.depthwise_conv1d.weight", "audio.0.layers.0.convolution.added"),
        ("e2b", "audio_tower.layers.1.norm_out.weight", "audio.0.layers.1.output"),
    ],
)
def test_the_damaged_tensor_is_named(shape, damaged, found, tmp_path, monkeypatch, capsys):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    towers = "tower" in damaged
    save(random_model(shape, towers=towers), whole)
    shutil.copytree(whole, broken)
    tensors = load_file(whole / "model.safetensors")
    tensor = tensors[f"model.{damaged}" if towers else f"model.language_model.{damaged}"]
    tensor *= 1.01
    tensor.view(-1)[::3] *= 0.9
    save_file(tensors, broken / "model.safetensors", {"format": "pt"})

    monkeypatch.setattr(module, "load", lambda directory, memory: load(broken, memory))
    prompt = [] if towers else ["--ids", ",".join(map(str, draw_ids(30, 1)))]  # else a made-up picture and sound
    assert main(["verify", str(whole), *prompt]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].endswith(f"tensors differ; the first: {found}")
    first = next(line for line in lines if line.startswith("[DIFF]"))
    assert first.split()[1] == found
    assert [line for line in lines if "<- the first that differs" in line] == [first]
    found_wrong = [line.split()[1] for line in lines if line.startswith("[DIFF]")]
    assert len(found_wrong) - ("end_to_end.logits" in found_wrong) <= 2, found_wrong  # it is not carried on


def test_the_command_says_0_when_all_agree(tmp_path, capsys):
    save(random_model("31b"), tmp_path)
    assert main(["verify", str(tmp_path)]) == 0  # no tokenizer in it: random ids
    said = capsys.readouterr().out
    assert "random token ids" in said
    assert "tensors agree; largest relative error" in said
    assert main(["verify", str(tmp_path), "--prompt", "Hello"]) == 2
    assert "give token ids instead" in capsys.readouterr().err


def test_only_one_module_is_in_memory(tmp_path):
    """Bytes of real (not meta) parameters whenever a tensor is reported, and when all is over."""
    model = random_model("e2b", towers=True)
    save(model, tmp_path)
    streamed = StreamedReference(tmp_path)
    held = []

    def keep(name, value):
        real = [p for p in streamed.model.parameters() if p.device.type != "meta"]
        held.append(sum(p.untyped_storage().nbytes() for p in real))

    streamed.run(*media_prompt("e2b", 0), keep)
    largest = max(p.nbytes for p in model.parameters())
    assert 0 <= max(held) <= largest
    assert held[-1] < 2000  # what stands in for the embedding tables: one row of zeros each


def test_a_choice_that_rounding_decides_is_no_difference_from_end_to_end(tmp_path, monkeypatch):
    """Our own pass chooses other experts than the reference in one layer, as if two had been equally probable."""
    model = random_model("26b")
    save(model, tmp_path)
    passes, forward = [], module.Gemma4.forward

    def tipped(self, *args, trace=None):
        passes.append(trace)
        if len(passes) == 2:  # the pass from end to end
            others = {"layers.1.moe.expert_index": lambda index: (index + 1) % self.config.text.num_experts}
            trace = Trace(edit=others | ({} if trace is None else trace.edits))
        return forward(self, *args, trace=trace)

    monkeypatch.setattr(module.Gemma4, "forward", tipped)
    report = verify(tmp_path, draw_ids(20, 0), file=io.StringIO())
    assert len(passes) == 2
    assert report.ok
    assert report.comparisons[-1].name == "end_to_end.logits"


def test_a_file_larger_than_memory_is_read(tmp_path):
    """A shard of 50 GB was refused where memory is 24 GB. This one has a hole of 2 TB, which takes no disk."""
    rows = 2**39
    header = {"huge": {"dtype": "BF16", "shape": [rows, 2], "data_offsets": [0, 4 * rows]}}
    path = tmp_path / "model.safetensors"
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    try:
        os.truncate(path, 8 + len(text) + 4 * rows)
    except OSError:
        pytest.skip("this file system has no such large files")
    assert _Files(tmp_path)("huge", slice(rows - 3, rows)).tolist() == 3 * [[0.0, 0.0]]


def test_the_stream_is_the_reference_itself(tmp_path):
    """Reading weights module by module changes nothing: the logits are those of the whole model, bit for bit."""
    model = random_model("e4b")
    save(model, tmp_path)
    ids = draw_ids(30, 1)
    found = {}
    StreamedReference(tmp_path).run(ids, [], [], lambda name, value: found.update({name: value.copy()}))
    with torch.no_grad():
        expected = model(torch.from_numpy(ids)[None]).logits[0].numpy()
    np.testing.assert_allclose(found["logits"], expected, rtol=1e-6, atol=1e-6)
