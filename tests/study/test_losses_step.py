"""What the losses step leaves beside the losses, and what it says of weights."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from functok.consolidation.losses import GroupedLoss
from functok.runtime.progress import Silent
from functok.runtime.store import RunFolder
from functok.study.run import Run
from functok.study.settings import Study
from functok.study.steps.losses import _compare_weights
from functok.tokens.counting.function_tokens import TRANSITIONS


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
