"""Every figure says what stands behind it: against the run's own tables and records."""

import json
from pathlib import Path

import polars as pl
import pytest

from figures.small_run import write_small_run
from functok.figures.catalogue import figures
from functok.figures.paper import caption
from functok.figures.sample import sample
from functok.runtime.store import RunFolder


def test_every_figure_counts_what_stands_behind_it(tmp_path: Path) -> None:
    folder = write_small_run(tmp_path / "run")
    for figure in figures(folder, 4):
        said = sample(figure, folder)
        assert any(letter.isdigit() for letter in said), figure.name
        assert said.endswith("."), figure.name
        assert "None" not in said, figure.name
        assert said in caption(figure, folder)


def said(run: Path, name: str) -> str:
    folder = RunFolder(run)
    (figure,) = figures(folder, 4, [name])
    return sample(figure, folder)


def test_the_numbers_are_those_of_the_run(whole_run: Path) -> None:
    folder = RunFolder(whole_run)
    counted = json.loads(folder.counted.read_text())
    documents, tokens = counted["documents"], counted["tokens"]
    assert said(whole_run, "token-frequency") == f"{tokens:,} tokens in {documents:,} documents."
    judged = folder.judged
    assert judged is not None
    meta = json.loads((judged / "meta.json").read_text())
    assert said(whole_run, "token-degree") == (
        f"{meta['positions']:,} positions in {meta['corpus']['documents']} documents, 1 SAE."
    )
    losses = pl.read_parquet(folder.consolidation("losses"))
    last = losses.filter(pl.col("step") == losses["step"].max())["count"].sum()
    steps = losses["step"].n_unique()
    assert said(whole_run, "held-out-loss") == (
        f"{last:,} predicted tokens of held-out text, {steps} checkpoints, 1 training seed."
    )
    assert said(whole_run, "trace") == "1 prompt, 4 features, 1 SAE."
    assert said(whole_run, "steering-gain") == "16 documents, 4 features, 1 SAE."


@pytest.mark.parametrize("name", ["token-frequency", "token-degree"])
def test_what_is_not_known_is_not_said(name: str, tmp_path: Path) -> None:
    folder = write_small_run(tmp_path / "run")
    folder.counted.unlink()
    judged = folder.judged
    assert judged is not None
    (judged / "meta.json").write_text("{}")
    (figure,) = figures(folder, only=[name])
    assert sample(figure, folder) == ("" if name == "token-frequency" else "1 SAE.")
