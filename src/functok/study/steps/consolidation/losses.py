"""The paper's §4 without an SAE: the loss by transition group on held-out text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functok.claims.declared import CLAIMS
from functok.runtime.store import read_frame, remove_file
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import ROWS, Step, known, needs_held_out

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from functok.consolidation.losses import Losses
    from functok.encoding.tokenizer import Encoded
    from functok.models.language.hooks import HookPoint
    from functok.models.language.model import Model
    from functok.study.plan.forecast import Forecast
    from functok.study.step import Shown

_TABLES = (
    *("losses", "floors", "loss_summary", "loss_subclasses", "integrity"),
    *("decomposition", "class_effects", "target_effects", "loss_definitions", "loss_targets"),
)
_TESTS = tuple(
    row.test
    for claim in CLAIMS
    if claim.name in ("loss", "learned-first")
    for row in claim.rows
    if row.test != "E-loss-gradient"  # of the step gradients
)
_ALWAYS, _FITTED, _GROUPED = 3.0, 1e-6, 6e-6
"""Seconds of ``Forecast.work``: tables whatever the text, the floors for each token that they are
fitted to, and the tables for each loss."""
_N_GRAMS = 550
"""Bytes that the floors take for each token that they are fitted to."""


def _work(run: Run, key: str) -> None:
    """The loss on held-out text by transition group, at every checkpoint and under floors."""
    import polars as pl
    import pyarrow as pa

    from functok.claims.evidence import with_intervals
    from functok.consolidation.analysis import Analysis
    from functok.consolidation.checkpoints import steps_column
    from functok.consolidation.floors import BIGRAM, KneserNeyBigram
    from functok.consolidation.losses import loss_table, summary
    from functok.consolidation.measured import Measured
    from functok.encoding.documents import drawn, sample_sentence
    from functok.models.exclusions import Counts, with_exclusions
    from functok.runtime.store import remove_folder, write_table

    named = _targets(run)
    if run.model_part.load and len(run.checkpoints) > 1:
        _compare_weights(run)
    whole, classes = run.encoded("held-out"), run.vocabulary.classes
    held_out = drawn(whole, run.study.losses.tokens)
    run.progress.say(f"  {sample_sentence(held_out, whole)}")
    reference = _reference(run, held_out)
    losses, massive = _walk(run, key, held_out)
    parts = []  # a token that is massive at any checkpoint counts at none
    for checkpoint, found in zip(run.checkpoints, losses, strict=True):
        table = loss_table(found, held_out, classes, massive)
        parts.append(table.add_column(0, "step", steps_column([checkpoint.step] * len(table))))
    table = pa.concat_tables(parts)
    special = int(run.exclusions.ids(len(classes))[held_out.ids].sum())
    excluded = run.exclusions.described(Counts(special=special, massive=int(massive.sum())))
    write_table(run.folder.consolidation("losses"), with_exclusions(table, excluded))

    bigram = KneserNeyBigram.fit(run.encoded("train"), classes)
    floor = loss_table(bigram.losses(held_out, run.row_format), held_out, classes, massive)
    write_table(
        run.folder.consolidation("floors"),
        with_exclusions(floor.add_column(0, "floor", [[BIGRAM] * len(floor)]), excluded),
    )
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    steps = [one.step for one in run.checkpoints]
    measured = Measured(
        train=run.encoded("train"),
        text=held_out,
        row_format=run.row_format,
        classes=classes,
        left_out=massive,
        losses=dict(zip(steps, losses, strict=True)),
        reference=reference,
    )
    analysis = Analysis(measured=measured, vocabulary=run.vocabulary)
    called, seed = {one.step: one.called for one in run.checkpoints}, run.study.seed
    tables = {"loss_summary": _with_tokens(run, summary(frame)), **analysis.tables}
    tables["loss_definitions"] = analysis.by_definition(called, seed)
    if named:
        tables["loss_targets"] = analysis.by_target(named)
    else:
        remove_file(run.folder.consolidation("loss_targets"))  # of other settings
    for name, found in tables.items():
        shown = with_intervals(found.to_arrow(), len(held_out))
        write_table(run.folder.consolidation(name), with_exclusions(shown, excluded))
    for test in _TESTS:
        remove_file(run.folder.test(test))  # of other settings
    for row in analysis.tests(called, seed):
        row.write(run.folder, len(held_out))
    remove_folder(run.folder.resume(f"losses-{key}"))


def _walk(run: Run, key: str, text: Encoded) -> tuple[list[Losses], np.ndarray]:
    """The losses of every checkpoint on ``text``, and the tokens that are massive at any.

    What a checkpoint gave is kept until the step is done, so that a walk that was stopped goes on.
    """
    import numpy as np
    from safetensors.numpy import save_file

    from functok.consolidation.losses import batched, model_losses
    from functok.runtime.progress import ticking
    from functok.runtime.store import read_tensors, writing

    point, rows, memory = massive_point(run), run.row_format, run.resources.memory
    massive, losses = np.zeros(len(text.ids), bool), []
    total = len(text.ids) * len(run.checkpoints)
    with run.progress.task("Held-out losses", total, "tokens") as task:
        for number, checkpoint in enumerate(run.checkpoints):
            kept = run.folder.resume(f"losses-{key}") / f"{number}.safetensors"
            if kept.exists():
                task.advance(len(text.ids))
            else:
                model, found = run.model(checkpoint), np.zeros(len(text.ids), bool)
                limit = massive_limit(run, model, text, point)
                with ticking(task):
                    batches = model_losses(model, text, rows, point, limit, found, memory)
                    values = np.concatenate([np.zeros(0), *(one for _, one in batches)])
                del model  # the next checkpoint, or the floors, take its place in memory
                with writing(kept) as temporary:
                    save_file({"losses": values, "massive": found}, temporary)
            some = read_tensors(kept)
            massive |= some["massive"]
            losses.append([*batched(some["losses"], text, rows)])
    return losses, massive


def _reference(run: Run, text: Encoded) -> Losses | None:
    """The losses of the study's reference model on ``text``; None without one."""
    from functok.consolidation.losses import model_losses
    from functok.models.language.capture import fitting_context
    from functok.models.language.model import check_tokenizer, load_model

    name, place = run.study.losses.reference, run.placement
    if name is None:
        return None
    run.progress.say(f"  Reference model: {name}")
    model = load_model(name, None, place.device, place.dtype)
    check_tokenizer(model, run.tokenizer, name)
    fitting_context(model, run.row_format.context, name)
    return [*model_losses(model, text, run.row_format, memory=run.resources.memory)]


