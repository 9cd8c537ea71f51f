"""Questions that lie one behind the other in a training sequence are answered as if each were the only one."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("tokenizers")

from random import Random  # noqa: E402

from training import apart, model_configs, text  # noqa: E402
from training.model import build  # noqa: E402

pytestmark = pytest.mark.reference
SPECIAL = (
    "<turn|>", "<|image>", "<image|>", "<|image|>", "<|audio>", "<audio|>", "<|audio|>", "<|video|>",
)  # fmt: skip
IMAGE = 40  # soft tokens: more than the window, so that the window cuts some off


@pytest.mark.parametrize("name", model_configs.NAMES)
def test_each_question_as_if_alone(name):
    config = model_configs.config(name, {t: i for i, t in enumerate(SPECIAL, start=5)})
    model = build(config, 3).eval()
    settings = model.config.text_config
    branches = [0] * (IMAGE + 4) + [1] * 7 + [2] * 40 + [3] * 5
    random = Random(name)
    ids = torch.tensor([[random.randrange(100, 2048) for _ in branches]])
    image = torch.zeros_like(ids)
    image[0, 3 : 3 + IMAGE] = 1
    branch, position = torch.tensor([branches]), torch.tensor([apart.positions(branches, len(branches))])
    both_ways = settings.use_bidirectional_attention == "vision"
    seen = apart.masks(branch, position, image == 1, settings.sliding_window, both_ways)
    with torch.no_grad():
        found = model.model(input_ids=ids, mm_token_type_ids=image, position_ids=position, attention_mask=seen)
        for k in (1, 2, 3):
            own = (branch[0] == 0) | (branch[0] == k)
            alone = model.model(input_ids=ids[:, own], mm_token_type_ids=image[:, own]).last_hidden_state
            wrong = (found.last_hidden_state[:, own] - alone).norm() / alone.norm()
            assert wrong < 1e-5, (k, float(wrong))


def test_positions_of_branches():
    assert apart.positions([0, 0, 0, 1, 1, 2, 2, 2], 10) == [0, 1, 2, 3, 4, 3, 4, 5, 8, 9]
    assert apart.positions([0, 0, 0], 4) == [0, 1, 2, 3]


def test_a_story_apart_asks_what_a_talk_asks_first():
    for seed in range(20):
        shared, *pairs = text.story(Random(seed), 4, 3, "apart", questions=6)
        (opening, _), (answer, _), *_ = text.story(Random(seed), 4, 3, "chat", questions=6)
        assert shared[0] + pairs[0][0] == opening
        assert pairs[1][0] == answer
        assert len(pairs) == 12
