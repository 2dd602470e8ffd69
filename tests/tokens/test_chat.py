"""Chat prompts against their template written out by hand."""

import pytest

from functok.encoding.chat import chat_ids
from functok.encoding.tokenizer import train_tokenizer
from functok.runtime.errors import UserError

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<{{ message.role }}>{{ message.content }}\n"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def tokenizer():
    return train_tokenizer(["the cat sat on the mat", "<user> <assistant>"], 270)


def test_a_prompt_is_the_users_turn_up_to_where_the_answer_begins(tokenizer):
    tokenizer.chat_template = TEMPLATE
    written = "<|endoftext|><user>the cat sat\n<assistant>"
    ids = chat_ids(tokenizer, "the cat sat")
    assert ids == tokenizer.encode(written, add_special_tokens=False)
    assert ids[0] == tokenizer.bos_token_id
    assert ids.count(ids[0]) == 1, "the template's own separator, and no other"


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        (None, "The tokenizer has no chat template; omit --chat"),
        ("{{ raise_exception('only with a system turn') }}", "only with a system turn"),
        ("{% for message in %}", "The tokenizer's chat template cannot be used"),
    ],
    ids=["none", "refuses", "damaged"],
)
def test_a_prompt_that_cannot_be_rendered_is_refused(tokenizer, template, sentence):
    tokenizer.chat_template = template
    with pytest.raises(UserError, match=sentence):
        chat_ids(tokenizer, "the cat sat")