def _with_tokens(run: Run, table: pl.DataFrame) -> pl.DataFrame:
    """``table`` with a column tokens_read, where the names of the checkpoints say it of each."""
    import polars as pl

    from functok.consolidation.places import place_of, tokens_along

    if not run.model_part.revisions:
        return table
    read = tokens_along([place_of(one.name) for one in run.checkpoints])
    if None in read:
        return table
    known = dict(zip((one.step for one in run.checkpoints), read, strict=True))
    return table.with_columns(
        pl.col("step").replace_strict(known, return_dtype=pl.Int64).alias("tokens_read")
    )


def _targets(run: Run) -> dict[int, str]:
    """The tokens whose loss is followed, with what they are called."""
    from functok.encoding.tokenizer import token_called

    wanted, shown = run.study.losses.targets, run.vocabulary.shown
    ids = [token_called(run.tokenizer, text, "losses.targets") for text in wanted]
    return {token: shown[token] for token in ids}


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


def massive_point(run: Run) -> HookPoint | None:
    """Where massive positions are told by their norm: after the layer of the first SAE."""
    from functok.models.language.hooks import HookPoint
    from functok.models.language.layers import middle_layer

    if not run.exclusions.massive:
        return None
    parts, model = run.study.dictionaries, run.architecture
    return HookPoint.residual(parts[0].layer_in(model) if parts else middle_layer(model))


