"""Prompts with pictures, videos and sounds; conversations that keep their cache give what reading anew would give."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import draw_weights, small_config
from small_tokenizers import tokenizer_json, write

import minigemma as mg
from minigemma.checkpoint import Weights
from minigemma.parameters import tensor_shapes

TEMPLATE = (Path(__file__).parent.parent / "training" / "chat_template.jinja").read_text(encoding="utf-8")
IDS = ("image", "audio", "video", "boi", "eoi", "boa", "eoa")
QUIET = {"max_new_tokens": 6, "stop": ()}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> mg.Gemma4:
    """E2B's shape with eyes and ears; its window of 5 is shorter than any turn."""
    directory = write(tmp_path_factory.mktemp("model"), tokenizer_json(known="Hi"), None, TEMPLATE)
    tokenizer = mg.Tokenizer.from_directory(directory)
    size = len(tokenizer)
    config = small_config(
        "e2b", towers=True, vocab_size=size, vocab_size_per_layer_input=size, max_position_embeddings=2048
    )
    ids = {f"{name}_token_id": tokenizer.special(f"{name}_token") for name in IDS}
    eyes = dataclasses.replace(config.vision, position_embedding_size=128)  # for long pictures
    config = dataclasses.replace(
        config, vision=eyes, **ids, eos_token_ids=(tokenizer.id("<turn|>"),), default_soft_tokens=70
    )
    weights = Weights.of(draw_weights(tensor_shapes(config), 3))
    return mg.Gemma4(config, weights.under("model."), directory)


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def sound(seconds: float, seed: int = 0) -> tuple[np.ndarray, int]:
    return np.random.default_rng(seed).normal(0, 0.1, int(16_000 * seconds)).astype(np.float32), 16_000


def entries(model: mg.Gemma4, ids) -> str:
    return "".join(map(model.tokenizer.token, ids))


# prompts


def test_one_turn(model):
    prompt = mg.make_prompt(model, "Hi", system="light", thinking=True)
    text = "<bos><|turn>system\n<|think|>light<turn|>\n<|turn>user\nHi<turn|>\n<|turn>model\n"
    assert model.tokenizer.decode(prompt.token_ids) == text
    assert (prompt.images, prompt.audio) == ([], [])


