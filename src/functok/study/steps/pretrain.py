"""Pre-training the model, in one process or in many; or checking a published one.

Launched as several processes, each runs this step; process 0 alone writes into the run folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functok.consolidation.checkpoints import cut_short
from functok.runtime.errors import UserError, require
from functok.runtime.gguf import is_gguf
from functok.runtime.paths import user_path
from functok.runtime.store import read_frame, remove_folder, write_table, writing_folder
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.settling import stamps
from functok.study.step import ROWS, Step, known, needs_model
from functok.study.summary import described, fingerprints

if TYPE_CHECKING:
    from functok.models.language.model import Model
    from functok.models.language.row_start import RowStart
    from functok.models.training.metrics import JsonLines
    from functok.models.training.trackers import Watch
    from functok.study.plan.forecast import Forecast
    from functok.study.step import Shown


def pretrain(run: Run, key: str) -> dict[str, Any]:
    """Pre-train the model, or make sure that the published one can be used."""
    if run.model_part.load:
        start = _check_published(run)
    else:
        train_here(run, key)
        start = run.row_start
    return {"model": described(run), "row_start": vars(start), "models": fingerprints(run)}


def train_here(run: Run, key: str) -> None:
    """Train in this process, one of those that were launched together or the only one."""
    import numpy as np
    import pyarrow as pa

    from functok.encoding.packing import PackedWindows
    from functok.models.losses.groups import GroupLoss, group_names
    from functok.models.training import new_llama, train
    from functok.models.training.processes import together
    from functok.tokens.counting.function_tokens import class_array

    part = run.model_part
    processes = together(part.training.sharded, run.placement.device)
    state = run.folder.resume(f"model-{key}")
    if processes.rank == 0 and not state.exists():
        # Models and states of other settings; settle() has asked.
        remove_folder(state.parent)
        remove_folder(run.folder.models)
    if processes.rank == 0:
        _mend(run, state)
    processes.wait()
    size = len(run.tokenizer)
    windows = PackedWindows(run.encoded("train"), part.training.context, run.row_start.id)
    require(
        run.row_start.id is not None or not part.training.document_mask,
        "document_mask needs a tokenizer with a BOS or EOS token to put before each document; "
        "set document_mask to false.",
    )
    function = read_frame(run.folder.tokens("function_tokens"))["token_id"].to_list()
    with _watching(run) as watch:
        ledger = train(
            model=new_llama(part.shape, size, part.training.context, run.study.seed),
            windows=windows,
            settings=part.training,
            loss=GroupLoss(class_array(function, run.special, size)),
            seed=run.study.seed,
            checkpoints=run.study.checkpoint_steps(),
            save=lambda trained, step: _save(run, trained, step),
            state=state,
            progress=run.progress,
            processes=processes,
            watch=watch,
        )
    if processes.rank == 0:
        codes = ledger.column_names.index("group")
        names = np.array(group_names(2))[ledger["group"].to_numpy()]
        write_table(
            run.folder.consolidation("training"), ledger.set_column(codes, "group", pa.array(names))
        )
        _live(run).close()
    processes.wait()


def _check_published(run: Run) -> RowStart:
    """Load every checkpoint, and see what the last one's rows begin with."""
    from functok.models.language.gguf import dequantised, origin_of
    from functok.models.language.model import check_tokenizer

    model, load = None, str(run.model_part.load)
    if is_gguf(load):
        folder = dequantised(user_path(load), Path(run.last_trained.model))
        run.progress.say(f"  {run.last_trained.called}: {origin_of(folder)}")
    with run.progress.task("Loading", len(run.checkpoints), "checkpoints") as task:
        for checkpoint in run.checkpoints:
            model = run.model(checkpoint)
            check_tokenizer(model, run.tokenizer, checkpoint.model)
            task.advance()
    start = _found_start(run, model)
    run.progress.say(f"  {start.sentence}")
    return start


def _found_start(run: Run, model: Model) -> RowStart:
    """What a loaded model's rows begin with: as the study sets it, else by a probe of its text."""
    from functok.models.language.row_start import measured_start, probe_tokens, set_start
    from functok.runtime.progress import ticking

    asked, text = run.model_part.row_start, run.measured
    if asked != "auto":
        return set_start(run.tokenizer, asked)
    total = probe_tokens(run.tokenizer, text)
    with run.progress.task("Estimating the row start", total, "tokens") as task, ticking(task):
        return measured_start(model, run.tokenizer, text, "documents of the corpus")


def _check(run: Run) -> None:
    """What a loaded model is, without its weights: before the corpus is encoded."""
    part = run.model_part
    for checkpoint in run.checkpoints:
        if part.load is None:
            break
        folder = user_path(checkpoint.model)
        if folder.is_dir():
            problem = cut_short(folder)
            require(problem is None, f"Model folder {folder} cannot be used: {problem}.")
    if part.load is not None:
        from functok.encoding.tokenizer import load_tokenizer
        from functok.models.language.model import check_tokenizer
        from functok.models.language.row_start import set_start

        model = run.architecture
        run.context  # noqa: B018 (a context that the model was not made for is refused)
        if run.study.tokenizer.load:
            tokenizer = load_tokenizer(run.study.tokenizer.load)
            check_tokenizer(model, tokenizer, run.checkpoints[-1].model)
            if part.row_start != "auto":
                set_start(tokenizer, part.row_start)
    if part.overlap is not None:
        from functok.encoding.contexts import RowFormat

        RowFormat(run.context, 0, part.overlap)  # refuses what leaves no new token


