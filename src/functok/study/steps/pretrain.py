"""The link that pre-trains the model, in one process or in many.

Launched as several processes, each runs this link; process 0 alone writes into the run folder.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from functok.consolidation.checkpoints import cut_short
from functok.encoding.packing import PackedWindows
from functok.models.language.model import Model, check_tokenizer, layer_of
from functok.models.losses.groups import GroupLoss, group_names
from functok.models.training import new_llama, train
from functok.models.training.metrics import JsonLines
from functok.models.training.processes import together
from functok.models.training.state import newest_step
from functok.models.training.trackers import Watch, tracking
from functok.runtime.errors import UserError, require
from functok.runtime.store import remove_folder, write_table, writing_folder
from functok.study.run import Run
from functok.tokens.counting.function_tokens import class_array


def model(run: Run, key: str) -> None:
    """Pre-train the model, or make sure that the published one can be used."""
    part = run.study.model
    if part.load:
        _check_published(run)
        return
    processes = together(part.training.sharded)
    state = run.folder.resume(f"model-{key}")
    if processes.rank == 0 and not state.exists():
        # Models and states of other settings; settle() has asked.
        remove_folder(state.parent)
        remove_folder(run.folder.models)
    if processes.rank == 0:
        _mend(run, state)
    processes.wait()
    size = len(run.tokenizer)
    windows = PackedWindows(run.encoded("train"), part.training.context, run.separator)
    require(
        run.separator is not None or not part.training.document_mask,
        "document_mask needs a tokenizer with a BOS or EOS token to stand before each document; "
        "set document_mask to false.",
    )
    function = pl.read_parquet(run.folder.tokens("function_tokens"))["token_id"].to_list()
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


def _check_published(run: Run) -> None:
    for checkpoint in run.checkpoints:
        loaded = run.model(checkpoint)
        check_tokenizer(loaded, run.tokenizer, checkpoint.model)
        layer_of(loaded, run.study.dictionaries.layer)
    assert run.decomposed  # steps that the model does not have are refused before the work


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
    found = [step for step in run.study.checkpoint_steps() if run.folder.model(step).exists()]
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
    """Figures of every step, beside the table that takes their place when the run has ended."""
    return JsonLines(run.folder.consolidation("training").with_suffix(".jsonl"))


@contextmanager
def _watching(run: Run) -> Iterator[Watch]:
    """Figures go into a file that grows, and to the trackers asked for."""
    live, settings = _live(run), run.study.model.model_dump(mode="json")
    with tracking(run.trackers, run.study.name, run.folder.root, settings) as track:

        def watch(figures: dict[str, float | int]) -> None:
            live(figures)
            track(figures)

        yield watch
