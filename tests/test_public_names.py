"""What ``import minigemma`` gives, and what it does not load."""

import inspect
import subprocess
import sys

import minigemma as mg

NAMES = [
    "PRESETS", "CheckpointError", "Config", "ConfigError", "Conversation", "Gemma4", "InputError", "MinigemmaError",
    "Prompt", "Tokenizer", "TokenizerError", "Trace", "answer_text", "audio", "default_checkpoint", "load",
    "make_prompt", "shipped_names", "vision",
]  # fmt: skip


def test_the_public_names():
    assert mg.__all__ == NAMES
    assert all(hasattr(mg, name) for name in NAMES)


def test_the_arguments_that_checks_outside_the_repository_give():
    parameters = lambda function: list(inspect.signature(function).parameters)  # noqa: E731
    assert parameters(mg.load) == ["path", "memory"]
    assert parameters(mg.Gemma4.forward)[1:] == ["token_ids", "images", "audio", "cache", "trace", "last_only"]
    generate = ["token_ids", "max_new_tokens", "images", "audio", "temperature", "top_k", "top_p", "seed", "stop"]
    assert parameters(mg.Gemma4.generate)[1:10] == generate
    assert parameters(mg.Gemma4.encode_image)[1:3] == ["patches", "positions"]
    assert parameters(mg.Gemma4.encode_audio)[1:2] == ["mel"]
    assert parameters(mg.vision.prepare) == ["image", "soft_tokens"]
    assert parameters(mg.audio.log_mel)[1:] == ["sample_rate"]
    assert set(["encode", "decode", "tokens", "apply_chat", "expand_placeholders", "stream"]) <= set(dir(mg.Tokenizer))
    assert inspect.signature(mg.Gemma4.generate).parameters["temperature"].default == 0.0


def test_errors_have_one_base():
    errors = [mg.ConfigError, mg.CheckpointError, mg.TokenizerError, mg.InputError]
    assert all(issubclass(error, mg.MinigemmaError) for error in errors)


def test_importing_it_is_cheap():
    heavy = {"matplotlib", "scipy", "PIL", "jinja2", "tqdm", "ipywidgets", "torch", "transformers", "tokenizers"}
    code = f"import sys, minigemma; print(*{heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
