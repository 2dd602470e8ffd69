"""Model inputs against loops: no token is lost, doubled or given the wrong target."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from functok.encoding.contexts import IGNORED, context_rows
from functok.encoding.tokenizer import Encoded

texts = st.lists(st.lists(st.integers(1, 30), max_size=20), max_size=9)
separators = st.sampled_from([None, 0, 31])


def _encoded(documents: list[list[int]]) -> Encoded:
    ids = np.array([token for document in documents for token in document], np.int32)
    offsets = np.cumsum([0, *map(len, documents)])
    return Encoded(ids, offsets, np.arange(len(documents)))


@given(texts, st.integers(1, 7), separators, st.integers(1, 5))
def test_context_rows_hold_every_token_once_with_its_own_target(
    documents, context, separator, rows
):
    seen: Counter = Counter()
    separated: Counter = Counter()
    batches = list(context_rows(_encoded(documents), context, separator, rows))
    for batch in batches:
        assert len(batch.ids) <= rows
        assert 1 <= batch.ids.shape[1] <= context
        for row in range(len(batch.ids)):
            previous = None
            for column in range(batch.ids.shape[1]):
                token, target = int(batch.ids[row, column]), int(batch.targets[row, column])
                document = int(batch.document[row, column])
                position = int(batch.position[row, column])
                if document >= 0:
                    assert documents[document][position] == token
                    follows = documents[document][position + 1 : position + 2]
                    assert target == (follows[0] if follows else IGNORED)
                    assert previous in (None, "separator", (document, position - 1))
                    assert (previous is None) == (column == 0)
                    assert previous != "separator" or position == 0
                    seen[document, position] += 1
                    previous = (document, position)
                elif column == 0:
                    assert token == separator
                    assert position == -1
                    separated[target] += 1
                    previous = "separator"
                else:  # padding
                    assert (token, target, position) == (0, IGNORED, -1)
                    previous = "padding"
    assert seen == Counter(
        (index, position) for index, text in enumerate(documents) for position in range(len(text))
    )
    firsts = Counter(text[0] for text in documents if text)
    assert separated == (Counter() if separator is None else firsts)


@given(texts, st.integers(2, 7), separators)
def test_rows_are_full_but_for_a_documents_last(documents, context, separator):
    """The fewest rows that the rule allows, in falling order of length."""
    lead = 0 if separator is None else 1
    batches = list(context_rows(_encoded(documents), context, separator, 2))
    lengths = [
        int((row >= 0).sum()) + (lead and int(row[0] < 0))
        for batch in batches
        for row in batch.document
    ]
    assert lengths == sorted(lengths, reverse=True)
    assert len(lengths) == sum(-(-(len(text) + lead) // context) for text in documents if text)
