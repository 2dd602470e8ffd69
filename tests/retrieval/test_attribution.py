"""Attribution against exact interventions, and exactly where the model is linear."""

import numpy as np
import polars as pl
import pytest
import torch

from functok.models.dictionaries import Dictionary
from functok.models.interventions.intervention import Intervention, steer
from functok.models.language.capture import residual_stream
from functok.retrieval.causal.attribution import (
    agreement,
    attribute,
    log_probability,
    logit_difference,
    measure_effects,
    shares,
)
from functok.runtime.errors import UserError
from functok.tokens.counting.function_tokens import class_array

VOCABULARY, WIDTH, FEATURES = 20, 16, 24
IDS, SOURCE = [0, 7, 2, 11, 3, 9, 4], [0, 7, 2, 15, 3, 6, 4]


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    generator = torch.Generator().manual_seed(3)
    decoder = torch.randn(FEATURES, WIDTH, generator=generator)
    return Dictionary(
        W_enc=3 * torch.randn(WIDTH, FEATURES, generator=generator),
        b_enc=torch.zeros(FEATURES),
        W_dec=0.004 * decoder / decoder.norm(dim=1, keepdim=True),
        b_dec=torch.zeros(WIDTH),
        architecture="standard",
    )


@pytest.mark.parametrize("source", [None, SOURCE], ids=["ablation", "source"])
@pytest.mark.parametrize("steps", [1, 10])
def test_every_feature_active_in_either_prompt_gets_its_effect(model, dictionary, source, steps):
    """Small changes: the gradient is the effect."""
    metric = logit_difference(5, 8)
    table = attribute(model, dictionary, IDS, 0, metric, source, steps)
    dense = []
    for ids in (IDS, source):
        hidden = residual_stream(model, torch.tensor([ids or IDS]), 0)[0]
        z = (hidden @ dictionary.W_enc).relu()
        dense.append(z if ids else torch.zeros_like(z))
    places = ((dense[0] > 0) | (dense[1] > 0)).nonzero()
    assert table.select("position", "feature").rows() == [tuple(pair) for pair in places.tolist()]
    for column, z in zip(("activation", "target"), dense, strict=True):
        np.testing.assert_allclose(table[column], z[tuple(places.T)].numpy(), rtol=1e-5)
    checked = measure_effects(model, dictionary, IDS, 0, metric, table, top=12, sample=200, seed=1)
    assert len(checked) == len(table)
    error = (checked["effect"] - checked["exact"]).abs().mean()
    assert error < 0.1 * checked["exact"].abs().mean()
    assert min(agreement(checked).values()) > 0.9


def test_integrated_gradients_add_up_to_the_whole_change(model, dictionary):
    """Completeness: the effects sum to the metric with all features changed less that without."""
    strong = Dictionary(**{**vars(dictionary), "W_dec": 120 * dictionary.W_dec})
    metric = log_probability(5)
    fine = attribute(model, strong, IDS, 0, metric, SOURCE, steps=64)
    change = torch.zeros(len(IDS), WIDTH)
    for row in fine.iter_rows(named=True):
        direction = strong.W_dec[row["feature"]]
        change[row["position"]] += (row["target"] - row["activation"]) * direction
    moves = [Intervention(0, place, vector) for place, vector in enumerate(change)]
    with torch.no_grad():
        before = metric(model(torch.tensor([IDS])).logits[0, -1])
        with steer(model, moves):
            after = metric(model(torch.tensor([IDS])).logits[0, -1])
    whole = float(after - before)
    assert abs(fine["effect"].sum() - whole) < 0.02 * abs(whole)
    coarse = attribute(model, strong, IDS, 0, metric, SOURCE, steps=1)
    assert abs(coarse["effect"].sum() - whole) > abs(fine["effect"].sum() - whole)


def test_shares_name_the_last_position_and_leave_special_tokens_out(model, dictionary):
    classes = class_array([2, 3, 4], [0], VOCABULARY)
    table = attribute(model, dictionary, IDS, 0, logit_difference(5, 8))
    found = shares(table, IDS, classes)
    assert found["place"].to_list() == ["content", "function", "last"]
    assert found["positions"].to_list() == [3, 2, 1]
    assert found["share"].sum() == pytest.approx(1.0)
    function = table.filter(pl.col("position").is_in([2, 4]))
    others = table.filter(pl.col("position") != 0)
    share = function["effect"].abs().sum() / others["effect"].abs().sum()
    row = found.row(1, named=True)
    assert row["share"] == pytest.approx(share)
    assert row["per_position"] == pytest.approx(share / (2 / 6))
    assert row["per_norm"] == pytest.approx(
        function["effect"].abs().sum() / function["written"].sum()
    )


def test_a_source_of_another_length_is_refused(model, dictionary):
    with pytest.raises(UserError, match="The source has 2 tokens and the prompt 7"):
        attribute(model, dictionary, IDS, 0, logit_difference(5, 8), [1, 2])
