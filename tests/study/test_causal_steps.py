"""Facts and patching as steps of a study, on a model that was taught the facts."""

from pathlib import Path

import polars as pl
import pytest
import yaml

from functok.runtime.store import RunFolder
from retrieval.taught import write_facts_study
from system.tiny import functok


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_facts_study(tmp_path_factory.mktemp("facts"))


@pytest.fixture(scope="module")
def run(study: Path) -> RunFolder:
    done = functok("patching", study, "-o", study.parent / "run")
    assert done.code == 0, done.err
    assert "Depth at which half of the answer has reached" in done.out
    return RunFolder(study.parent / "run")


def test_known_facts_are_patched_at_every_position_from_the_subject_on(run: RunFolder) -> None:
    facts = pl.read_parquet(run.retrieval("facts"))
    assert facts["kept"].mean() > 0.8
    positions = pl.read_parquet(run.retrieval("patching_positions"))
    assert positions["fact"].n_unique() == 8
    assert set(positions["label"]) == {"subject", "between", "last"}
    assert set(positions["direction"]) == {"denoising", "noising"}
    last = positions.filter(pl.col("layer") == 1, pl.col("from_end") == 0)
    assert (last["moved"] - last["total"]).abs().max() < 1e-3, "the last layer's last position"
    curve = pl.read_parquet(run.retrieval("patching_curve"))
    assert set(curve["final_class"]) == {"function", "punctuation", "content"}


def test_both_tests_leave_their_row(run: RunFolder) -> None:
    for name in ("P5", "P6"):
        row = pl.read_parquet(run.test(name)).row(0, named=True)
        assert row["test"] == name
    shares = pl.read_parquet(run.retrieval("patching_shift"))
    assert set(shares["filler"]) == {"function", "content"}


def test_edges_are_removed_from_every_known_prompt(study: Path, run: RunFolder) -> None:
    done = functok("knockout", study, "-o", run.root)
    assert done.code == 0, done.err
    classes = pl.read_parquet(run.retrieval("knockout_classes"))
    shares = (
        classes.filter(pl.col("measure") == "shapley")
        .group_by("variant")
        .agg(pl.col("share").sum())
    )
    assert sorted(shares["variant"]) == ["mask", "mean", "zero"]
    assert all(abs(share - 1) < 1e-6 for share in shares["share"])
    assert "subject" in done.out


def test_facts_print_what_each_class_drops(study: Path, run: RunFolder) -> None:
    done = functok("facts", study, "-o", run.root)
    assert done.code == 0
    assert "facts are answered in all of their frames" in done.out
    assert "punctuation" in done.out


def changed(study: Path, **patching: object) -> Path:
    content = yaml.safe_load(study.read_text())
    content["facts"]["patching"] |= patching
    place = study.with_name("changed.yaml")
    place.write_text(yaml.safe_dump(content))
    return place


@pytest.mark.parametrize(
    ("patching", "sentence"),
    [
        ({"layers": [7]}, "there is no layer 7; the model has layers 0 to 1"),
        ({"fillers": [" Kenya", " of"]}, "' Kenya' is not a single function token"),
    ],
)
def test_what_cannot_be_patched_is_one_sentence(
    study: Path, run: RunFolder, patching: dict[str, object], sentence: str
) -> None:
    done = functok("patching", changed(study, **patching), "-o", run.root, "--replace")
    assert done.code == 2
    assert sentence in done.err
    assert done.err.count("functok: ") == 1


def test_a_study_without_facts_says_so(tiny_study: Path, tmp_path: Path) -> None:
    done = functok("patching", tiny_study, "-o", tmp_path / "run")
    assert done.code == 2
    assert "tests no facts; add facts: {}" in done.err
