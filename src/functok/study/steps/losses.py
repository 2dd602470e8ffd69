"""The paper's §4 without an SAE: the loss by transition group on held-out text."""

from typing import TYPE_CHECKING

from functok.study.run import Run
from functok.study.step import Step, needs_held_out, rows_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa

    from functok.consolidation.losses import Losses
    from functok.encoding.tokenizer import Encoded
    from functok.models.language.hooks import HookPoint
    from functok.models.language.model import Model

FLOOR = "kneser-ney-bigram"
FITTED = 10_000_000
"""Tokens of training text that the floor of order 5 is fitted to, at most."""
_DECOMPOSED = ("decomposition", "class_effects", "target_effects")
_TABLES = ("losses", "floors", "loss_summary", "integrity", *_DECOMPOSED)


def _work(run: Run, key: str) -> None:
    """The loss on held-out text by transition group, at every checkpoint and under the floor."""
    import numpy as np
    import polars as pl
    import pyarrow as pa

    from functok.claims.evidence import with_intervals
    from functok.consolidation.checkpoints import steps_column
    from functok.consolidation.floors import KneserNeyBigram
    from functok.consolidation.losses import loss_table, model_losses, summary
    from functok.encoding.documents import drawn, sample_sentence
    from functok.models.exclusions import Counts, with_exclusions
    from functok.runtime.progress import ticking
    from functok.runtime.store import write_table

    if run.model_part.load and len(run.checkpoints) > 1:
        _compare_weights(run)
    whole, classes = run.encoded("held-out"), run.vocabulary.classes
    held_out = drawn(whole, run.study.losses.tokens)
    run.progress.say(f"  {sample_sentence(held_out, whole)}")
    place = (held_out, run.row_format)
    point, massive = _point(run), np.zeros(len(held_out.ids), bool)
    limits = [_limit(run, run.model(one), held_out, point) for one in run.checkpoints]
    memory = run.resources.memory
    losses = []
    total = len(held_out.ids) * len(run.checkpoints)
    with run.progress.task("Held-out losses", total, "tokens") as task, ticking(task):
        for checkpoint, limit in zip(run.checkpoints, limits, strict=True):
            model = run.model(checkpoint)
            losses.append([*model_losses(model, *place, point, limit, massive, memory)])
    parts = []  # a token that is massive at any checkpoint counts at none
    for checkpoint, found in zip(run.checkpoints, losses, strict=True):
        table = loss_table(found, held_out, classes, massive)
        parts.append(table.add_column(0, "step", steps_column([checkpoint.step] * len(table))))
    table = pa.concat_tables(parts)
    special = int(run.exclusions.ids(len(classes))[held_out.ids].sum())
    excluded = run.exclusions.described(Counts(special=special, massive=int(massive.sum())))
    write_table(run.folder.consolidation("losses"), with_exclusions(table, excluded))

    bigram = KneserNeyBigram.fit(run.encoded("train"), classes)
    floor = loss_table(bigram.losses(*place), held_out, classes, massive)
    write_table(
        run.folder.consolidation("floors"),
        with_exclusions(floor.add_column(0, "floor", [[FLOOR] * len(floor)]), excluded),
    )
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    shown = with_intervals(summary(frame).to_arrow(), len(held_out))
    write_table(run.folder.consolidation("loss_summary"), with_exclusions(shown, excluded))
    _loss_evidence(run, frame, floor, len(held_out))
    for name, found in _decomposed(run, frame, losses[-1], held_out, massive).items():
        shown = with_intervals(found.to_arrow(), len(held_out))
        write_table(run.folder.consolidation(name), with_exclusions(shown, excluded))


def _compare_weights(run: Run) -> None:
    """Say which checkpoints of a loaded model do not hold weights of their own."""
    from functok.consolidation.integrity import integrity
    from functok.runtime.errors import UserError
    from functok.runtime.store import write_table

    try:
        table = integrity(run.checkpoints)
    except UserError as error:  # the hub is out of reach: the checkpoints may still be here
        run.progress.say(f"  Weights were not compared. {error}")
        return
    write_table(run.folder.consolidation("integrity"), table)
    for row in table.to_pylist():
        if row["problem"] is not None:
            run.progress.say(f"  Warning: checkpoint {row['checkpoint']}: {row['problem']}.")


