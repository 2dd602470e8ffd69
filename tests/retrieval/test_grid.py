"""The grid of prompts and conditions against steering each by hand."""

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import beta

from functok.models.dictionaries import Dictionary
from functok.models.interventions.intervention import Clamp, Intervention, steer
from functok.models.interventions.sweeps import Trial, sweep
from functok.models.language.capture import residual_stream
from functok.models.language.model import replacing
from functok.models.training import LlamaShape, new_llama
from functok.retrieval.steering.grid import Condition, judged, rates, steering_grid, steering_vector
from functok.runtime.errors import UserError

VOCABULARY, WIDTH, LAYER = 20, 16, 0
PROMPTS, PLACES = [[0, 9, 2], [0, 6, 11, 12, 4, 10]], [[2], [2, 4]]
CONDITIONS = [Condition("one", {3: 2.0}), Condition("both", {3: 2.0, 5: 1.0})]
MAXIMUM = np.linspace(0.5, 6, 12).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    shape = LlamaShape(hidden_size=WIDTH, heads=2, key_value_heads=2, intermediate_size=24)
    return new_llama(shape, VOCABULARY, 40, 0).eval()


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    random = torch.Generator().manual_seed(2)
    weights = [torch.randn(WIDTH, 12, generator=random), torch.zeros(12)]
    return Dictionary(
        *weights, torch.randn(12, WIDTH, generator=random), torch.zeros(WIDTH), "standard"
    )


def decode(ids: list[int]) -> str:
    return " ".join(map(str, ids))


def added(dictionary, condition, unit, hidden):
    total = 0
    for feature, strength in condition.strengths.items():
        direction = dictionary.W_dec[feature]
        scale = {"activation": 1, "maximum": MAXIMUM[feature]}.get(
            unit, float(hidden.norm() / direction.norm())
        )
        total = total + strength * scale * direction
    return total


@pytest.mark.parametrize("unit", ["activation", "maximum", "norm"])
def test_every_cell_equals_steering_by_hand(model, dictionary, unit):
    table = steering_grid(
        model,
        dictionary,
        PROMPTS,
        PLACES,
        CONDITIONS,
        LAYER,
        decode,
        unit=unit,
        maximum=MAXIMUM,
        tokens=5,
    )
    assert len(table) == 2 * (1 + 2 * 2)
    for number, (ids, at) in enumerate(zip(PROMPTS, PLACES, strict=True)):
        hidden = residual_stream(model, torch.tensor([ids]), LAYER)[0]
        with torch.no_grad():
            plain = model(torch.tensor([ids])).logits[0, -1].softmax(-1)
        for condition in [None, *CONDITIONS]:

            def edit(stream, condition=condition, hidden=hidden, at=at):
                stream = stream.clone()
                for place in at if condition else []:
                    stream[0, place] += added(dictionary, condition, unit, hidden[place])
                return stream

            longer, first = list(ids), None
            with torch.no_grad(), replacing(model, LAYER, edit):
                for _ in range(5):
                    logits = model(torch.tensor([longer]), use_cache=False).logits[0, -1]
                    first = logits.softmax(-1) if first is None else first
                    longer.append(int(logits.argmax()))
            row = table.filter(
                prompt=number,
                condition=condition.name if condition else "",
                direction="feature" if condition else "none",
            ).row(0, named=True)
            assert row["answer"] == decode(longer[len(ids) :])
            token = longer[len(ids)]
            assert row["probability"] == pytest.approx(float(first[token]), rel=1e-3)
            assert row["unsteered"] == pytest.approx(float(plain[token]), rel=1e-3)
            kl = float((first * (first / plain).log()).sum())
            assert row["kl"] == pytest.approx(kl, abs=1e-4)


def test_the_control_has_the_norm_of_its_condition_and_another_direction(model, dictionary):
    table = steering_grid(
        model, dictionary, PROMPTS, PLACES, CONDITIONS, LAYER, decode, unit="norm", tokens=1
    )
    pairs = table.filter(table["direction"] != "none").partition_by("prompt", "condition")
    assert len(pairs) == 4
    for pair in pairs:
        assert pair["direction"].to_list() == ["feature", "random"]
        assert pair["norm"][0] == pytest.approx(pair["norm"][1], rel=1e-5)
        assert pair["kl"][0] != pytest.approx(pair["kl"][1], rel=1e-3)


