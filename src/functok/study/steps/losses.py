"""The link of the paper's §4 that needs no SAE: the loss by group on held-out text."""

import polars as pl
import pyarrow as pa

from functok.claims.evidence import Evidence, as_columns
from functok.consolidation.floors import KneserNeyBigram
from functok.consolidation.losses import (
    GroupedLoss,
    contrast,
    loss_table,
    model_losses,
    summary,
)
from functok.runtime.store import write_table
from functok.stats import jackknife_p_value
from functok.study.run import Run

FLOOR = "kneser-ney-bigram"


def losses(run: Run, key: str) -> None:
    """The loss on held-out text by transition group, at every checkpoint and under the floor."""
    held_out = run.encoded("held-out")
    place, classes = (held_out, run.study.context, run.separator), run.vocabulary.classes
    parts = []
    with run.progress.task("Held-out losses", len(run.checkpoints), "checkpoints") as task:
        for checkpoint in run.checkpoints:
            table = loss_table(model_losses(run.model(checkpoint), *place), held_out, classes)
            step = pa.array([checkpoint.step] * len(table))
            parts.append(table.add_column(0, "step", step))
            task.advance()
    table = pa.concat_tables(parts)
    write_table(run.folder.consolidation("losses"), table)

    bigram = KneserNeyBigram.fit(run.encoded("train"), classes)
    floor = loss_table(bigram.losses(*place), held_out, classes)
    write_table(
        run.folder.consolidation("floors"), floor.add_column(0, "floor", [[FLOOR] * len(floor)])
    )
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    write_table(run.folder.consolidation("loss_summary"), summary(frame).to_arrow())
    _loss_evidence(run, frame, floor)


def _loss_evidence(run: Run, frame: pl.DataFrame, floor: pa.Table) -> None:
    """Is function→content harder than content→content beyond what a bigram finds hard?"""
    last = run.checkpoints[-1].step
    learned = GroupedLoss(frame.filter(pl.col("step") == last))
    simple = GroupedLoss(pl.DataFrame(pl.from_arrow(floor)))
    effect = contrast([(learned, 1.0), (simple, -1.0)], "fc", "cc")
    Evidence(
        test="E-loss",
        statistic=f"loss of function→content minus content→content, nats, step {last}",
        **as_columns("measured", learned.contrast("fc", "cc")),
        control="the same difference under a Kneser–Ney bigram",
        control_value=simple.contrast("fc", "cc").value,
        effect_name="difference in excess loss, nats",
        **as_columns("effect", effect),
        p_value=jackknife_p_value(effect, len(learned.used)),
        unit="hash groups of held-out documents",
        units=len(learned.used),
        seed=run.study.seed,
    ).write(run.folder)
