"""Places to steer: cuts by hand, the gains of single prompts, and studies with a planted effect."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import yaml

from functok.encoding.contexts import RowFormat
from functok.encoding.tokenizer import Encoded
from functok.models.dictionaries import Dictionary
from functok.models.language.capture import residual_stream
from functok.retrieval.steering.classes import (
    APART,
    Pair,
    class_effect,
    class_table,
    paired_prompts,
    steering_by_class,
    without_types,
)
from functok.retrieval.steering.comparison import Gains
from functok.retrieval.steering.gains import Prompt, followed, following, steering_effects
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION, class_array
from system.tiny import functok, write_study

VOCABULARY, WIDTH, FEATURES = 20, 16, 6
CLASSES = class_array([2, 3, 4], [0], VOCABULARY)


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    generator = torch.Generator().manual_seed(3)
    return Dictionary(
        W_enc=30 * torch.randn(WIDTH, FEATURES, generator=generator),
        b_enc=-2 * torch.rand(FEATURES, generator=generator),
        W_dec=torch.randn(FEATURES, WIDTH, generator=generator),
        b_dec=torch.zeros(WIDTH),
        architecture="standard",
    )


@pytest.fixture(scope="module")
def text() -> Encoded:
    chance = np.random.default_rng(2)
    lengths = chance.integers(3, 40, 200)
    offsets = np.concatenate([[0], lengths.cumsum()])
    ids = chance.integers(1, VOCABULARY, offsets[-1]).astype(np.int32)
    return Encoded(ids, offsets, chance.integers(0, 2**63, len(lengths), dtype=np.int64))


def test_pairs_are_cuts_of_one_document_at_neighbouring_tokens_of_either_class(text) -> None:
    pairs = paired_prompts(text, CLASSES, 150, 0)
    known = {int(key): number for number, key in enumerate(text.keys)}
    assert len({pair.document for pair in pairs}) == len(pairs) > 100
    earlier = 0
    for pair in pairs:
        number = known[pair.document]
        ids = text.ids[text.offsets[number] : text.offsets[number + 1]].tolist()
        lengths = [len(cut) - 1 for cut in pair.cuts]
        for cut, wanted, length in zip(pair.cuts, (FUNCTION, CONTENT), lengths, strict=True):
            assert cut == [0, *ids[:length]]
            assert CLASSES[cut[-1]] == wanted
            assert 8 <= length <= 32
        place, other = lengths
        assert abs(place - other) <= APART
        between = ids[min(place, other) : max(place, other) - 1]
        assert all(CLASSES[one] != CONTENT for one in between) or abs(place - other) == 1
        earlier += place < other
    assert 0.25 < earlier / len(pairs) < 0.75, "neither class is always the earlier one"
    assert len(paired_prompts(text, CLASSES, 5, None)) == 5


def test_what_follows_is_counted_by_the_class_of_the_token_there(model, dictionary, text) -> None:
    features = np.array([4, 1])
    place = (model, dictionary, text, features, 0, RowFormat(40, 0), CLASSES)
    counts = followed(*place)
    sums = counts.sum(0)
    np.testing.assert_allclose(following(*place), sums / sums.sum(1, keepdims=True))
    one = text.where(np.arange(len(text)) == 7)
    counts = followed(model, dictionary, one, features, 0, RowFormat(40, 0), CLASSES)
    ids = one.ids.tolist()
    hidden = residual_stream(model, torch.tensor([[0, *ids]]), 0)[0, 1:]
    z = hidden @ dictionary.W_enc + dictionary.b_enc
    by_hand = np.zeros_like(counts)
    for position in range(len(ids) - 1):
        for row, feature in enumerate(features):
            active = bool(z[position, feature] > 0)
            by_hand[CLASSES[ids[position]], row, ids[position + 1]] += active
    assert by_hand.sum() > 0
    np.testing.assert_array_equal(counts, by_hand)


@pytest.mark.parametrize("equal_norm", [True, False])
def test_gains_are_those_of_single_prompts_at_that_strength(
    model, dictionary, text, equal_norm
) -> None:
    features = np.arange(FEATURES)
    chance = np.random.default_rng(0)
    expected = chance.dirichlet(np.ones(VOCABULARY), (2, FEATURES))
    pairs = paired_prompts(text, CLASSES, 3, 0)
    shares = (0.5, 0.5) if equal_norm else (0.5, 0.8)
    found = steering_by_class(model, dictionary, pairs, features, expected, 0, shares, equal_norm)
    for number, pair in enumerate(pairs):
        norms = [
            float(residual_stream(model, torch.tensor([ids]), 0)[0, -1].norm()) for ids in pair.cuts
        ]
        for one in range(2):
            alpha = shares[one]
            if equal_norm:
                alpha = shares[0] * (norms[0] * norms[1]) ** 0.5 / norms[one]
            prompt = Prompt(pair.document, pair.cuts[one])
            alone = steering_effects(
                model, dictionary, [prompt], features, expected[one], 0, alpha, 0
            )
            np.testing.assert_allclose(found[one].added[number], alone.added[0], atol=1e-5)
            np.testing.assert_allclose(found[one].added_kl[number], alone.added_kl[0], atol=1e-5)
    table = class_table(pairs, {"norm": found}, [str(token) for token in range(VOCABULARY)])
    row = table.filter(pl.col("class") == "content").row(1, named=True)
    added = found[1].added[1]
    assert row["own"] == pytest.approx(np.diag(added).mean())
    others = (added.sum() - np.trace(added)) / (FEATURES * (FEATURES - 1))
    assert row["other"] == pytest.approx(others)
    assert row["token"] == str(pairs[1].cuts[1][-1])


def _study(
    seed: int, effect: float, by_type: float, documents: int = 60, types: int = 12
) -> tuple[list[Pair], Gains, Gains]:
    """Gains of documents, features and types of last token, each with an effect of its own."""
    chance = np.random.default_rng(seed)
    last = chance.integers(0, types, (2, documents))
    pairs = [
        Pair(number, ([1, int(one)], [1, types + int(two)]))
        for number, (one, two) in enumerate(last.T)
    ]
    features = 10
    kinds = by_type * chance.normal(size=(2, types))
    of_feature = 0.2 * chance.normal(size=(2, features))
    both = []
    for one, mean in enumerate((0.5 + effect, 0.5)):
        added = 0.3 * chance.normal(size=(documents, features, features))
        own = mean + kinds[one, last[one]][:, None] + of_feature[one]
        at = np.arange(features)
        added[:, at, at] += own + 0.3 * chance.normal(size=own.shape)
        zero = np.zeros((documents, features))
        both.append(Gains(np.arange(documents), at, added, zero + 1, zero, zero))
    return pairs, both[0], both[1]


def test_the_interval_counts_types_and_features_and_not_documents_alone() -> None:
    runs = 200
    null = [class_effect(*_study(seed, 0.0, 0.4)) for seed in range(runs)]
    assert sum(one.p_value < 0.05 for one in null) <= 16
    held = [class_effect(*_study(seed, 0.4, 0.2)).estimate for seed in range(runs)]
    assert sum(one.low <= 0.4 <= one.high for one in held) >= 186
    assert sum(one.low > 0 for one in held) > 100, "it is found"
    pairs, function, content = _study(0, 0.0, 0.4)
    parts = [one.own.mean(1) for one in (function, content)]
    by_document = np.std(parts[0] - parts[1]) / np.sqrt(len(pairs))
    assert null[0].error > 1.5 * by_document


def test_off_the_manifold_there_is_no_interval() -> None:
    pairs, function, content = _study(0, 1.0, 0.2)
    wild = replace(content, added_kl=content.added_kl + 9)
    found = class_effect(pairs, function, wild)
    assert np.isnan(found.p_value)
    assert found.estimate.value == pytest.approx(class_effect(pairs, function, content)[0].value)


def test_the_mean_without_each_type() -> None:
    values = np.array([1.0, 2.0, 4.0, 9.0])
    assert without_types(values, [7, 7, 3, 5]).tolist() == [4.0, 7 / 3, 6.5]
    assert np.isnan(without_types(values, [1, 1, 1, 1])).all()


def test_a_study_compares_places_if_it_asks_for_it(
    whole_run: Path, tiny_study: Path, tmp_path: Path
) -> None:
    refused = functok("placement", whole_run)
    assert refused.code == 2
    assert "classes" in refused.err
    content = yaml.safe_load(tiny_study.read_text())
    content["model"] = {"load": str(whole_run / "models/step-000024")}
    content["tokenizer"] = {"load": str(whole_run / "tokenizer")}
    content["dictionaries"] = content["dictionaries"] | {"checkpoints": [], "quality_tokens": 0}
    content["steer"] = {"tokens": None, "classes": {"pairs": 40, "features": 8}}
    study = write_study(tmp_path / "study.yaml", content)
    outcome = functok("placement", study, "-o", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "Function minus content tokens" in outcome.out
    table = pl.read_parquet(tmp_path / "run/retrieval/steering_classes.parquet")
    assert table.group_by("constraint", "class").len()["len"].n_unique() == 1
    row = pl.read_parquet(tmp_path / "run/tests/P7.parquet").row(0, named=True)
    gains = table.with_columns((pl.col("own") - pl.col("other")).alias("gain"))
    by_class = gains.group_by("constraint", "class").agg(pl.col("gain").mean())
    differences = by_class.pivot(on="class", index="constraint", values="gain")
    effects = (differences["function"] - differences["content"]).to_list()
    told = pl.read_parquet(tmp_path / "run/retrieval/steering_class_effects.parquet")
    assert sorted(told["difference"].to_list()) == pytest.approx(sorted(effects))
    assert any(row["effect"] == pytest.approx(one) for one in effects)
    drawn = functok("figure", "steering-classes", tmp_path / "run", "-o", tmp_path / "f.svg")
    assert drawn.code == 0, drawn.err
