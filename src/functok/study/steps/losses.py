"""The paper's §4 without an SAE: the loss by transition group on held-out text."""

from typing import TYPE_CHECKING

from functok.study.run import Run
from functok.study.step import Step, needs_held_out, rows_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa

    from functok.encoding.tokenizer import Encoded

FLOOR = "kneser-ney-bigram"
_TABLES = ("losses", "floors", "loss_summary")


def _work(run: Run, key: str) -> None:
    """The loss on held-out text by transition group, at every checkpoint and under the floor."""
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

    whole, classes = run.encoded("held-out"), run.vocabulary.classes
    held_out = drawn(whole, run.study.losses.tokens)
    run.progress.say(f"  {sample_sentence(held_out, whole)}")
    place = (held_out, run.row_format)
    massive = _massive(run, held_out)
    parts = []
    total = len(held_out.ids) * len(run.checkpoints)
    with run.progress.task("Held-out losses", total, "tokens") as task, ticking(task):
        for checkpoint in run.checkpoints:
            losses = model_losses(run.model(checkpoint), *place)
            table = loss_table(losses, held_out, classes, massive)
            steps = steps_column([checkpoint.step] * len(table))
            parts.append(table.add_column(0, "step", steps))
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


def _massive(run: Run, text: "Encoded") -> "np.ndarray":
    """Which tokens are massive positions at any checkpoint, where the SAEs of the study read."""
    import numpy as np

    from functok.models.dictionaries.activations import probe_activations
    from functok.models.exclusions import massive_tokens
    from functok.models.language.hooks import HookPoint
    from functok.models.language.layers import middle_layer

    found, place = np.zeros(len(text.ids), bool), (run.row_format,)
    if not run.exclusions.massive:
        return found
    parts = run.study.dictionaries
    point = HookPoint.residual(
        parts[0].layer_in(run.architecture) if parts else middle_layer(run.architecture)
    )
    for checkpoint in run.checkpoints:
        model = run.model(checkpoint)
        (probe,) = probe_activations(model, text, [point], *place, run.exclusions)
        limit = run.exclusions.norm_limit(probe)
        found |= massive_tokens(model, text, point, limit, *place)
    return found


def _loss_evidence(run: Run, frame: "pl.DataFrame", floor: "pa.Table", documents: int) -> None:
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
