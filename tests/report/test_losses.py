"""The tables of losses in the report, from the tables of a run."""

from pathlib import Path

import polars as pl

from figures.hostile import save
from functok.consolidation.decomposition import shares
from functok.consolidation.losses import GroupedLoss
from functok.report.tables.losses import losses_by_group
from functok.runtime.store import RunFolder
from functok.tokens.counting.function_tokens import TRANSITIONS

_CELLS = pl.DataFrame(
    {
        "group": [*TRANSITIONS] * 2,
        "document_group": [0] * 4 + [9] * 4,
        "loss_sum": [4.0, 50.0, 6.0, 30.0, 5.0, 60.0, 7.0, 20.0],
        "count": [4, 10, 6, 10, 4, 10, 6, 10],
    }
)


def _written(folder: RunFolder, refused: str | None, steps: list[int | None]) -> str:
    parts = []
    for step in steps:
        loss, last = (
            GroupedLoss(_CELLS.with_columns(pl.col("loss_sum") * factor)) for factor in (2, 1)
        )
        floor = GroupedLoss(_CELLS.with_columns(loss_sum=pl.col("count") * 0.5))
        table = shares(last, floor) if step == steps[-1] else shares(loss, floor, last)
        about = [
            pl.lit("kneser-ney-5").alias("floor"),
            pl.lit(refused, pl.String).alias("refused"),
            pl.lit(step, pl.Int64).alias("step"),
        ]
        parts.append(table.select(*about, pl.all()))
    save(folder.consolidation("decomposition"), pl.concat(parts))
    kinds = {"group": ["fc", "fc", "cc"], "subclass": ["DET", "<b>", "content"]}
    for name in ("mean", "share_of_tokens", "share_of_loss"):
        kinds |= {f"{name}{end}": [0.5, 0.25, 0.125] for end in ("", "_low", "_high")}
    save(folder.consolidation("loss_subclasses"), pl.DataFrame(kinds))
    return losses_by_group(folder)


def test_the_groups_stand_with_their_shares_and_the_excess_over_an_admitted_floor(
    tmp_path: Path,
) -> None:
    said = _written(RunFolder(tmp_path), None, [0, 2, 8])
    assert "<td>function→content</td>" in said
    assert "60.44 %" in said, "of the loss, 110 of 182"
    assert "Excess is the loss minus that of a Kneser–Ney model of order 5" in said
    assert "excess, nats" in said
    assert "of the drop" in said
    assert "&lt;b&gt;" in said
    assert said.count("content</td>") == 2, "c→c is no part of f→c by sub-class"


def test_without_a_floor_or_a_course_of_training_there_are_no_such_columns(tmp_path: Path) -> None:
    said = _written(RunFolder(tmp_path), "its loss is <b>", [None])
    assert "No floor is valid" in said
    assert "its loss is &lt;b&gt;." in said
    assert "excess, nats" not in said
    assert "of the drop</th>" not in said


def test_a_run_without_losses_has_no_such_table(tmp_path: Path) -> None:
    assert losses_by_group(RunFolder(tmp_path)) == ""
