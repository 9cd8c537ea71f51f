"""Rules broken on purpose: each one changes what it says it changes, and nothing is left behind."""

import inspect

import numpy as np
import pytest
from explore_models import SHAPES
from small_models import draw_ids, draw_mel, media_prompt, random_gemma

from minigemma import whatif
from minigemma.audio import log_mel
from minigemma.errors import InputError
from minigemma.trace import Trace
from minigemma.whatif_rules import RULES

# the first tensor that a text shows; rules that need a picture or a sound are tried with one
FIRST = {
    "embedding": "embedding",
    "scale": "layers.0.attention.queries",
    "window": "layers.0.attention.scores",
    "sharing": ".attention.scores",
    "softcap": "logits",
    "scalar": "layers.0.output",
    "sandwich": "layers.0.attention.added",
    "ple scale": "ple.inputs",
    "renormalise": "layers.0.moe.expert_weight",
    "router input": "layers.0.moe.router_scores",
    "k=v": ".attention.values_projected",
}
WITHOUT_EFFECT = {"ple scale", "renormalise"}  # a norm that follows takes any factor out again


def everything():
    return {rule.function: rule.function.__code__ for rule in RULES.values()}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_rule_of_a_text_changes_the_logits_and_leaves_nothing_behind(shape):
    model, ids, before = random_gemma(shape), draw_ids(19, 1), everything()
    right = Trace()
    logits = model.forward(ids, trace=right)
    assert set(whatif.rules(model, "text")) > {"norm", "scale", "pairs"}
    for name in whatif.rules(model, "text"):
        wrong = Trace()
        whatif.changed(model, name).forward(ids, trace=wrong)
        found = whatif.differences(right, wrong)
        assert whatif.first_difference(found).endswith(FIRST.get(name, "")), name
        assert (found["logits"] > 2e-5) == (name not in WITHOUT_EFFECT), name
        assert everything() == before
    np.testing.assert_array_equal(model.forward(ids), logits)


@pytest.mark.parametrize("shape", ["e2b", "26b"])
def test_every_rule_of_the_senses(shape):
    model = random_gemma(shape, towers=True)
    ids, images, audio = media_prompt(shape, 1)
    logits = model.forward(ids, images, audio)
    tried = [name for name, rule in whatif.rules(model).items() if rule.part == "picture"]
    assert tried
    for name in tried:
        wrong = whatif.changed(model, name).forward(ids, images, audio)
        norm_takes_it_out = name == "pooled" and not model.config.vision.standardize
        assert (np.abs(wrong - logits).max() > 1e-4) != norm_takes_it_out, name


@pytest.mark.parametrize("name", ["floor", "magnitude"])
def test_what_happens_before_a_model_is_broken_with_broken(name):
    sound = (np.sin(np.arange(4000) * 0.3).astype(np.float32), 16_000)
    right = log_mel(*sound)
    with whatif.broken(name):
        wrong = log_mel(*sound)
    assert np.abs(wrong - right).max() > 1e-3
    np.testing.assert_array_equal(log_mel(*sound), right)
    model = random_gemma("e2b", towers=True)
    assert whatif.changed(model, name).encode_audio(draw_mel(37, 0)).shape == (10, model.config.text.hidden_size)


def test_several_at_once_also_in_one_function():
    model, ids = random_gemma("26b"), draw_ids(12, 1)
    both = whatif.changed(model, "value norm", "k=v", "scale").forward(ids)
    for name in ("value norm", "k=v", "scale"):
        assert np.abs(whatif.changed(model, name).forward(ids) - both).max() > 1e-4


def test_a_mistake_of_the_schedule_is_in_the_schedule():
    model = random_gemma("e2b")
    wrong = whatif.changed(model, "sharing")
    shared = [i for i, spec in enumerate(model.schedule) if spec.shares_kv]
    assert [wrong.schedule[i].kv_source for i in shared] != [model.schedule[i].kv_source for i in shared]
    assert [wrong.schedule[i].kind for i in shared] == [model.schedule[i].kind for i in shared]


def test_generating_is_changed_too_and_with_a_cache():
    model, ids = random_gemma("e2b"), draw_ids(19, 1)
    for name in ("window", "sharing", "pairs"):
        wrong = whatif.changed(model, name)
        new = list(wrong.generate(ids, 8, stop=()))
        again = [*ids, *new[:-1]]
        assert new == wrong.forward(again).argmax(axis=-1)[len(ids) - 1 :].tolist()


def test_all_is_restored_after_an_error():
    before = everything()
    with whatif.broken("norm", "pairs"):
        assert everything() != before
    with pytest.raises(ZeroDivisionError), whatif.broken("norm", "pairs"):
        raise ZeroDivisionError
    assert everything() == before
    with pytest.raises(InputError):
        whatif.changed(random_gemma("e2b"), "norm").forward([])
    assert everything() == before


def test_unknown_rules_and_those_a_model_does_not_have_are_explained():
    with pytest.raises(InputError, match=r"no rule 'sale'; there are embedding, norm"):
        whatif.changed(random_gemma("e2b"), "sale")
    with pytest.raises(InputError, match="nothing to break there: 'renormalise'"):
        whatif.changed(random_gemma("31b"), "renormalise")


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_says_where_it_stands(rule):
    assert inspect.getsource(rule.function).count(rule.right) == 1
    shown = whatif.show(rule.name)
    assert rule.right in shown.right
    assert rule.wrong in shown.wrong
    assert (
        rule.right in (whatif.Path(whatif.__file__).parents[1] / shown.file).read_text().splitlines()[shown.number - 1]
    )
    assert f"line {shown.number}" in shown._repr_markdown_()


def test_differences():
    a = {"x": np.array([1.0, -np.inf]), "y": np.ones(3), "z": np.ones(2), "only here": np.ones(1)}
    b = {"x": np.array([1.0, -np.inf]), "y": np.array([1.0, 1, 1.1]), "z": np.ones(3)}
    found = whatif.differences(a, b)
    assert found["x"] == 0
    assert found["y"] == pytest.approx(0.1 / 3**0.5)
    assert found["z"] == np.inf
    assert list(found) == ["x", "y", "z"]
    assert whatif.first_difference(found) == "y"
    assert whatif.first_difference({"x": 0.0}) is None
    assert whatif.differences({"x": np.array([0.0])}, {"x": np.array([np.nan])})["x"] == np.inf
