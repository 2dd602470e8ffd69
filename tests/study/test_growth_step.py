"""What the graph step leaves on growth, of SAEs that differ in their seed alone and of another."""

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from functok.runtime.store import RunFolder
from system.tiny import functok, settings, write_corpus, write_study


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    place = tmp_path_factory.mktemp("grown")
    content = settings(write_corpus(place / "corpus.jsonl", 160))
    alike = content["dictionaries"] | {"checkpoints": [0, 4, 24], "seeds": 3}
    wide = content["dictionaries"] | {"name": "wide", "checkpoints": [24]}
    wide["recipe"] = wide["recipe"] | {"width": 96}
    content |= {"dictionaries": [alike, wide], "graph": {"tokens": 1500}}
    study = write_study(place / "study.yaml", content)
    outcome = functok("graph", study, "-o", place / "run")
    assert outcome.code == 0, outcome.err
    return RunFolder(place / "run")


def test_growth_is_counted_in_every_seed_of_the_first_sae(grown: RunFolder) -> None:
    table = pl.read_parquet(grown.consolidation("growth"))
    names = ["main", "main-seed-1", "main-seed-2"]
    assert table.select("sae", "step").rows() == [
        (name, step) for name in names for step in (0, 4, 24)
    ]
    for name in names:
        quality = pl.read_parquet(grown.quality(name, name == "main"))
        part = table.filter(sae=name)
        assert part["explained_variance"].to_list() == quality["explained_variance"].to_list()
    for test, before in (("O-growth", 4), ("E-growth", 0)):
        row = pl.read_parquet(grown.test(test)).row(0, named=True)
        late, early = (table.filter(step=step)["features"].to_numpy() for step in (24, before))
        assert row["effect"] == pytest.approx(np.log(late / early).mean())
        assert row["units"] == 3
        assert "SAE seed;" not in row["unit"]
        full = max(*late, *early) > 0.7 * 64
        assert not full or math.isnan(row["effect_low"])


def test_one_seed_decides_nothing(whole_run: Path) -> None:
    folder = RunFolder(whole_run)
    row = pl.read_parquet(folder.test("E-growth")).row(0, named=True)
    assert "(no interval: one SAE seed; documents only" in row["unit"]
    assert math.isnan(row["effect_low"])
    assert not math.isnan(row["effect"])
    assert not folder.test("O-growth").exists(), "there is one trained checkpoint"
