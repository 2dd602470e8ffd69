"""Occurrences told apart: homographs and slots, against dense tables."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import hypergeom

from functok.controls.occurrences.homographs import homographs
from functok.controls.occurrences.labelled import Labels, uses
from functok.controls.occurrences.slots import next_class, next_token, slots
from functok.corpus import Document
from functok.encoding.tokenizer import Encoded
from functok.graph.contrasts import GRAMMAR, Sides

from .planted import documents, observed, write_store

TYPES, FEATURES, LEAST = 12, 90, 8


class Planted:
    """A store whose occurrences carry a use; the pool of features follows the use."""

    def __init__(self, folder: Path, pools: dict[str, int], seed: int = 0) -> None:
        chance = np.random.default_rng(seed + 100)
        self.encoded = documents(seed, np.ones(TYPES), 120, 20)
        size = len(self.encoded.ids)
        self.use = chance.choice(list(pools), size)
        row = np.repeat(np.arange(size), 3)
        pool = np.array([pools[str(use)] for use in self.use])[row]
        shift = self.encoded.ids[row] * 7
        feature = (shift + (chance.random(len(row)) * pool).astype(np.int64)) % FEATURES
        self.seen = observed(self.encoded, row, feature)
        ids = self.encoded.ids.reshape(120, 20)
        following = np.full((120, 20), -1, np.int64)
        following[:, :-1] = ids[:, 1:]
        self.following = following.ravel()
        self.graph = write_store(folder, self.seen, self.following)
        self.store = folder / "occurrences"
        self.labels = Labels.of(self.encoded, self.use)

    def counts(self, mask: np.ndarray) -> tuple[np.ndarray, int]:
        """Y_j over the positions of a mask, by a loop."""
        wanted = set(np.flatnonzero(mask).tolist())
        pairs = zip(self.seen.row.tolist(), self.seen.feature.tolist(), strict=True)
        found = Counter(feature for row, feature in pairs if row in wanted)
        return np.array(list(found.values())), int(mask.sum())

    def richness(self, mask: np.ndarray, drawn: int) -> float:
        counts, exposure = self.counts(mask)
        return float(np.sum(1 - hypergeom.pmf(0, exposure, counts, drawn)))


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return Planted(tmp_path_factory.mktemp("rich"), {"ADP": 60, "NOUN": 15, "SYM": 30})


@pytest.fixture(scope="module")
def level(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return Planted(tmp_path_factory.mktemp("level"), {"ADP": 40, "NOUN": 40})


SHOWN = [f"␣w{token}" for token in range(TYPES)]


def everyone(token: np.ndarray, label: np.ndarray, exposure: np.ndarray) -> np.ndarray:
    return exposure > 0


def test_uses_count_the_features_of_their_own_occurrences(rich):
    found = uses(rich.store, FEATURES, rich.labels, everyone)
    assert len(found) == 3 * TYPES
    for one in found[:9]:
        name = rich.labels.names[one.label]
        counts, exposure = rich.counts((rich.encoded.ids == one.token) & (rich.use == name))
        assert one.incidence.exposure == exposure
        assert sorted(one.incidence.counts.tolist()) == sorted(counts.tolist())


def test_occurrences_without_a_label_are_passed_over(rich):
    half = np.where(np.arange(len(rich.use)) % 2, rich.use, "")
    found = uses(rich.store, FEATURES, Labels.of(rich.encoded, half), everyone)
    assert sum(one.incidence.exposure for one in found) == len(rich.use) // 2
    nothing = Labels.of(rich.encoded, np.full(len(rich.use), ""))
    assert uses(rich.store, FEATURES, nothing, everyone) == []


def test_a_richer_use_of_one_and_the_same_token_is_found(rich):
    found = homographs(rich.store, FEATURES, rich.labels, SHOWN, 0, least=LEAST)
    for row in found.effects.iter_rows(named=True):
        assert row["low"] > 0.1
        assert row["p_value"] < 0.01
        assert row["strings"] == TYPES
    use = found.uses.row(0, named=True)
    here = (rich.encoded.ids == use["token_id"]) & (rich.use == use["use"])
    assert use["occurrences"] == here.sum()
    assert use["richness"] == pytest.approx(rich.richness(here, use["exposure"]))
    kinds = dict(found.uses.select("use", "class").unique().rows())
    assert kinds == {"ADP": "function", "NOUN": "content", "SYM": "other"}
    same = found.uses.group_by("token_id").agg(
        pl.col("exposure").n_unique(), least=pl.col("occurrences").min(), n=pl.col("exposure").min()
    )
    assert same["exposure"].to_list() == [1] * TYPES
    assert same["least"].equals(same["n"].rename("least"))


def test_uses_that_are_alike_do_not_differ(level):
    found = homographs(level.store, FEATURES, level.labels, SHOWN, 0, least=LEAST)
    row = found.effects.row(0, named=True)
    assert row["low"] < 0 < row["high"]
    assert row["p_value"] > 0.05


def test_swapping_the_classes_flips_the_sign(rich):
    one, two = (
        homographs(
            rich.store, FEATURES, rich.labels, SHOWN, 0, least=LEAST, function=f, content=c
        ).effects["value"]
        for f, c in ((("ADP",), ("NOUN",)), (("NOUN",), ("ADP",)))
    )
    assert one.to_list() == pytest.approx((-two).to_list())


def test_uses_that_are_too_rare_leave_a_reason(rich):
    found = homographs(rich.store, FEATURES, rich.labels, SHOWN, 0, least=10_000)
    assert found.uses.is_empty()
    assert found.pairs.is_empty()
    assert "0 strings" in found.effects["note"][0]
    assert math.isnan(found.effects["value"][0])


FUNCTION = np.arange(TYPES) < 6
SIDES = Sides(GRAMMAR, FUNCTION, ~FUNCTION)


def test_what_the_slot_explains_is_not_the_class(tmp_path):
    """Function tokens stand before rich slots more often; within a slot nothing differs."""
    chance = np.random.default_rng(101)
    encoded = documents(1, np.ones(TYPES), 300, 20)
    slot = np.where(
        chance.random(len(encoded.ids)) < np.where(FUNCTION[encoded.ids], 0.7, 0.3), "rich", "poor"
    )
    row = np.repeat(np.arange(len(slot)), 3)
    pool = np.where(slot[row] == "rich", 80, 12)
    feature = (encoded.ids[row] * 5 + (chance.random(len(row)) * pool).astype(np.int64)) % FEATURES
    seen = observed(encoded, row, feature)
    write_store(tmp_path, seen, np.append(encoded.ids[1:], 0).astype(np.int64))
    labels = Labels.of(encoded, slot)
    anywhere = Labels.of(encoded, np.full(len(slot), "anywhere"))
    found = slots(
        tmp_path / "occurrences", FEATURES, {"slot": labels, "anywhere": anywhere},
        SIDES, SHOWN, 0, exposure=20,
    ).effects  # fmt: skip
    by_name = {line["matching"]: line for line in found.iter_rows(named=True)}
    assert by_name["anywhere"]["low"] > 0.05
    assert by_name["anywhere"]["p_value"] < 0.01
    assert by_name["slot"]["low"] < 0 < by_name["slot"]["high"]
    assert by_name["slot"]["p_value"] > 0.05
    assert by_name["slot"]["slots"] == 2


def test_a_class_that_is_richer_in_every_slot_is_found_whatever_the_slot(tmp_path):
    chance = np.random.default_rng(102)
    encoded = documents(2, np.ones(TYPES), 300, 20)
    row = np.repeat(np.arange(len(encoded.ids)), 3)
    pool = np.where(FUNCTION[encoded.ids[row]], 60, 25)
    feature = (chance.random(len(row)) * pool).astype(np.int64)
    following = encoded.ids.reshape(300, 20)
    following = np.pad(following[:, 1:], ((0, 0), (0, 1)), constant_values=-1).ravel()
    write_store(tmp_path, observed(encoded, row, feature), following.astype(np.int64))
    matchings = {"token": next_token, "class": next_class(np.arange(TYPES) % 2)}
    found = slots(tmp_path / "occurrences", FEATURES, matchings, SIDES, SHOWN, 0, exposure=20)
    assert (found.effects["low"] > 0.05).all()
    assert (found.effects["p_value"] < 0.01).all()
    assert found.effects["slots"].to_list() == [TYPES, 2]
    cell = found.cells.row(5, named=True)
    assert cell["class"] == ("function" if cell["token_id"] < 6 else "content")


def test_with_slot_intercepts_the_effect_is_the_dummy_regressions(rich):
    from statsmodels.regression.linear_model import OLS

    found = slots(rich.store, FEATURES, {"use": rich.labels}, SIDES, SHOWN, 0, exposure=LEAST)
    cells = found.cells
    slot = cells["slot"].to_numpy()
    design = np.column_stack(
        [(cells["class"] == "function").to_numpy(), *(slot == s for s in np.unique(slot))]
    ).astype(float)
    fit = OLS(cells["log_s"].to_numpy(), design).fit(
        cov_type="cluster",
        cov_kwds={"groups": cells["token_id"].to_numpy(), "use_correction": False},
    )
    row = found.effects.row(0, named=True)
    assert row["value"] == pytest.approx(fit.params[0])
    from scipy.special import stdtrit

    half = stdtrit(TYPES - 2, 0.975) * fit.bse[0] * math.sqrt(TYPES / (TYPES - 1))
    assert row["high"] - row["value"] == pytest.approx(half)


def test_slots_without_both_classes_give_a_reason(rich):
    nobody = np.zeros(TYPES, bool)
    for sides in (Sides("", nobody, ~nobody), Sides("", nobody, nobody)):
        found = slots(rich.store, FEATURES, {"next": next_token}, sides, SHOWN, 0)
        assert found.cells.is_empty()
        assert "no slot" in found.effects["note"][0]


def test_a_treebanks_tags_meet_the_occurrences_of_its_text():
    from tokenizers import Tokenizer as Backend
    from tokenizers import models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from functok.tokens.grammar.treebanks import Treebank

    backend = Backend(models.WordLevel({"we": 0, "like": 1, "cats": 2, "?": 3}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="?")
    texts = ("we like cats", "cats like")
    words = pl.DataFrame(
        {
            "document": [0, 0, 0, 1, 1],
            "sentence": [0, 0, 0, 1, 1],
            "start": [0, 3, 8, 0, 5],
            "stop": [2, 7, 12, 4, 9],
            "form": ["we", "like", "cats", "cats", "like"],
            "upos": ["PRON", "VERB", "NOUN", "NOUN", "ADP"],
        }
    )
    labels = Labels.of_treebank(Treebank(texts, words), tokenizer)
    keys = [Document("", text).key for text in texts]
    rows = {
        "document": np.array([keys[0], keys[1], keys[1], 12345]),
        "position": np.array([1, 1, 0, 0]),
    }
    found = [labels.names[code] if code >= 0 else None for code in labels(rows)]
    assert found == ["VERB", "ADP", "NOUN", None]
    assert (
        Labels.of(Encoded(np.zeros(0, np.int32), np.zeros(1, np.int64), np.zeros(0, np.int64)), [])(
            rows
        ).tolist()
        == [-1] * 4
    )