def _decomposed(
    run: Run,
    frame: "pl.DataFrame",
    learned: "Losses",
    held_out: "Encoded",
    massive: "np.ndarray",
) -> "dict[str, pl.DataFrame]":
    """The tables of ``consolidation/decomposition.py`` under two floors: shares at every
    checkpoint, effects at the last, whose losses at each token are ``learned``."""
    import polars as pl

    from functok.consolidation.decomposition import class_effects, effects_at_fixed_target, shares
    from functok.consolidation.floors import KneserNeyBigram, refusal
    from functok.consolidation.kneser_ney import KneserNey
    from functok.consolidation.losses import GroupedLoss, target_table
    from functok.corpus.splits import half
    from functok.encoding.documents import drawn

    train, classes = run.encoded("train"), run.vocabulary.classes
    sample = train if len(train.ids) <= FITTED else drawn(train, FITTED)
    counted = (held_out, classes, massive)
    steps = {one.step: GroupedLoss(_at(frame, one.step)) for one in run.checkpoints}
    last = steps[run.last_trained.step]
    parts: dict[str, list[pl.DataFrame]] = {name: [] for name in _DECOMPOSED}
    for name, fit, text in (
        (FLOOR, KneserNeyBigram.fit, train),
        ("kneser-ney-5", KneserNey.fit, sample),
    ):
        whole, less = (
            [*fit(some, classes).losses(held_out, run.row_format)]
            for some in (text, text.where(half(text.keys)))
        )
        floor, halved = (GroupedLoss.of(one, *counted) for one in (whole, less))
        by_step = [
            shares(loss, floor, None if loss is last else last).select(
                pl.lit(step, pl.Int64).alias("step"), pl.all()
            )
            for step, loss in steps.items()
        ]
        targets = (target_table(one, *counted) for one in (learned, whole))
        tables = (
            pl.concat(by_step),
            class_effects(last, floor),
            effects_at_fixed_target(*targets),
        )
        refused = pl.lit(refusal(floor, halved, last), pl.String)
        about = (pl.lit(name).alias("floor"), refused.alias("refused"))
        for some, table in zip(parts.values(), tables, strict=True):
            some.append(table.select(*about, pl.all()))
    return {name: pl.concat(some) for name, some in parts.items()}


def _point(run: Run) -> "HookPoint | None":
    """Where massive positions are told by their norm: after the layer of the first SAE."""
    from functok.models.language.hooks import HookPoint
    from functok.models.language.layers import middle_layer

    if not run.exclusions.massive:
        return None
    parts, model = run.study.dictionaries, run.architecture
    return HookPoint.residual(parts[0].layer_in(model) if parts else middle_layer(model))


def _limit(run: Run, model: "Model", text: "Encoded", point: "HookPoint | None") -> float:
    from functok.models.dictionaries.activations import probe_activations

    if point is None:
        return float("inf")
    (probe,) = probe_activations(model, text, [point], run.row_format, run.exclusions)
    return run.exclusions.norm_limit(probe)


def _at(frame: "pl.DataFrame", step: int | None) -> "pl.DataFrame":
    import polars as pl

    return frame.filter(pl.col("step").eq_missing(step))


def _loss_evidence(run: Run, frame: "pl.DataFrame", floor: "pa.Table", documents: int) -> None:
    """Is function→content harder than content→content beyond what a bigram finds hard?"""
    import polars as pl

    from functok.claims.evidence import Evidence, as_columns
    from functok.consolidation.losses import GroupedLoss, contrast
    from functok.stats import jackknife_p_value

    last = run.last_trained
    learned = GroupedLoss(_at(frame, last.step))
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
    ).write(run.folder, documents)


def _settings(run: Run) -> object:
    layers = [part.layer for part in run.study.dictionaries[:1]]
    overlap = run.model_part.overlap
    return [run.study.losses.tokens, run.study.graph.massive, layers, overlap]


LOSSES = Step(
    name="losses",
    title="Splitting the held-out loss by transition group",
    needs=("pretrain",),
    settings=_settings,
    number=3,
    work=_work,
    runs_model=True,
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