def test_pictures_and_sounds_stand_before_the_text(model):
    prompt = mg.make_prompt(model, "Hi", [picture(96, 48), picture(48, 144)], [sound(0.5)])
    soft = [len(positions) // 9 for _, positions in prompt.images]
    assert max(soft) <= 70  # the checkpoint's budget
    heard = model.encode_audio(prompt.audio[0]).shape[0]
    expected = "".join(f"<|image>{'<|image|>' * n}<image|>" for n in soft) + f"<|audio>{'<|audio|>' * heard}<audio|>"
    assert entries(model, prompt.token_ids) == f"<bos><|turn>user\n{expected}Hi<turn|>\n<|turn>model\n"
    assert np.isfinite(model.forward(**prompt._asdict(), last_only=True)).all()


def test_everything_that_can_be_an_image_or_a_sound(model, tmp_path):
    array = picture(96, 96)
    Image.fromarray(array).save(tmp_path / "a.png")
    given = [
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        (tmp_path / "a.png").read_bytes(),
        Image.fromarray(array),
        array,
    ]
    prompts = [mg.make_prompt(model, "Hi", [one]) for one in given]
    for prompt in prompts:
        assert prompt.token_ids == prompts[0].token_ids
        np.testing.assert_array_equal(prompt.images[0][0], prompts[0].images[0][0])


def test_the_budget_of_soft_tokens(model):
    small, large = (mg.make_prompt(model, "Hi", [picture(480, 480)], soft_tokens=n) for n in (70, 140))
    assert len(small.token_ids) < 70 + 20 < len(large.token_ids)


def test_a_video_is_frames_with_a_clock(model):
    video = mg.vision.prepare_video([picture(96, 96, seed) for seed in range(2)], fps=1)
    prompt = mg.make_prompt(model, "Hi", [picture(48, 48), video])
    text = model.tokenizer.decode(prompt.token_ids).replace("<|video|>", "v").replace("<|image|>", "i")
    soft = [len(positions) // 9 for _, positions in prompt.images]
    frames = " ".join(f"00:0{i} <|image>{'v' * n}<image|>" for i, n in enumerate(soft[1:]))
    assert text == f"<bos><|turn>user\n<|image>{'i' * soft[0]}<image|>{frames}Hi<turn|>\n<|turn>model\n"
    assert np.isfinite(model.forward(**prompt._asdict(), last_only=True)).all()


@pytest.mark.parametrize("images", ["cat.png", b"..", Path("cat.png")])
def test_one_picture_is_still_a_list(model, images):
    with pytest.raises(mg.InputError, match="give a list"):
        mg.make_prompt(model, "Hi", images)
    with pytest.raises(mg.InputError, match="give a list"):
        mg.make_prompt(model, "Hi", audio=images)


@pytest.mark.parametrize(
    ("text", "message"), [("<|image|> Hi", r"2 <\|image\|>, but 1"), ("<|video|>", r"1 <\|video\|>")]
)
def test_placeholders_in_what_a_user_types_are_counted(model, text, message):
    with pytest.raises(mg.InputError, match=message):
        mg.make_prompt(model, text, [picture(48, 48)])


def test_an_answer_is_read_without_special_tokens_but_with_the_marks_of_thoughts(model):
    ids = model.tokenizer.encode("<|channel>thought\nhm<channel|>light<turn|><pad>光<eos>")
    pieces = list(mg.answer_text(model.tokenizer, iter(ids)))
    assert "".join(pieces) == "<|channel>thought\nhm<channel|>light光"


# conversations


def anew(model: mg.Gemma4, turns: list[tuple], system: str | None = None, **sampling) -> list[str]:
    """The same conversation where every turn is rendered and read from its beginning."""
    conversation, answers = mg.Conversation(model, system), []
    for turn in turns:
        conversation.cached_ids = []
        answers.append("".join(conversation.say(*turn, **sampling)))
    return answers


TURNS = [("light",), ("And God", [picture(96, 48)], [sound(0.3)]), ("earth", [], [sound(0.1, 1)])]


@pytest.mark.parametrize("sampling", [QUIET, QUIET | {"temperature": 1.0, "seed": 2}])
def test_the_cache_of_a_conversation_changes_nothing(model, sampling):
    conversation = mg.Conversation(model, "good")
    assert ["".join(conversation.say(*turn, **sampling)) for turn in TURNS] == anew(model, TURNS, "good", **sampling)
    roles = [message["role"] for message in conversation.messages]
    assert roles == ["system", *["user", "assistant"] * len(TURNS)]


def test_only_what_is_new_is_read_and_logits_are_those_of_the_whole(model, monkeypatch):
    """Where the model's own words are read again as the ids it said; the last turn's logits equal a fresh pass."""
    calls, forward = [], mg.Gemma4.forward

    def watched(self, token_ids, *args, **kwargs):
        logits = forward(self, token_ids, *args, **kwargs)
        calls.append((len(token_ids), logits[-1]))
        return logits

    say_light = iter(model.tokenizer.encode("light.<turn|>") * 2)
    monkeypatch.setattr(mg.Gemma4, "forward", watched)
    monkeypatch.setattr("minigemma.model.Sampler", lambda *args: lambda logits: next(say_light))
    conversation = mg.Conversation(model)
    list(conversation.say("God", [picture(96, 48)]))
    cache, held = conversation.cache, conversation.cache.length
    calls.clear()
    list(conversation.say("And the earth"))
    assert conversation.cache is cache
    read, logits = calls[0]
    monkeypatch.undo()

    told = conversation.messages[:-1]
    whole = mg.make_prompt(model, "God", [picture(96, 48)])
    ids = model.tokenizer.encode(model.tokenizer.apply_chat(told))
    ids = model.tokenizer.expand_placeholders(ids, [len(whole.images[0][1]) // 9])
    assert read == len(ids) - held < 30
    fresh = model.forward(ids, images=whole.images, last_only=True)[-1]
    assert np.abs(fresh - logits).max() <= 1e-4 * np.abs(fresh).max()


def test_thoughts_are_forgotten_in_the_next_turn(model, monkeypatch):
    thought = iter(model.tokenizer.encode("<|channel>thought\nhm<channel|> light<turn|>") * 2)
    monkeypatch.setattr("minigemma.model.Sampler", lambda *args: lambda logits: next(thought))
    conversation = mg.Conversation(model, thinking=True)
    assert "".join(conversation.say("God")) == "<|channel>thought\nhm<channel|> light"
    assert conversation.messages[-1]["content"] == [{"type": "text", "text": "light"}]
    first = conversation.cache
    list(conversation.say("And"))
    assert conversation.cache is not first  # what it holds is not how the conversation begins any more


def test_placeholders_the_model_says_are_no_pictures(model, monkeypatch):
    said = iter(model.tokenizer.encode("light<|image|><|video|><|audio|><turn|>") * 2)
    monkeypatch.setattr("minigemma.model.Sampler", lambda *args: lambda logits: next(said))
    conversation = mg.Conversation(model)
    assert "".join(conversation.say("God")) == "light"
    assert "".join(conversation.say("And", [picture(48, 48)])) == "light"


def test_an_answer_broken_off_leaves_the_conversation_as_it_was(model, monkeypatch):
    def scripted(*args):
        answer = iter(model.tokenizer.encode("light.<turn|>"))
        return lambda logits: next(answer)

    monkeypatch.setattr("minigemma.model.Sampler", scripted)
    conversation = mg.Conversation(model)
    list(conversation.say("light"))
    before = list(conversation.messages)
    broken = conversation.say("earth")
    next(broken)
    broken.close()
    assert conversation.messages == before
    list(conversation.say("earth"))
    told = model.tokenizer.encode(model.tokenizer.apply_chat(conversation.messages, generation_prompt=False))
    assert conversation.cached_ids == told[:-2]  # all but <turn|>, which was said but not read, and the newline
    assert conversation.cache.length == len(told) - 2  # nothing of the answer that was broken off


def test_an_error_leaves_the_conversation_as_it_was(model):
    conversation = mg.Conversation(model)
    list(conversation.say("light", **QUIET))
    before, cached = list(conversation.messages), list(conversation.cached_ids)
    with pytest.raises(mg.InputError, match=r"missing\.png"):
        conversation.say("earth", ["missing.png"])
    assert (conversation.messages, conversation.cached_ids) == (before, cached)
    with pytest.raises(mg.InputError, match="do not fit"):
        list(conversation.say("light " * 3000))
    assert conversation.messages == before
    again = "".join(conversation.say("earth", **QUIET))
    assert again == anew(model, [("light",), ("earth",)], **QUIET)[-1]
