"""Conversations as text and ids: Gemma 4's format, and templates that misbehave."""

from pathlib import Path
from random import Random

import pytest
from conversations import random_messages, user
from small_tokenizers import tokenizer_json, write

import minigemma as mg
from minigemma import chat_template
from minigemma.chat import render_messages, without_thoughts
from minigemma.chat_template import render_template
from minigemma.tokenizer import Tokenizer

TEMPLATE = (Path(__file__).parent.parent / "training" / "chat_template.jinja").read_text(encoding="utf-8")
SYSTEM = {"role": "system", "content": "Be brief."}
IMAGE, AUDIO = {"type": "image"}, {"type": "audio"}


@pytest.fixture(scope="module", params=["template", "own"])
def tokenizer(request, tmp_path_factory) -> Tokenizer:
    """With the chat template of the shipped checkpoints, and without one."""
    template = TEMPLATE if request.param == "template" else ""
    return Tokenizer.from_directory(write(tmp_path_factory.mktemp(request.param), tokenizer_json(), None, template))


@pytest.mark.parametrize(
    ("messages", "thinking", "text"),
    [
        ([user("Hi")], False, "<|turn>user\nHi<turn|>\n<|turn>model\n"),
        ([user("Hi")], True, "<|turn>system\n<|think|><turn|>\n<|turn>user\nHi<turn|>\n<|turn>model\n"),
        ([SYSTEM, user("Hi")], False, "<|turn>system\nBe brief.<turn|>\n<|turn>user\nHi<turn|>\n<|turn>model\n"),
        (
            [SYSTEM, user("Hi")],
            True,
            "<|turn>system\n<|think|>Be brief.<turn|>\n<|turn>user\nHi<turn|>\n<|turn>model\n",
        ),
        (
            [user(IMAGE, IMAGE, AUDIO, " What? ")],
            False,
            "<|turn>user\n<|image|><|image|><|audio|>What?<turn|>\n<|turn>model\n",
        ),
        (
            [user("Hi"), {"role": "assistant", "content": "<|channel>thought\nhm<channel|> Yes. "}, user("And?")],
            False,
            "<|turn>user\nHi<turn|>\n<|turn>model\nYes.<turn|>\n<|turn>user\nAnd?<turn|>\n<|turn>model\n",
        ),
    ],
)
def test_turns(tokenizer, messages, thinking, text):
    assert tokenizer.apply_chat(messages, thinking=thinking) == "<bos>" + text


def test_turns_as_ids(tokenizer):
    ids = tokenizer.encode(tokenizer.apply_chat([user(IMAGE, "Hi")]))
    expected = ["<bos>", "<|turn>", "u", "s", "e", "r", "\n", "<|image|>", "<0x48>", "i", "<turn|>", "\n", "<|turn>"]
    assert [tokenizer.token(i) for i in ids][: len(expected)] == expected
    assert tokenizer.decode(ids[len(expected) :]) == "model\n"
    assert ids.count(tokenizer.special("bos_token")) == 1


def test_the_generation_prompt_is_left_out_when_asked(tokenizer):
    assert tokenizer.apply_chat([user("Hi")], generation_prompt=False) == "<bos><|turn>user\nHi<turn|>\n"


def test_where_there_is_no_jinja_the_turns_are_ours(tokenizer, monkeypatch):
    usual = tokenizer.apply_chat([SYSTEM, user(IMAGE, "Hi")])
    monkeypatch.setattr("minigemma.tokenizer.find_spec", lambda name: None)
    monkeypatch.setattr(chat_template, "render_template", lambda *_: pytest.fail("a template was run"))
    assert tokenizer.apply_chat([SYSTEM, user(IMAGE, "Hi")]) == usual


def test_our_format_is_the_shipped_template():
    random = Random(0)
    for _ in range(200):
        messages, thinking, prompt = random_messages(random), random.random() < 0.5, random.random() < 0.8
        ours = render_messages(messages, thinking, prompt)
        assert render_template(TEMPLATE, messages, thinking, prompt, {"bos_token": "<bos>"}) == ours


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<|channel>thought\nx\n<channel|>A. ", "A."),
        ("A<|channel>thought\nx<channel|>B<|channel>", "AB"),
        ("<|channel>thought\nnever ended", ""),
        ("plain", "plain"),
    ],
)
def test_thoughts_are_taken_out(text, said):
    assert without_thoughts(text) == said


