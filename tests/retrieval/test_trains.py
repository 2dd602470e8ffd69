"""The activity of features laid end to end, against one document and one row at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch

from functok.encoding.contexts import RowFormat
from functok.encoding.tokenizer import Encoded
from functok.models.dictionaries import Dictionary
from functok.models.dictionaries.sites import residual_layer
from functok.models.language.capture import residual_stream
from functok.models.training import LlamaShape, new_llama
from functok.retrieval.reactivation.trains import active_trains, stored_trains
from functok.runtime.progress import Silent
from functok.study.opening import open_run
from functok.tokens.counting.function_tokens import SPECIAL

VOCABULARY, WIDTH, LAYER, CONTEXT = 20, 16, 1, 12


@pytest.mark.parametrize("separator", [None, 0])
def test_every_activation_lies_at_its_own_token(separator: int | None) -> None:
    shape = LlamaShape(hidden_size=WIDTH, layers=3, heads=2, key_value_heads=2)
    model = new_llama(shape, VOCABULARY, 40, 0).eval()
    generator = torch.Generator().manual_seed(1)
    encoder, decoder = (torch.randn(*size, generator=generator) for size in ((16, 9), (9, 16)))
    sae = Dictionary(encoder, torch.full((9,), -0.3), decoder, torch.zeros(WIDTH), "standard")
    random = np.random.default_rng(0)
    lengths = np.array([5, 12, 1, 30])
    ids = random.integers(1, VOCABULARY, lengths.sum())
    encoded = Encoded(ids, np.cumsum([0, *lengths]), np.arange(4))
    classes = random.integers(0, 2, VOCABULARY)
    found = active_trains(model, sae, encoded, LAYER, RowFormat(CONTEXT, separator, 3), classes)

    expected, counted = set(), np.zeros(len(ids), bool)
    for document, length in enumerate(lengths):
        lead = [] if separator is None else [separator]
        done = 0
        while done < length:
            begin = encoded.offsets[document] + max(done - 3, 0)
            end = min(begin + CONTEXT - len(lead), encoded.offsets[document + 1])
            row = [*lead, *ids[begin:end].tolist()]
            hidden = residual_stream(model, torch.tensor([row]), LAYER)[0]
            dense = torch.relu(hidden @ encoder - 0.3)
            for place, feature in (dense > 0).nonzero().tolist():
                at = int(begin) + place - len(lead)
                if place > 0 and at >= encoded.offsets[document] + done:  # 0 is the sink
                    expected.add((at, feature))
            first = max(done, int(begin - encoded.offsets[document]) + 1 - len(lead))
            done = end - encoded.offsets[document]
            counted[encoded.offsets[document] + first : end] = True
    assert set(zip(found.row.tolist(), found.feature.tolist(), strict=True)) == expected
    assert len(found.row) == len(expected)
    assert (np.diff(found.row) >= 0).all()
    assert np.array_equal(found.classes, np.where(counted, classes[ids], SPECIAL))
    assert np.array_equal(found.offsets, encoded.offsets)


def test_a_graph_s_store_holds_the_same_trains_as_another_pass(whole_run: Path) -> None:
    run = open_run(whole_run, Silent())
    text, classes = run.encoded("graph"), run.vocabulary.classes
    hook = run.hook(run.main, run.last)
    passed = active_trains(
        run.model(run.last),
        run.sae(run.main, run.last).dictionary,
        text,
        residual_layer(hook),
        run.row_format,
        classes,
    )
    stored = stored_trains(run.judged / "occurrences", text, classes)
    for name in ("offsets", "classes", "row", "feature"):
        assert np.array_equal(getattr(stored, name), getattr(passed, name)), name
    left_out = np.unique(stored.feature)[:2]
    fewer = stored_trains(run.judged / "occurrences", text, classes, left_out)
    kept = ~np.isin(stored.feature, left_out)
    assert np.array_equal(fewer.row, stored.row[kept])
    assert 0 < kept.sum() < len(kept)
