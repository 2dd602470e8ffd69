"""The paper's §4 without an SAE: the loss by transition group on held-out text."""

from typing import TYPE_CHECKING

from functok.study.run import Run
from functok.study.step import Step, needs_held_out, rows_of

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

FLOOR = "kneser-ney-bigram"
_TABLES = ("losses", "floors", "loss_summary")


def _work(run: Run, key: str) -> None:
    """The loss on held-out text by transition group, at every checkpoint and under the floor."""
    import polars as pl
    import pyarrow as pa

    from functok.consolidation.checkpoints import steps_column
    from functok.consolidation.floors import KneserNeyBigram
    from functok.consolidation.losses import loss_table, model_losses, summary
    from functok.runtime.progress import ticking
    from functok.runtime.store import write_table

    held_out, classes = run.encoded("held-out"), run.vocabulary.classes
    place = (held_out, run.row_format)
    parts = []
    total = len(held_out.ids) * len(run.checkpoints)
    with run.progress.task("Held-out losses", total, "tokens") as task, ticking(task):
        for checkpoint in run.checkpoints:
            table = loss_table(model_losses(run.model(checkpoint), *place), held_out, classes)
            steps = steps_column([checkpoint.step] * len(table))
            parts.append(table.add_column(0, "step", steps))
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


def _loss_evidence(run: Run, frame: "pl.DataFrame", floor: "pa.Table") -> None:
    """Is function→content harder than content→content beyond what a bigram finds hard?"""
    import polars as pl

    from functok.claims.evidence import Evidence, as_columns
    from functok.consolidation.losses import GroupedLoss, contrast
    from functok.stats import jackknife_p_value

    last = run.last_trained
    learned = GroupedLoss(frame.filter(pl.col("step").eq_missing(last.step)))
    simple = GroupedLoss(pl.DataFrame(pl.from_arrow(floor)))
    effect = contrast([(learned, 1.0), (simple, -1.0)], "fc", "cc")
    Evidence(
        test="E-loss",
        statistic=f"loss of function→content minus content→content, nats, {last.called}",
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


LOSSES = Step(
    name="losses",
    title="Splitting the held-out loss by transition group",
    needs=("pretrain",),
    settings=lambda run: run.model_part.overlap,
    number=2,
    work=_work,
    leaves=lambda run: map(run.folder.consolidation, _TABLES),
    excuse=needs_held_out,
    evidence=("E-loss",),
    figures=("held-out-loss", "loss-share"),
    summary="Held-out loss by transition group, compared with a Kneser–Ney bigram.",
    shows=rows_of(
        lambda run: run.folder.consolidation("loss_summary"),
        ("step", "group", "mean", "mean_low", "mean_high", "share_of_tokens", "share_of_loss"),
        last=True,
    ),
)
