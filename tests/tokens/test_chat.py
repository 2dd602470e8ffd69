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
        ("{{ tools | length }}{{ messages[0].content }}", "cannot be used"),
        ("{{ 1 / 0 }}", "cannot be used"),
        ("{{ messages[7].content.text }}", "cannot be used"),
        ("{% for message in messages %}<{{ message.role }}>{% endfor %}", "drops the prompt"),
        ("{{ messages[0].content | upper }}", "drops the prompt"),
        ("{{ messages[0].content[:5] }}", "drops the prompt"),
    ],
    ids=["none", "refuses", "damaged", "length", "division", "index", "dropped", "upper", "cut"],
)
def test_a_prompt_that_cannot_be_rendered_is_refused(tokenizer, template, sentence):
    tokenizer.chat_template = template
    with pytest.raises(UserError, match=sentence):
        chat_ids(tokenizer, "the cat sat")


PARTS = (
    "{% for message in messages %}{% for part in message.content %}{% if part.type == 'text' %}"
    "<{{ message.role }}>{{ part.text | trim }}\n{% endif %}{% endfor %}{% endfor %}<assistant>"
)


def test_a_template_that_takes_parts_of_a_message_is_given_parts(tokenizer):
    tokenizer.chat_template = PARTS
    written = "<user>the cat sat\n<assistant>"
    ids = chat_ids(tokenizer, "  the cat sat ")
    assert ids == tokenizer.encode(written, add_special_tokens=False)


def test_a_prompt_that_is_quoted_or_trimmed_is_not_missed(tokenizer):
    tokenizer.chat_template = "{{ messages[0].content | trim | tojson }}"
    ids = chat_ids(tokenizer, ' the "cat"\nsat ')
    assert ids == tokenizer.encode('"the \\"cat\\"\\nsat"', add_special_tokens=False)


def test_truncation_in_the_tokenizers_file_does_not_cut_a_chat(tokenizer):
    tokenizer.chat_template = TEMPLATE
    whole = chat_ids(tokenizer, "the cat sat")
    tokenizer.backend_tokenizer.enable_truncation(3)
    assert chat_ids(tokenizer, "the cat sat") == whole