@pytest.mark.parametrize(
    "message",
    [
        "Hi",
        {"content": "Hi"},
        {"role": "user"},
        {"role": 3, "content": "Hi"},
        {"role": "user", "content": None},
        {"role": "user", "content": 7},
        {"role": "user", "content": ["Hi"]},
        {"role": "user", "content": [{"type": "smell"}]},
        {"role": "user", "content": [{"type": "text"}]},
    ],
)
def test_what_is_no_message_is_refused(tokenizer, message):
    with pytest.raises(mg.InputError, match="a message"):
        tokenizer.apply_chat([message])


def test_no_turns_without_turn_tokens(tmp_path):
    content = tokenizer_json()
    for token in ("<|turn>", "<turn|>"):
        del content["model"]["vocab"][token]
    content["added_tokens"] = [token for token in content["added_tokens"] if "turn" not in token["content"]]
    with pytest.raises(mg.TokenizerError, match=r"no chat template and no <\|turn> token"):
        Tokenizer.from_directory(write(tmp_path, content)).apply_chat([user("Hi")])


# templates


def render(template: str) -> str:
    return render_template(template, [user("Hi")], names={"bos_token": "<bos>"})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ bos_token }}{% for m in messages %}{{ m.role }}{% break %}{% endfor %}", "<bos>user"),
        ("{% generation %}{{ messages[0]['content'][0]['text'] }}{% endgeneration %}", "Hi"),
        ("{{ {'b': 1, 'a': '<é>'} | tojson }}", '{"b": 1, "a": "<é>"}'),
        ("{% if tools %}x{% endif %}{{ range(3) | list }}{{ 7 % 4 }}{{ 'ab' * 2 }}", "[0, 1, 2]3abab"),
        ("  {% if true %}\nA\n  {% endif %}\nB", "A\nB"),
        ("{{ strftime_now('%Y') | length }}", "4"),
    ],
)
def test_templates_get_what_transformers_gives_them(template, text):
    assert render(template) == text


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ raise_exception.__globals__['__builtins__'] }}",
        "{{ messages.append(1) }}",
        "{% set _ = messages[0].update({'role': 'x'}) %}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{% include 'other' %}",
        "{{ unknown() }}",
        "{{ unknown.attribute }}",
        "{{ raise_exception('no') }}",
        "{{ 1 // 0 }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 10 ** 10 ** 10 }}",
        "{% set n = 10 %}{{ n ** (n ** n) }}",
        "{{ 'a' * 10000000000 }}",
        "{{ 10000000000 * [0] }}",
        "{% for i in range(1000000000) %}{% endfor %}",
        "{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}",
        "{% for",
        "{{ 1",
        "{% unknown %}",
    ],
)
def test_a_template_that_misbehaves_is_an_error_of_ours(template):
    with pytest.raises(mg.TokenizerError, match="the chat template failed"):
        render(template)


def test_a_template_says_why_it_refuses_and_where_it_is_wrong():
    with pytest.raises(mg.TokenizerError, match="refuses these messages: roles must alternate"):
        render("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(mg.TokenizerError, match="line 3"):
        render("a\nb\n{% for %}")


def test_output_and_length_are_bounded(monkeypatch):
    monkeypatch.setattr(chat_template, "_MOST_TEXT", 1000)
    with pytest.raises(mg.TokenizerError, match="more than 1,000 characters"):
        render("{% for i in range(2000) %}x{% endfor %}")
    with pytest.raises(mg.TokenizerError, match=r"at most 1,048,576"):
        render("x" * 2**21)


def test_messages_are_not_changed_by_a_template():
    messages = [user("Hi")]
    render_template(TEMPLATE, messages, names={"bos_token": "<bos>"})
    assert messages == [user("Hi")]


def test_the_template_may_stand_in_the_config(tmp_path):
    config = {
        "chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "{{ bos_token }}D"}]
    }
    assert Tokenizer.from_directory(write(tmp_path, tokenizer_json(), config)).apply_chat([]) == "<bos>D"
    config = {"chat_template": "S"}
    assert Tokenizer.from_directory(write(tmp_path, tokenizer_json(), config)).apply_chat([]) == "S"
    assert Tokenizer.from_directory(write(tmp_path, tokenizer_json(), config, "F")).apply_chat([]) == "F"
