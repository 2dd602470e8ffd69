"""What the losses step leaves beside the losses, and what it says of weights."""

import math
import shutil
from pathlib import Path

import polars as pl
import pytest
import yaml

from functok.consolidation.losses import GroupedLoss
from functok.runtime.progress import Silent
from functok.runtime.store import RunFolder
from functok.study.run import Run
from functok.study.settings import Study
from functok.study.steps.consolidation.losses import _compare_weights
from functok.tokens.counting.function_tokens import TRANSITIONS
from system.tiny import functok, write_study


def test_a_run_leaves_the_shares_of_every_checkpoint_under_both_floors(whole_run: Path) -> None:
    folder = RunFolder(whole_run)

    def table(name: str) -> pl.DataFrame:
        return pl.read_parquet(folder.consolidation(name))

    found, known = table("decomposition"), table("loss_summary")
    assert found["floor"].unique(maintain_order=True).to_list() == [
        "kneser-ney-bigram",
        "kneser-ney-5",
    ]
    for _, part in found.group_by("floor"):
        shared = ["step", "group", "mean", "share_of_tokens", "share_of_loss"]
        assert part.select(shared).equals(known.select(shared), null_equal=True)
        assert part.filter(pl.col("step") == known["step"].max())["drop"].is_nan().all()
    bigram = GroupedLoss(table("floors"))
    of_bigram = found.filter(pl.col("floor") == "kneser-ney-bigram").head(4)
    means = [bigram.mean(group).value for group in TRANSITIONS]
    assert of_bigram["floor_mean"].to_list() == pytest.approx(means)
    assert len(table("class_effects")) == len(table("target_effects")) == 2 * 9
    assert not folder.consolidation("integrity").exists(), "of loaded models alone"


class Heard(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


def test_checkpoints_with_the_same_weights_are_named(whole_run: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    for step in (1, 2, 3):
        source = whole_run / "models" / f"step-0000{'00' if step == 3 else '24'}"
        shutil.copytree(source, model / f"step{step}")
    revisions = ("step1", "step2", "step3")
    study = Study.model_validate(
        {"name": "a", "model": {"load": str(model), "revisions": revisions}}
    )
    run = Run(study, RunFolder(tmp_path / "run"), progress := Heard())
    _compare_weights(run)
    assert progress.said == [
        "  Warning: checkpoint step1: the same weights as step2.",
        "  Warning: checkpoint step2: the same weights as step1.",
    ]
    table = pl.read_parquet(run.folder.consolidation("integrity"))
    assert table["status"].to_list() == ["duplicate", "duplicate", "sound"]


TESTS = {"O-loss-hardest", "O-loss-share", "O-loss-drop", "E-loss", "E-loss-target"}


def _evidence(run: Path) -> dict[str, dict]:
    rows = (pl.read_parquet(file).row(0, named=True) for file in (run / "tests").glob("*loss*"))
    return {row["test"]: row for row in rows}


def test_a_run_leaves_every_row_of_the_claim_and_its_parts_add_up(whole_run: Path) -> None:
    found, folder = _evidence(whole_run), RunFolder(whole_run)
    assert {*found} == TESTS
    table = pl.read_parquet(folder.consolidation("loss_summary"))
    last = table.filter(pl.col("step") == pl.col("step").max(), pl.col("group") != "all")
    for test, column in (("O-loss-hardest", "mean"), ("O-loss-share", "share_of_loss")):
        values = dict(last.select("group", column).iter_rows())
        mine = values.pop("fc")
        assert found[test]["measured"] == pytest.approx(mine)
        assert found[test]["effect"] == pytest.approx(mine - max(values.values()))
    fixed = pl.read_parquet(folder.consolidation("target_effects"))
    fixed = fixed.filter(outcome="loss", targets="content")
    assert found["E-loss-target"]["effect"] == fixed["value"][0]
    kinds = pl.read_parquet(folder.consolidation("loss_subclasses"))
    by_group = kinds.group_by("group").agg(pl.col("share_of_tokens", "share_of_loss").sum())
    shares = last.join(by_group, on="group", suffix="_of_kinds")
    for name in ("share_of_tokens", "share_of_loss"):
        assert shares[name].to_list() == pytest.approx(shares[f"{name}_of_kinds"].to_list())


def test_every_row_is_repeated_under_thresholds_and_readings(whole_run: Path) -> None:
    folder = RunFolder(whole_run)
    table = pl.read_parquet(folder.consolidation("loss_definitions"))
    assert table["definition"].n_unique() == 8
    for _, part in table.group_by("definition"):
        assert {*part["test"]} >= TESTS
    studied, declared = table.filter(definition="as studied"), _evidence(whole_run)
    for row in studied.filter(pl.col("test").is_in([*TESTS])).iter_rows(named=True):
        assert row["effect"] == pytest.approx(declared[row["test"]]["effect"], nan_ok=True)
        assert row["unit"] == declared[row["test"]]["unit"]
    shares = table.filter(test="O-loss-share").filter(
        pl.col("definition").str.starts_with("most frequent")
    )
    assert shares["effect"].n_unique() > 1, "the classes differ"


def test_an_untrained_model_alone_decides_nothing(
    whole_run: Path, tiny_study: Path, tmp_path: Path
) -> None:
    content = yaml.safe_load(tiny_study.read_text())
    content |= {"name": "untrained", "model": {"load": str(whole_run / "models/step-000000")}}
    content |= {"dictionaries": [], "tokenizer": {"load": str(whole_run / "tokenizer")}}
    study = write_study(tmp_path / "study.yaml", content)
    outcome = functok("losses", study, "-o", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    found = _evidence(tmp_path / "run")
    assert {*found} == TESTS - {"O-loss-drop"}, "there is no course of training"
    for row in found.values():
        assert math.isnan(row["effect_low"] + row["effect_high"] + row["p_value"])
        assert "the model predicts no better than token frequencies" in row["unit"]
    repeated = pl.read_parquet(RunFolder(tmp_path / "run").consolidation("loss_definitions"))
    assert {*repeated["answer"]} == {"undecided"}
    assert "function→content by the sub-class" in outcome.out


def test_gradients_are_measured_where_the_study_asks_for_them(
    whole_run: Path, tiny_study: Path, tmp_path: Path
) -> None:
    refused = functok("gradients", whole_run)
    assert refused.code == 2
    assert "losses.gradients" in refused.err
    content = yaml.safe_load(tiny_study.read_text())
    content |= {"model": {"load": str(whole_run / "models/step-000000")}, "dictionaries": []}
    content |= {"name": "asked", "losses": {"gradients": 1500}}
    content |= {"tokenizer": {"load": str(whole_run / "tokenizer")}}
    study = write_study(tmp_path / "study.yaml", content)
    outcome = functok("gradients", study, "-o", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    table = pl.read_parquet(tmp_path / "run/consolidation/gradients.parquet")
    assert len(table) == 2 * 5 * 5
    by_group = table.filter(pl.col("group") != "all")
    sums = by_group.group_by("optimiser", "block").agg(pl.col("share").sum())
    assert sums["share"].to_list() == pytest.approx([1.0] * len(sums))
    row = _evidence(tmp_path / "run")["E-loss-gradient"]
    assert math.isnan(row["p_value"]), "an untrained model decides nothing"
    drawn = functok("figure", "gradient-share", tmp_path / "run", "-o", tmp_path / "share.svg")
    assert drawn.code == 0, drawn.err
