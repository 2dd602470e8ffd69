"""Run by test_processes.py under torchrun: trains a tiny model, process 0 writes what came out."""

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from fake_tracker import Notebook

from functok.models.losses.groups import GroupLoss
from functok.models.training import LlamaShape, TrainingSettings, new_llama, train
from functok.models.training.processes import together
from functok.models.training.trackers import tracking

VOCABULARY, CONTEXT = 13, 8
SHAPE = LlamaShape(hidden_size=16, layers=2, heads=2, key_value_heads=1, intermediate_size=24)
CLASSES = np.arange(VOCABULARY).astype(np.int8) % 3
WINDOWS = np.random.default_rng(0).integers(0, VOCABULARY, (20, CONTEXT + 1))


def settings(sharded: bool, steps: int = 8) -> TrainingSettings:
    return TrainingSettings(
        steps=steps, batch=8, context=CONTEXT, learning_rate=1e-2, warm_up=2, save_every=4,
        accumulation=2, sharded=sharded,
    )  # fmt: skip


def main(folder: Path, sharded: bool) -> None:
    processes, notebook = together(sharded), Notebook()
    with tracking((notebook,), "together", folder, {}) as watch:
        table = train(
            model=new_llama(SHAPE, VOCABULARY, CONTEXT, 0),
            windows=WINDOWS,
            settings=settings(sharded),
            loss=GroupLoss(CLASSES),
            seed=0,
            checkpoints=[0, 4, 8],
            save=lambda model, step: model.save_pretrained(folder / f"step-{step}"),
            state=folder / "state",
            processes=processes,
            watch=watch,
        )
    if processes.rank == 0:
        pq.write_table(table, folder / "metrics.parquet")
        assert notebook.seen[-1][0] == 8
    assert notebook.finished == (processes.rank == 0)
    processes.wait()  # the trackers' end is not the processes'


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] == "shares")