def _shows(run: Run) -> Shown:
    import polars as pl

    if run.model_part.load:
        table = pl.DataFrame(
            {
                "step": [checkpoint.step for checkpoint in run.checkpoints],
                "model": [run.within(checkpoint.model) for checkpoint in run.checkpoints],
                "revision": [checkpoint.revision for checkpoint in run.checkpoints],
            },
            {"step": pl.Int64, "model": pl.String, "revision": pl.String},
        )
        yield known(table, *table.columns)
        each = "Every checkpoint" if len(table) > 1 else "The model"
        yield f"{each} loads and accepts the tokenizer's ids; nothing is trained here."
        yield run.row_start.sentence
        return
    path = run.folder.consolidation("training")
    table = read_frame(path)
    yield table.tail(ROWS).select("step", "group", "loss_sum", "count")
    yield f"{len(table)} rows in {path}"


def _settings(run: Run) -> Any:
    part = run.model_part
    if part.load:
        of_files = stamps(run)
        found = [of_files[f"model {checkpoint.name}"] for checkpoint in run.checkpoints]
        steps = [checkpoint.step for checkpoint in run.checkpoints]
        place = [part.load, part.revision, steps, part.revisions]
        return [*place, part.context, part.row_start, part.dtype, found]
    trained = part.model_dump(mode="json", exclude={"row_start", "overlap"})
    return [trained, run.study.checkpoint_steps()]


def _cost(run: Run, forecast: Forecast) -> Cost:
    """Every update, every checkpoint, and two states of weights and moments; of a loaded model its
    loading and the probe of its rows, of a GGUF file also its weights in fp32."""
    part, size = run.model_part, 4 * forecast.probe.shape.weights
    if part.load:
        probed = 0 if part.row_start != "auto" else forecast.row_starts
        cost = forecast.loading(len(run.checkpoints)) + forecast.passes(probed)
        return cost + Cost(disk=size if is_gguf(part.load) else 0)
    how = part.training
    tokens = how.batch * how.context
    layers = 1 if how.gradient_checkpointing else part.shape.layers
    cost = forecast.updates(how.steps * tokens, tokens // how.accumulation, layers)
    return cost + Cost(disk=(len(run.study.checkpoint_steps()) + 2 * 3) * size)


def _leaves(run: Run) -> Iterable[Path]:
    load = run.model_part.load
    if load:
        return [Path(run.last_trained.model)] if is_gguf(load) else []
    kept = [run.folder.model(step) for step in run.study.checkpoint_steps()]
    return [run.folder.consolidation("training"), *kept]


def _save(run: Run, trained: Model, step: int) -> None:
    """Keep a checkpoint as a Hugging Face folder, unless a run before this one has."""
    folder = run.folder.model(step)
    if not folder.exists():
        with writing_folder(folder) as temporary:
            trained.save_pretrained(temporary)
            run.tokenizer.save_pretrained(temporary)


def _mend(run: Run, state: Path) -> None:
    """Drop checkpoints that were cut short, where the run will come to them again.

    Raises:
        UserError: if it will not, because it continues from a later state.
    """
    from functok.models.training.state import newest_step

    steps = run.study.checkpoint_steps()
    found = [step for step in steps if run.folder.model(step).exists()]
    if not found:
        remove_folder(state)  # all of them were deleted, and have to be trained again
    else:
        found = [step for step in steps if step in found or step < newest_step(state)]
    problems = {step: cut_short(run.folder.model(step)) for step in found}
    good = [step for step, problem in problems.items() if problem is None]
    for step, problem in problems.items():
        if problem is None:
            continue
        if step < newest_step(state):
            last = f"the last good one is step {max(good)}" if good else "none is good"
            raise UserError(
                f"The checkpoint {run.folder.model(step)} is cut short ({problem}), and {last}; "
                f"copy it back, or delete {state} to train from the beginning again."
            )
        remove_folder(run.folder.model(step))


def _live(run: Run) -> JsonLines:
    """Metrics of every step, until the table takes their place when the run has ended."""
    from functok.models.training.metrics import JsonLines

    return JsonLines(run.folder.consolidation("training").with_suffix(".jsonl"))


@contextmanager
def _watching(run: Run) -> Iterator[Watch]:
    """Metrics go into a file that grows, and to the trackers asked for."""
    from functok.models.training.trackers import tracking

    live, settings = _live(run), run.model_part.model_dump(mode="json")
    with tracking(run.resources.trackers, run.study.name, run.folder.root, settings) as track:

        def watch(figures: dict[str, float | int]) -> None:
            live(figures)
            track(figures)

        yield watch


PRETRAIN = Step(
    name="pretrain",
    title=lambda study: (
        f"Checking the model {study.model.load}"
        if study.model and study.model.load
        else "Pre-training the model"
    ),
    needs=("documents", "tokens"),
    settings=_settings,
    work=pretrain,
    runs_model=True,
    leaves=_leaves,
    excuse=needs_model,
    check=_check,
    cost=_cost,
    figures=("training-loss",),
    precious=True,
    summary="Pre-train the model, or check the loaded one.",
    shows=_shows,
)
