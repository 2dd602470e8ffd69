"""Whose loss drives the update: the gradient by transition group, at every checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functok.runtime.store import read_frame
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import Step, known, needs_held_out

if TYPE_CHECKING:
    from functok.consolidation.gradients import GroupGradients
    from functok.encoding.tokenizer import Encoded
    from functok.study.plan.forecast import Forecast
    from functok.study.settings import Study
    from functok.study.step import Shown

TEST = "E-loss-gradient"
_PASSES = 2
"""Of the text: Adam's denominators first, then the gradients."""


def _work(run: Run, key: str) -> None:
    import polars as pl

    from functok.claims.evidence import with_intervals
    from functok.consolidation.gradients import gradient_table, gradient_test, group_gradients
    from functok.encoding.documents import drawn, sample_sentence
    from functok.runtime.progress import ticking
    from functok.runtime.store import write_table

    whole, classes = run.encoded("held-out"), run.vocabulary.classes
    text, seed = drawn(whole, run.study.losses.gradients), run.study.seed
    run.progress.say(f"  {sample_sentence(text, whole)}")
    total = _PASSES * len(text.ids) * len(run.checkpoints)
    measured = []
    with run.progress.task("Gradients", total, "tokens") as task, ticking(task):
        for checkpoint in run.checkpoints:
            model = run.model(checkpoint, exact=True)
            measured.append(group_gradients(model, text, classes, run.row_format, seed))
    tables = [
        gradient_table(found).select(pl.lit(one.step, pl.Int64).alias("step"), pl.all())
        for one, found in zip(run.checkpoints, measured, strict=True)
    ]
    table = with_intervals(pl.concat(tables).to_arrow(), len(text))
    write_table(run.folder.consolidation("gradients"), table)
    last = measured[-1]
    row = gradient_test(last, run.last_trained.called, seed, _unlearned(run, text, last))
    row.write(run.folder, len(text))


def _unlearned(run: Run, text: Encoded, found: GroupGradients) -> str | None:
    """Why nothing follows from the last model's gradients."""
    from functok.consolidation.floors import unlearned_sums
    from functok.consolidation.kneser_ney import KneserNey
    from functok.consolidation.losses import GroupedLoss

    classes = run.vocabulary.classes
    unigram = KneserNey.fit(run.encoded("train"), classes, order=1)
    floor = GroupedLoss.of(unigram.losses(text, run.row_format), text, classes)
    used = floor.counts[:, floor.used]
    return unlearned_sums(found.losses.T - floor.sums[:, floor.used], used)


def _cost(run: Run, forecast: Forecast) -> Cost:
    """Of each checkpoint, two forward and at most five backward passes, each of two products."""
    count = len(run.checkpoints)
    tokens = forecast.measured(run.study.losses.gradients)
    weights = forecast.model.times(1)
    held = Cost(memory=3 * weights.memory, device=3 * weights.device)
    return forecast.loading(count) + forecast.passes(12 * count * tokens).with_held(held)


def _excuse(study: Study) -> str | None:
    if study.losses.gradients is not None:
        return needs_held_out(study)
    return (
        f"Study {study.name} measures no gradients; give it held-out tokens for "
        "losses.gradients, such as 8000."
    )


def _shows(run: Run) -> Shown:
    """The last checkpoint by group, the gradient as it is and as Adam scales it."""
    import polars as pl

    table = read_frame(run.folder.consolidation("gradients"))
    last = table.filter(pl.col("step").eq_missing(run.last_trained.step), block="all")
    columns = ("share_of_tokens", "share", "share_low", "share_high", "norm", "signal_to_noise")
    yield known(last, "optimiser", "group", *columns, *(f"cosine_{g}" for g in ("fc", "cc")))
    yield f"{len(table)} rows in {run.folder.consolidation('gradients')}"


GRADIENTS = Step(
    name="gradients",
    title="Measuring gradients by transition group",
    needs=("losses",),
    settings=lambda run: run.study.losses.gradients,
    work=_work,
    cost=_cost,
    runs_model=True,
    leaves=lambda run: [run.folder.consolidation("gradients")],
    excuse=_excuse,
    evidence=(TEST,),
    figures=("gradient-share",),
    summary="Gradients by transition group: shares of the update, norms, alignment, noise.",
    shows=_shows,
)
