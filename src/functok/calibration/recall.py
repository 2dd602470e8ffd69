"""Has a model learned the world? Recall of facts by frame, and excess loss over the oracle.

    recall = share of the prompts of a frame whose likeliest next word is the right answer
    excess = mean over words of −log P_model + log P_oracle, nats

Both are asked of held-out documents and of all facts; the model reads the separator first and one
document per row.
"""

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int

from functok.calibration.answers import answers_under
from functok.models.language.head import token_losses
from functok.models.language.model import Model
from functok.stats import Estimate
from functok.world.generator import World
from functok.world.grammar import FRAMES
from functok.world.oracle import Oracle
from functok.world.prompts import final_class, prompts

ROWS = 512


def recall(model: Model, world: World) -> pl.DataFrame:
    """Recall in every frame, over all facts in both languages.

    Columns: frame, final (class of the last word), prompts, recall, low and high (95 %,
    Clopper–Pearson over prompts).
    """
    from scipy.stats import binomtest

    rows = []
    for frame in FRAMES:
        asked = prompts(world, frame)
        ids = torch.from_numpy(asked.with_separator())
        right = int((answers_under(model, ids, []) == asked.answer).sum())
        interval = binomtest(right, len(asked)).proportion_ci()
        rows.append(
            {
                "frame": frame,
                "final": final_class(world, frame),
                "prompts": len(asked),
                "recall": right / len(asked),
                "low": interval.low,
                "high": interval.high,
            }
        )
    return pl.DataFrame(rows)


def losses_by_row(
    model: Model, ids: Int[np.ndarray, "documents position"]
) -> Float[np.ndarray, "documents position"]:
    """The model's loss at every word of the documents, nats."""
    found = []
    for start in range(0, len(ids), ROWS):
        targets = torch.from_numpy(ids[start : start + ROWS])
        inputs = torch.nn.functional.pad(targets[:, :-1], (1, 0))  # the separator is id 0
        found.append(token_losses(model, inputs, targets).cpu().numpy())
    return np.concatenate(found).astype(np.float64)


def excess(model: Model, world: World, documents: Int[np.ndarray, " documents"]) -> Estimate:
    """Mean excess over the oracle in the first ``tokens`` words of each document, nats.

    The interval is ± 1.96 standard errors over documents.
    """
    passages = world.passages(documents)
    ids = passages.ids[passages.rows(world.settings.tokens)]
    over = (losses_by_row(model, ids) - Oracle(world).losses(ids)).mean(1)
    error = float(1.96 * over.std(ddof=1) / len(over) ** 0.5)
    mean = float(over.mean())
    return Estimate(mean, mean - error, mean + error)
