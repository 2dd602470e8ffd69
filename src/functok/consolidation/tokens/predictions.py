"""What a model expects after each token of a prompt: paper §4.2, Figure 10.

The prompt is read as it stands, whatever the model would have written
(``docs/methods.md#predictions``). A prompt is an illustration: a model that knows token frequencies
alone expects a function token everywhere.
"""

from collections.abc import Sequence

import polars as pl
import torch

from functok.models.language.model import Model, numbers
from functok.models.placement import device_of
from functok.tokens.counting.function_tokens import CLASS_NAMES
from functok.tokens.vocabulary import Vocabulary

_ROWS = 64
"""Positions whose probabilities are held together."""


@torch.no_grad()
def predictions(model: Model, ids: Sequence[int], vocabulary: Vocabulary) -> pl.DataFrame:
    """The most likely next token at every token of a prompt, and how likely the prompt's own is.

    Args:
        ids: the prompt as the model reads it.
        vocabulary: of the token ids that the model can take.

    Returns:
        Columns position, token_id, token, class; predicted_id, predicted, predicted_class (of the
        most likely next token) and its probability; next_id, next, next_probability and next_rank
        (of the token that follows in the prompt, 1 the most likely; null at the last token).
        Special tokens are left out as current tokens.

    Raises:
        UserError: if the model's logits are not finite.
    """
    row = torch.tensor([list(ids)], device=device_of(model))
    logits = numbers(model(row, use_cache=False).logits[0], "logits", model.dtype)
    following = torch.tensor([*ids[1:], ids[-1]], device=logits.device)
    likeliest, likely, own, ranks = [], [], [], []
    for some, wanted in zip(logits.split(_ROWS), following.split(_ROWS), strict=True):
        probabilities = some.float().softmax(-1)
        best = probabilities.max(-1)
        mine = probabilities.gather(1, wanted[:, None])
        likeliest += best.indices.tolist()
        likely += best.values.tolist()
        own += mine[:, 0].tolist()
        ranks += ((probabilities > mine).sum(1) + 1).tolist()
    shown, classes = vocabulary.shown, vocabulary.classes
    table = pl.DataFrame(
        {
            "position": range(len(ids)),
            "token_id": ids,
            "token": [shown[token] for token in ids],
            "class": [CLASS_NAMES[classes[token]] for token in ids],
            "predicted_id": likeliest,
            "predicted": [shown[token] for token in likeliest],
            "predicted_class": [CLASS_NAMES[classes[token]] for token in likeliest],
            "probability": likely,
            "next_id": [*ids[1:], None],
            "next": [*(shown[token] for token in ids[1:]), None],
            "next_probability": [*own[:-1], None],
            "next_rank": [*ranks[:-1], None],
        },
        schema_overrides={
            **dict.fromkeys(("next_id", "next_rank"), pl.Int64),
            **{"next": pl.String, "next_probability": pl.Float64},
        },
    )
    return table.filter(pl.col("class") != "special")


def by_checkpoint(table: pl.DataFrame) -> pl.DataFrame:
    """The predictions of one prompt, summed up at every checkpoint.

    Args:
        table: of ``predictions``, with the column step.

    Columns: step; function (share of the predictions that are function tokens); right (share of
    the prompt's tokens that were the most likely); next_rank (median rank of the prompt's tokens).
    """
    return table.group_by("step", maintain_order=True).agg(
        (pl.col("predicted_class") == "function").mean().alias("function"),
        (pl.col("next_rank") == 1).mean().alias("right"),
        pl.col("next_rank").median(),
    )