def massive_limit(run: Run, model: Model, text: Encoded, point: HookPoint | None) -> float:
    """The norm at ``point`` above which a position of ``text`` is massive."""
    from functok.models.dictionaries.activations import probe_activations

    if point is None:
        return float("inf")
    (probe,) = probe_activations(model, text, [point], run.row_format, run.exclusions)
    return run.exclusions.norm_limit(probe)


def _shows(run: Run) -> Shown:
    """The last checkpoint by group, then f→c by what stands before, then the course of training."""
    import polars as pl

    from functok.consolidation.decomposition import at_the_end, best_floor
    from functok.consolidation.floors import TITLES

    def table(name: str) -> pl.DataFrame:
        return read_frame(run.folder.consolidation(name))

    whole, groups = table("decomposition"), table("loss_summary")
    means, shares = ("mean", "mean_low", "mean_high"), ("share_of_tokens", "share_of_loss")
    yield known(at_the_end(whole), "group", *means, *shares, "share_of_drop", "excess")
    floor, refused = best_floor(whole)
    yield (
        f"Excess is the loss minus that of a {TITLES[floor]}."
        if refused is None
        else (f"No floor is valid, so no excess is given. A {TITLES[floor]}: {refused}.")
    )
    yield "\nfunction→content by the sub-class of the function token"
    kinds = table("loss_subclasses").filter(group="fc")
    yield known(kinds.head(ROWS), "subclass", *means, *shares)
    if groups["step"].n_unique() > 1:
        yield "\nAll groups by checkpoint"
        yield known(groups.tail(ROWS), "step", "group", *means, *shares)
    if run.study.losses.targets:
        yield "\nSingle tokens as targets, and all tokens, by checkpoint"
        rows = table("loss_targets").filter(pl.col("kind") != "decile", group="all")
        yield known(rows.tail(ROWS), "step", "target", "tokens", *means, *shares)
    yield f"{len(groups)} rows in {run.folder.consolidation('loss_summary')}"


def _settings(run: Run) -> object:
    layers = [part.layer for part in run.study.dictionaries[:1]]
    part, overlap = run.study.losses, run.model_part.overlap
    settings = [part.tokens, run.study.graph.massive, layers, overlap]
    later = {"targets": part.targets, "reference": part.reference}
    return [*settings, *(one for one in later.items() if one[1])]


def _cost(run: Run, forecast: Forecast) -> Cost:
    """Every checkpoint to its end, the floors, and the tables of each."""
    count = len(run.checkpoints)
    tokens = forecast.tokens("held-out", run.study.losses.tokens)
    cost = forecast.passes(count * tokens) + forecast.loading(count)
    cost += forecast.probing(forecast.probe.deepest).times(count)
    if run.study.losses.reference is not None:  # of about the same size
        cost += forecast.passes(tokens) + forecast.loading()
    train = forecast.tokens("train")
    seconds = _ALWAYS + _FITTED * train + _GROUPED * count * tokens
    tables = forecast.work(seconds, _N_GRAMS * train + 8 * count * tokens)
    return cost + tables.with_held(forecast.model)


LOSSES = Step(
    name="losses",
    title="Splitting the held-out loss by transition group",
    needs=("pretrain",),
    settings=_settings,
    number=5,
    work=_work,
    runs_model=True,
    leaves=lambda run: map(run.folder.consolidation, _TABLES),
    excuse=needs_held_out,
    evidence=_TESTS,
    cost=_cost,
    figures=("held-out-loss", "loss-share", "target-loss"),
    summary="Held-out loss by transition group: means, shares, and the excess over a floor.",
    shows=_shows,
)
"""The paper's §4: what pre-training consolidates, checkpoint by checkpoint."""
