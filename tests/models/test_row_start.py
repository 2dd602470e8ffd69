"""What rows begin with: found where a model tells, and else what the tokenizer says."""

import numpy as np
import pytest
from families import FAMILIES, VOCABULARY, tiny
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from functok.encoding.tokenizer import Encoded
from functok.models.language.generation import generate
from functok.models.language.row_start import (
    candidates,
    measured_start,
    post_processor_start,
    set_start,
)
from functok.runtime.errors import UserError

SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|end_of_text|>", "<unk>"]
TEMPLATES = {"<s> $A": 0, "$A </s>": 1, "</s> $A": 1, "<s> $A </s>": 0, None: None}


def tokenizer(template: str | None = None):
    words = [*SPECIAL, *(chr(97 + n % 26) * (1 + n // 26) for n in range(VOCABULARY - 5))]
    backend = Tokenizer(WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    backend.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    if template is not None:
        special = [(token, n) for n, token in enumerate(SPECIAL) if token in template.split()]
        backend.post_processor = TemplateProcessing(single=template, special_tokens=special)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<|im_start|>", eos_token="</s>"
    )


def encoded(documents: list[list[int]]) -> Encoded:
    ids = np.array([token for document in documents for token in document], np.int32)
    return Encoded(ids, np.cumsum([0, *map(len, documents)]), np.arange(len(documents)) * 77)


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_post_processor_and_the_separators_among_the_special_ids_are_tried(template):
    own = tokenizer(template)
    assert post_processor_start(own) == TEMPLATES[template]
    tried = candidates(own)
    assert tried[0] == TEMPLATES[template]
    assert sorted(tried, key=str) == [0, 1, 2, 3, None]  # <unk> stood before no document


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scale", [1.0, 0.05])
def test_where_a_model_cannot_tell_the_post_processor_decides(family, scale):
    """A model that knows nothing, on text that has nothing to be known."""
    model = tiny(family)
    for weight in model.parameters():
        weight.data.mul_(scale)
    random = np.random.default_rng(0)
    text = encoded([random.integers(5, VOCABULARY, 20).tolist() for _ in range(32)])
    for template in ("<s> $A", "</s> $A", None):
        found = measured_start(model, tokenizer(template), text, "documents")
        assert found.id == TEMPLATES[template]
        assert "post-processor" in found.sentence


@pytest.mark.parametrize(("family", "start"), zip(FAMILIES, [3, 1, 3, 1, 3, 1], strict=True))
def test_a_start_is_found_in_text_that_the_model_itself_writes_behind_it(family, start):
    model = tiny(family)
    written = generate(model, [[start]] * 60, 50, temperature=1.0)
    found = measured_start(model, tokenizer("<s> $A"), encoded(written), "documents")
    assert found.id == start
    assert found.nats[SPECIAL[start]] == min(found.nats.values())
    assert found.sentence.startswith(f"Rows begin with {SPECIAL[start]} (id {start}), measured on")


def test_a_start_that_the_tokenizer_lacks_is_refused():
    assert set_start(tokenizer(), "<s>").id == 0
    assert set_start(tokenizer(), "none").id is None
    with pytest.raises(
        UserError, match="no token '<S>' for rows to begin with; give another, such as <s>, </s>"
    ):
        set_start(tokenizer(), "<S>")
