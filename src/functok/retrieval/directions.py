"""What a feature's direction says by itself: the features like it, and the tokens that it promotes.

Both are properties of the weights alone, so they need no text. What the output is worth depends on
where the direction is written: later layers read it, move it and answer it, and none of that is in
here (``models/language/head.py``).
"""

from collections.abc import Sequence

import polars as pl
import torch

from functok.models.dictionaries import Dictionary
from functok.models.language.head import direct_logits
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model
from functok.runtime.errors import require

TOP = 10
_WRITTEN = ("embed", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")


def writes(dictionary: Dictionary, place: HookPoint) -> bool:
    """Whether the directions of an SAE at ``place`` lie in the residual stream."""
    return dictionary.transcodes or place.site in _WRITTEN


def neighbours(dictionary: Dictionary, feature: int, top: int = TOP) -> pl.DataFrame:
    """Features with the directions most like that of ``feature``, which is not among them.

    Columns: feature, cosine (of the decoder directions); by falling cosine.
    """
    every = dictionary.W_dec
    own = every[feature]
    length = (every.norm(dim=1) * own.norm()).clamp(min=1e-30)
    cosine = (every @ own / length).float().cpu()
    cosine[feature] = -torch.inf
    found = cosine.topk(min(top, len(cosine) - 1))
    return pl.DataFrame(
        {"feature": found.indices.tolist(), "cosine": found.values.tolist()},
        schema={"feature": pl.Int64, "cosine": pl.Float64},
    )


def output_tokens(
    model: Model,
    dictionary: Dictionary,
    place: HookPoint,
    feature: int,
    shown: Sequence[str],
    top: int = TOP,
) -> pl.DataFrame:
    """The tokens that the direction of ``feature`` promotes most, and those that it suppresses.

    Args:
        place: the SAE's hook point.
        shown: every token id for people.

    Returns:
        Columns promotes, logit_promoted, suppresses, logit_suppressed (by how much, see
        ``head.direct_logits``); ties by lower id.

    Raises:
        UserError: if the SAE does not write into the residual stream.
    """
    require(
        writes(dictionary, place),
        f"The SAE at {place.name!r} does not write into the residual stream, so its features "
        "promote no tokens by themselves.",
    )
    logits = direct_logits(model, dictionary.W_dec[feature][None])[0].cpu()
    up, down = (
        torch.sort(sign * logits, descending=True, stable=True).indices[:top].tolist()
        for sign in (1, -1)
    )
    return pl.DataFrame(
        {
            "promotes": [shown[token] for token in up],
            "logit_promoted": [float(logits[token]) for token in up],
            "suppresses": [shown[token] for token in down],
            "logit_suppressed": [float(logits[token]) for token in down],
        }
    )
