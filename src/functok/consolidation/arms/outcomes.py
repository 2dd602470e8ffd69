"""What a trained arm is measured by: losses on held-out text, and the answers to facts."""

from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int

from functok.consolidation.kneser_ney import KneserNey
from functok.consolidation.losses import GroupedLoss, model_losses
from functok.encoding.contexts import RowFormat
from functok.encoding.tokenizer import Encoded
from functok.models.interventions.prefixes import run_continuations
from functok.models.language.model import Model
from functok.tokens.counting.function_tokens import TRANSITIONS

COLUMNS = {"outcome": pl.String, "group": pl.String, "value": pl.Float64, "count": pl.Int64}
"""Of one arm's outcomes: ``loss`` and ``excess`` of a transition group or ``all``, ``answer`` of
frames that end in a token of a class (``function``, ``punctuation``, ``content``); the mean in
nats, and how many tokens or prompts it is over."""


def floor_by_id(
    floor: KneserNey, classes: Int[np.ndarray, " vocabulary"]
) -> Float[np.ndarray, " vocabulary"]:
    """The loss of every token id under a unigram, nats; 0 for special tokens."""
    size = len(classes)
    every = Encoded(np.arange(size, dtype=np.int32), np.array([0, size]), np.zeros(1, np.int64))
    found = floor.probabilities(every)
    return -np.log(np.where(found > 0, found, 1.0))


def held_out(
    model: Model,
    text: Encoded,
    row_format: RowFormat,
    classes: Int[np.ndarray, " vocabulary"],
    floor: KneserNey,
    memory: int | None = None,
) -> pl.DataFrame:
    """Loss and excess over ``floor`` by transition group, with ``COLUMNS``."""
    place = (text, classes)
    loss = GroupedLoss.of(model_losses(model, text, row_format, memory=memory), *place)
    below = GroupedLoss.of(floor.losses(text, row_format), *place)
    rows: list[dict[str, Any]] = []
    for outcome, sums in (("loss", loss.sums), ("excess", loss.sums - below.sums)):
        for code, group in enumerate((*TRANSITIONS, "all")):
            chosen = slice(None) if group == "all" else [code]
            count = int(loss.counts[chosen].sum())
            if count:
                value = float(sums[chosen].sum()) / count
                rows.append({"outcome": outcome, "group": group, "value": value, "count": count})
    return pl.DataFrame(rows, COLUMNS)


def answers(model: Model, prompts: pl.DataFrame, memory: int = 1 << 30) -> pl.DataFrame:
    """The loss of the right answer, by class of the frames' last token, with ``COLUMNS``.

    Args:
        prompts: columns ids, answer_id (the token that is judged) and final_class.
        memory: bytes that a batch may take.
    """
    rights = torch.tensor(prompts["answer_id"].to_list())
    losses = np.zeros(len(prompts))
    for rows, logits in run_continuations(model, prompts["ids"].to_list(), memory):
        said = logits.float().log_softmax(-1).cpu()
        losses[rows] = -said.gather(1, rights[rows].unsqueeze(1)).squeeze(1).double().numpy()
    return (
        prompts.select(pl.col("final_class").alias("group"), pl.Series("value", losses))
        .group_by("group", maintain_order=True)
        .agg(pl.col("value").mean(), pl.len().cast(pl.Int64).alias("count"))
        .select(pl.lit("answer").alias("outcome"), "group", "value", "count")
    )