def test_what_has_no_vector_is_refused(dictionary):
    hidden = torch.ones(WIDTH)
    with pytest.raises(UserError, match="no feature 12: the SAE has features 0 to 11"):
        steering_vector(dictionary, {12: 1.0}, "activation", hidden)
    for maximum in (None, np.zeros(12, np.float32)):
        with pytest.raises(UserError, match="Feature 3 never fires"):
            steering_vector(dictionary, {3: 1.0}, "maximum", hidden, maximum)


def test_answers_are_judged_by_their_own_condition_and_the_plain_answer_by_each():
    cells = [
        {"prompt": prompt, "condition": condition, "direction": direction, "answer": answer}
        for prompt in (0, 1, 2)
        for condition, direction, answer in (
            ("", "none", "yes"),
            ("a", "feature", "yes" if prompt else "no"),
            ("a", "random", "no"),
            ("b", "feature", "yes"),
        )
    ]
    found = judged(pl.DataFrame(cells), {"a": lambda answer: answer == "yes"})
    assert found.filter(condition="b")["right"].null_count() == 6
    rows = {row["direction"]: row for row in rates(found).iter_rows(named=True)}
    assert {name: row["rate"] for name, row in rows.items()} == pytest.approx(
        {"none": 1, "feature": 2 / 3, "random": 0}
    )
    for name, hits in (("none", 3), ("feature", 2), ("random", 0)):
        low = beta.ppf(0.025, hits, 4 - hits) if hits else 0
        high = beta.ppf(0.975, hits + 1, 3 - hits) if hits < 3 else 1
        assert (rows[name]["rate_low"], rows[name]["rate_high"]) == pytest.approx((low, high))
    assert rates(judged(pl.DataFrame(cells), {})).is_empty()


@pytest.mark.parametrize(("kind", "held"), [("set", 4.0), ("ablate", 0.0)])
def test_features_set_or_ablated_are_held_there(model, dictionary, kind, held):
    """The vector leads to where ``Clamp`` holds the feature, and the control is as long."""
    clamps = [Clamp(LAYER, place, dictionary, 3, held) for place in PLACES[1]]
    table = steering_grid(
        model,
        dictionary,
        PROMPTS[1:],
        PLACES[1:],
        [Condition("one", {3: 4.0})],
        LAYER,
        decode,
        unit="activation",
        kind=kind,
        tokens=1,
    )
    logp = sweep(model, PROMPTS[1:], [Trial(0), Trial(0, tuple(clamps))])
    kl = (logp[1].exp() * (logp[1] - logp[0])).sum()
    feature, random = (
        table.row(by_predicate=pl.col("direction") == d, named=True) for d in ("feature", "random")
    )
    assert feature["kl"] == pytest.approx(float(kl), rel=1e-3, abs=1e-6)
    assert feature["kl"] > 1e-6
    assert feature["norm"] == pytest.approx(random["norm"], rel=1e-5)


@pytest.mark.parametrize("places", [[], [2, 4]])
def test_generated_tokens_are_steered_where_they_are_meant(model, dictionary, places):
    prompt, tokens = PROMPTS[1], 6
    end = len(prompt)

    def odd(ids, positions):
        return (positions >= end) & (ids % 2 == 1)

    table = steering_grid(
        model,
        dictionary,
        [prompt],
        [places],
        CONDITIONS[:1],
        LAYER,
        decode,
        unit="activation",
        answers=[odd],
        tokens=tokens,
    )
    vector = 2.0 * dictionary.W_dec[3]
    ids = list(prompt)
    for _ in range(tokens):
        meant = [*places, *(at for at in range(end, len(ids)) if ids[at] % 2 == 1)]
        with torch.no_grad(), steer(model, [Intervention(LAYER, at, vector) for at in meant]):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    steered = table.row(by_predicate=pl.col("direction") == "feature", named=True)
    assert steered["answer"] == decode(ids[end:])
    assert (steered["kl"] > 0) == bool(places), "the first token comes before any generated one"
