"""The set of function tokens against the paper's rule taken literally, in exact arithmetic."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functok.corpora import open_corpus
from functok.corpus import Document, read_documents
from functok.encoding.tokenizer import Encoded, Tokenizer, encode, load_tokenizer, special_ids
from functok.runtime.errors import UserError
from functok.tokens.counting.counts import TokenCounts
from functok.tokens.counting.function_tokens import (
    CONTENT,
    EXCLUDED,
    FUNCTION,
    SPECIAL,
    TRANSITIONS,
    FunctionTokens,
    count_table,
    transitions,
)

DATA = Path(__file__).parents[3] / "shared" / "data"


def _of(occurrences: list[int], documents: int = 9) -> TokenCounts:
    counts = np.array(occurrences)
    return TokenCounts(counts, np.minimum(counts, documents), documents)


def _naive(counts: list[int], special: set[int], percent: int, boundary: str) -> list[int]:
    """Sort by falling count, ties by lower id; take while the threshold is not reached."""
    order = sorted((i for i, n in enumerate(counts) if n and i not in special),
                   key=lambda i: (-counts[i], i))  # fmt: skip
    total, chosen, covered = sum(counts[i] for i in order), [], 0
    for token in order:
        if Fraction(covered, total) >= Fraction(percent, 100):
            break
        chosen.append(token)
        covered += counts[token]
    if boundary == "below" and Fraction(covered, total) >= Fraction(percent, 100):
        chosen.pop()
    return chosen


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=30),
    st.sets(st.integers(0, 29)),
    st.integers(1, 100),
    st.sampled_from(["reach", "below"]),
)
def test_the_set_equals_the_rule_taken_literally(counts, special, percent, boundary):
    special = {token for token in special if token < len(counts)}
    regular = [n for token, n in enumerate(counts) if token not in special]
    if not sum(regular):
        with pytest.raises(UserError, match="contains no token"):
            FunctionTokens.by_coverage(_of(counts), sorted(special), percent / 100, boundary)
        return
    expected = _naive(counts, special, percent, boundary)
    if not expected:
        with pytest.raises(UserError, match="ask for more coverage"):
            FunctionTokens.by_coverage(_of(counts), sorted(special), percent / 100, boundary)
        return
    found = FunctionTokens.by_coverage(_of(counts), sorted(special), percent / 100, boundary)
    assert found.ids.tolist() == expected
    assert found.reached == pytest.approx(sum(counts[i] for i in expected) / sum(regular))
    for token in range(len(counts)):
        wanted = SPECIAL if token in special else FUNCTION if token in expected else CONTENT
        assert found.classes[token] == wanted


def test_a_share_that_is_exactly_the_threshold_is_reached_and_not_below():
    counts = _of([1] * 10)  # 0.4 = 4 of 10, although 0.1 + 0.1 + 0.1 + 0.1 is not in binary
    for size in range(2, 10):
        share = size / 10
        assert FunctionTokens.by_coverage(counts, [], share).ids.tolist() == list(range(size))
        below = FunctionTokens.by_coverage(counts, [], share, "below")
        assert below.ids.tolist() == list(range(size - 1))


@given(
    st.lists(st.sampled_from([FUNCTION, CONTENT, SPECIAL]), min_size=1, max_size=8),
    st.data(),
)
def test_transitions_equal_the_two_classes_read_one_by_one(classes, data):
    token = st.integers(0, len(classes) - 1)
    pairs = data.draw(st.lists(st.tuples(token, st.one_of(token, st.just(-100))), min_size=1))
    current, following = np.array(pairs).T
    found = transitions(np.array(classes, np.int8), current, following)
    letter = {FUNCTION: "f", CONTENT: "c"}
    for one, two, group in zip(current, following, found, strict=True):
        if two < 0 or SPECIAL in (classes[one], classes[two]):
            assert group == EXCLUDED
        else:
            assert TRANSITIONS[group] == letter[classes[one]] + letter[classes[two]]


def test_the_table_of_counts_lists_every_token_that_occurs_once():
    counts = TokenCounts(np.array([5, 2, 0, 3, 2]), np.array([2, 1, 0, 3, 2]), 4)
    table = count_table(
        counts, [0], ["s", "a", "b", "c", "d"], [b"s", b"a", b"b", b"c", b"d"], list("vwxyz")
    ).to_pydict()
    assert table["token"] == ["c", "a", "d"]
    assert table["rank"] == [1, 2, 3]
    assert table["subclass"] == ["y", "w", "z"]
    assert table["occurrences"] == [3, 2, 2]
    assert table["fraction"] == pytest.approx([3 / 7, 2 / 7, 2 / 7])
    assert table["cumulative"] == pytest.approx([3 / 7, 5 / 7, 1])
    assert table["document_coverage"] == [0.75, 0.25, 0.5]


def _encoded_fast(documents: list[Document], file: Path, tokenizer: Tokenizer) -> Encoded:
    """With gigatoken where it is installed: thirty times as fast, and an encoder of other make."""
    try:
        import gigatoken
    except ImportError:
        return encode(documents, tokenizer)
    ids = gigatoken.Tokenizer(str(file)).encode_batch([document.text for document in documents])
    keys = np.array([document.key for document in documents])
    parts = [np.asarray(part, np.int32) for part in ids]
    encoded = Encoded(np.concatenate(parts), np.cumsum([0, *map(len, parts)]), keys)
    few = encode(documents[:10], tokenizer)
    assert (encoded.ids[: len(few.ids)] == few.ids).all()
    return encoded


def test_gpt2_on_openstax_and_standardebooks_gives_the_measured_numbers():
    """Measured apart, beside the data: 5,867,391 tokens, of which 43 are function tokens."""
    texts = [DATA / "texts" / f"{name}.jsonl.zst" for name in ("openstax", "standardebooks")]
    file = DATA / "tokenizers" / "gpt2" / "tokenizer.json"
    missing = [part.name for part in (*texts, file) if not part.exists()]
    if missing:
        pytest.skip(f"the shared data beside the repository lacks {', '.join(missing)}")
    tokenizer = load_tokenizer(str(file))
    counts, parts = TokenCounts.zero(len(tokenizer)), []
    for text in texts:
        parts.append(_encoded_fast(list(read_documents(open_corpus(str(text)))), file, tokenizer))
        counts = counts.merge(TokenCounts.of(parts[-1], len(tokenizer)))
    assert counts.occurrences.sum() == 5_867_391
    chosen = FunctionTokens.by_coverage(counts, special_ids(tokenizer))
    assert len(chosen.ids) == 43
    table = np.zeros(5, np.int64)
    for part in parts:
        inside = np.diff(part.document_of()) == 0
        groups = transitions(chosen.classes, part.ids[:-1][inside], part.ids[1:][inside])
        table += np.bincount(groups, minlength=5)
    assert table[EXCLUDED] == 0
    shares = table[:4] / table[:4].sum()
    assert np.round(shares, 3).tolist() == [0.132, 0.269, 0.269, 0.330]
