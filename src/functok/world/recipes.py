"""Models trained on a tiny world, in two sizes: one to study, one to test with.

Each row that a model learns from is one document, the separator before it, cut at ``tokens``
words, so every row has the oracle's own view of it. No row is seen twice.
"""

from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from functok.models.language.attention import Edges, attending
from functok.models.language.model import Model
from functok.models.losses.groups import GroupLoss
from functok.models.training import LlamaShape, TrainingSettings, new_llama, train
from functok.runtime.progress import Progress
from functok.world.generator import World

HELD_OUT = 1 << 40
"""Documents from this number on are never trained on."""


def pretrained(
    world: World,
    shape: LlamaShape,
    training: TrainingSettings,
    seed: int,
    edges: Edges | None = None,
    progress: Progress | None = None,
) -> Model:
    """A model trained on the world's first documents, reading along ``edges`` alone if given."""
    numbers = np.arange(training.steps * training.batch)
    passages = world.passages(numbers)
    windows = np.pad(passages.ids[passages.rows(training.context)], ((0, 0), (1, 0)))
    model = new_llama(shape, len(world.words), training.context, seed)
    with (
        attending(model, edges) if edges else nullcontext(),
        TemporaryDirectory() as state,
    ):
        train(
            model=model,
            windows=windows,
            settings=training,
            loss=GroupLoss(world.words.classes),
            seed=seed,
            checkpoints=(),
            save=lambda trained, step: None,
            state=Path(state) / "state",
            progress=progress,
        )
    return model.eval()
