"""A tiny world is a corpus like any other: the commands and a whole study run on it unchanged."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from functok.encoding.tokenizer import save_tokenizer
from functok.world.generator import World
from functok.world.settings import WorldSettings
from functok.world.text import world_tokenizer
from system.tiny import functok, settings, write_study

WORLD = WorldSettings(entities=8, documents=300, tokens=24)


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    save_tokenizer(world_tokenizer(World(WORLD).words), tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def test_tokens_counts_the_worlds_words(tokenizer: Path, tmp_path: Path) -> None:
    done = functok("tokens", WORLD.spec, "--tokenizer", tokenizer, "-o", tmp_path / "counted")
    assert done.code == 0, done.err
    counts = pl.read_parquet(tmp_path / "counted/tokens/counts.parquet")
    found = dict(counts.select("token_id", "occurrences").iter_rows())
    ids = World(WORLD).passages(np.arange(WORLD.documents)).ids
    words, counted = np.unique(ids, return_counts=True)
    expected = dict(zip(words.tolist(), counted.tolist(), strict=True))
    assert {word: count for word, count in found.items() if count} == expected


def test_a_study_pretrains_measures_losses_and_builds_graphs_on_a_world(
    tokenizer: Path, tmp_path: Path
) -> None:
    study = settings(Path()) | {"corpus": WORLD.spec, "tokenizer": {"load": str(tokenizer)}}
    file = write_study(tmp_path / "study.yaml", study)
    for link in ("tokens", "pretrain", "losses", "graph"):
        done = functok(link, file, "-o", tmp_path / "run")
        assert done.code == 0, done.err
    losses = pl.read_parquet(tmp_path / "run/consolidation/loss_summary.parquet")
    assert losses["step"].max() == 24
    assert set(losses["group"]) >= {"fc", "cf"}
    assert any((tmp_path / "run/graph/main/step-000024").iterdir())


def test_the_world_command_shows_a_document_with_its_labels(tmp_path: Path) -> None:
    done = functok("world", WORLD.spec, "--document", 3, "-o", tmp_path / "tokenizer")
    assert done.code == 0, done.err
    assert "oracle" in done.out
    assert "language: " in done.out
    assert (tmp_path / "tokenizer/tokenizer.json").is_file()
    assert "is not a tiny world" in functok("world", "python-docs").complaint
    assert "no option" not in functok("world", "tiny-world?entities=1").complaint
