"""Traces against encoding the prompt densely."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from functok.encoding.tokenizer import train_tokenizer
from functok.models.dictionaries import Dictionary
from functok.models.training import LlamaShape, new_llama
from functok.retrieval.prompts.trace import (
    first_and_again,
    most_varying,
    prompt_ids,
    rows_shown,
    trace,
)
from functok.runtime.errors import UserError
from functok.tokens.counting.function_tokens import CLASS_NAMES, class_array

VOCABULARY, WIDTH, FEATURES, LAYER = 20, 16, 30, 1
IDS = [0, 5, 3, 5, 9, 1, 3, 12]
CLASSES = class_array([3, 5], [0, 1], VOCABULARY)
SHOWN = [f"token-{index}" for index in range(VOCABULARY)]
DENSITY = np.linspace(0, 0.3, FEATURES)


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    generator = torch.Generator().manual_seed(3)
    return Dictionary(
        W_enc=30 * torch.randn(WIDTH, FEATURES, generator=generator),
        b_enc=-torch.rand(FEATURES, generator=generator),
        W_dec=torch.randn(FEATURES, WIDTH, generator=generator),
        b_dec=torch.zeros(WIDTH),
        architecture="standard",
    )


@pytest.fixture(scope="module")
def table(model, dictionary) -> pl.DataFrame:
    return trace(model, dictionary, IDS, LAYER, CLASSES, DENSITY, SHOWN)


def test_a_trace_is_the_dense_encoding_without_special_tokens(model, dictionary, table):
    with torch.no_grad():
        run = model.model(torch.tensor([IDS]), output_hidden_states=False)
        seen = []
        hook = model.model.norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        model.model(torch.tensor([IDS]))
        hook.remove()
    assert run is not None
    z = torch.relu(seen[0][0] @ dictionary.W_enc + dictionary.b_enc).numpy()
    expected = []
    for position, token in enumerate(IDS):
        for feature in range(FEATURES):
            if z[position, feature] > 0 and token not in (0, 1):
                before = [p for p in range(position) if IDS[p] not in (0, 1) and z[p, feature] > 0]
                expected.append((position, token, feature, z[position, feature], not before))
    assert len(expected) > 20
    found = table.select("position", "token_id", "feature").rows()
    assert found == [row[:3] for row in expected]
    np.testing.assert_allclose(table["activation"], [row[3] for row in expected], rtol=1e-4)
    assert table["first"].to_list() == [row[4] for row in expected]
    assert 0 < table["first"].sum() < len(table)


def test_each_row_names_its_token_class_and_density(table):
    for row in table.iter_rows(named=True):
        assert row["token"] == SHOWN[IDS[row["position"]]]
        assert row["class"] == CLASS_NAMES[CLASSES[row["token_id"]]]
        assert row["density"] == DENSITY[row["feature"]]
    assert set(table["class"]) == {"function", "content"}


def test_each_feature_fires_first_exactly_once(table):
    first = table.filter("first").group_by("feature").len()
    assert (first["len"] == 1).all()
    assert set(first["feature"]) == set(table["feature"])


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 8), st.sampled_from([0.5, 1.0, 2.0, 3.0])),
        min_size=1,
        unique_by=lambda row: row[:2],
    ),
    st.integers(1, 9),
)
def test_the_features_that_vary_most_come_in_the_order_of_first_firing(rows, count):
    table = pl.DataFrame(rows, schema=["position", "feature", "activation"], orient="row")
    places = {position for position, _, _ in rows}
    z = {feature: dict.fromkeys(places, 0.0) for _, feature, _ in rows}
    for position, feature, value in rows:
        z[feature][position] = value
    varies = {one: max(row.values()) - sum(row.values()) / len(row) for one, row in z.items()}
    start = {one: min(place for place in row if row[place]) for one, row in z.items()}
    chosen = sorted(z, key=lambda feature: (-varies[feature], feature))[:count]
    chosen.sort(key=lambda feature: (start[feature], -varies[feature], feature))
    assert most_varying(table, count) == chosen


def test_features_named_by_a_study_are_shown_in_its_order(table):
    one, two = table["feature"].unique().sort().to_list()[:2]
    assert rows_shown(table, (two, one)) == [two, one]
    assert first_and_again(table, (two, one))["feature"].to_list() == [two, one]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["the cat sat on the mat and the dog ran to the cat"] * 5, 280)


@pytest.fixture(scope="module")
def reader(tokenizer):
    shape = LlamaShape(hidden_size=WIDTH, heads=2, key_value_heads=2, intermediate_size=24)
    return new_llama(shape, len(tokenizer), 8, 0)  # reads 16 positions


def test_a_prompt_is_read_with_the_start_of_rows_before_it(tokenizer, reader):
    ids = prompt_ids(tokenizer, "the cat sat", reader, 7)
    assert ids[0] == 7
    assert tokenizer.decode(ids[1:]) == tokenizer.decode(
        prompt_ids(tokenizer, "the cat sat", reader, None)
    )
    assert tokenizer.decode(ids[1:]) == "the cat sat"


def test_an_empty_prompt_is_refused(tokenizer, reader):
    with pytest.raises(UserError, match="prompt is empty"):
        prompt_ids(tokenizer, "", reader, 0)


def test_a_prompt_longer_than_the_context_is_refused(tokenizer, reader):
    assert len(prompt_ids(tokenizer, "x" * 15, reader, 0)) == 16
    with pytest.raises(UserError, match="has 17 tokens but the model accepts at most 16"):
        prompt_ids(tokenizer, "x" * 16, reader, 0)
