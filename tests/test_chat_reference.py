"""Rendered conversations equal transformers' ``apply_chat_template``, as text and as ids."""

from random import Random

import pytest
from conversations import random_messages
from small_tokenizers import tokenizer_json, write
from test_chat import TEMPLATE

from minigemma.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.reference


def test_the_shipped_template(tmp_path):
    ours = Tokenizer.from_directory(write(tmp_path, tokenizer_json(), {"bos_token": "<bos>"}, TEMPLATE))
    reference = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert reference.chat_template == TEMPLATE
    random = Random(1)
    for _ in range(150):
        messages, thinking, prompt = random_messages(random), random.random() < 0.5, random.random() < 0.8
        options = {"add_generation_prompt": prompt, "enable_thinking": thinking}
        text = ours.apply_chat(messages, thinking, prompt)
        assert text == reference.apply_chat_template(messages, tokenize=False, **options)
        ids = reference.apply_chat_template(messages, tokenize=True, return_dict=False, **options)
        assert ours.encode(text) == ids
        assert ids[0] == ours.special("bos_token")
