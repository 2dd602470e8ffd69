"""Which token of a prompt activates which feature: paper §3.2, Figure 6."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int

from functok.encoding.chat import chat_ids
from functok.encoding.tokenizer import Tokenizer
from functok.models.dictionaries import Dictionary
from functok.models.interventions.intervention import check_feature
from functok.models.language.capture import capture, longest_row
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model
from functok.runtime.errors import UserError
from functok.tokens.counting.function_tokens import CLASS_NAMES, SPECIAL


def prompt_ids(
    tokenizer: Tokenizer,
    prompt: str,
    model: Model,
    start: int | None,
    room: int = 0,
    chat: bool = False,
) -> list[int]:
    """The ids of ``prompt`` as the model reads it, with ``start`` before it, as in a row.

    Args:
        start: the token that rows begin with; a chat template writes its own.
        room: tokens that are to be generated after it.
        chat: whether it is a user's turn, to be rendered by the tokenizer's chat template.

    Raises:
        UserError: if it is empty, or does not leave ``room`` tokens of the model's context, or
            there is no chat template.
    """
    ids = tokenizer.encode(prompt, add_special_tokens=False)
    if not ids:
        raise UserError("The prompt is empty; give one with at least one token.")
    if chat:
        ids = chat_ids(tokenizer, prompt)
    elif start is not None:
        ids = [start, *ids]
    longest = longest_row(model)
    if longest is not None and len(ids) + room > longest:
        generated = f", {room} more are to be generated," if room else ""
        raise UserError(
            f"The prompt has {len(ids)} tokens{generated} but the model accepts at most {longest}; "
            "shorten it."
        )
    return ids


def trace(
    model: Model,
    dictionary: Dictionary,
    ids: Sequence[int],
    layer: int | HookPoint,
    classes: Int[np.ndarray, " vocabulary"],
    density: Float[np.ndarray, " features"],
    shown: Sequence[str],
) -> pl.DataFrame:
    """Every feature active at every token of a prompt; special tokens are left out.

    Args:
        ids: the prompt, see ``prompt_ids``.
        layer: the SAE's layer, or its hook point.
        density: share of corpus positions at which each feature is active, for choosing later.

    Returns:
        Columns position, token_id, token, class, feature, activation, density, and first: whether
        the feature fires here for the first time in the prompt.
    """
    hidden = capture(model, torch.tensor([list(ids)]), [HookPoint.of(layer)]).hidden[0][0]
    active = dictionary.encode(hidden)
    position = active.rows.cpu().numpy()
    feature = active.features.cpu().numpy()
    token = np.asarray(ids)[position]
    table = pl.DataFrame(
        {
            "position": position,
            "token_id": token,
            "token": [shown[index] for index in token],
            "class": [CLASS_NAMES[classes[index]] for index in token],
            "feature": feature,
            "activation": active.values.float().cpu().numpy(),
            "density": density[feature],
        }
    )
    table = table.filter(pl.Series(classes[token] != SPECIAL))
    return table.with_columns(
        (pl.col("position") == pl.col("position").min().over("feature")).alias("first")
    )


def chosen_features(features: Sequence[int], of: int) -> list[int]:
    """``features`` as chosen for a trace, each once.

    Args:
        of: features that the SAE has.

    Raises:
        UserError: for one that does not exist.
    """
    for feature in features:
        check_feature(feature, of)
    return list(dict.fromkeys(features))


def rows_shown(table: pl.DataFrame, features: int | Sequence[int]) -> list[int]:
    """The features that a trace shows: those named, or so many that vary most."""
    if isinstance(features, int):
        return most_varying(table, features)
    return list(dict.fromkeys(features))


def how_many(features: int | Sequence[int]) -> int:
    """How many features a trace shows."""
    return features if isinstance(features, int) else len(features)


def most_varying(table: pl.DataFrame, count: int) -> list[int]:
    """The ``count`` features that vary most within the prompt, in the order in which they fire.

    Variation is a feature's peak less its mean over the prompt's positions. So a feature that is
    active everywhere, which says little about one prompt, ranks low without a corpus to tell.
    """
    positions = table["position"].n_unique()
    peaks = (
        table.group_by("feature")
        .agg(
            (pl.col("activation").max() - pl.col("activation").sum() / positions).alias("varies"),
            pl.col("position").min(),
        )
        .sort("varies", "feature", descending=[True, False])
        .head(count)
        .sort("position", "varies", "feature", descending=[False, True, False])
    )
    return peaks["feature"].to_list()


def compared(one: pl.DataFrame, two: pl.DataFrame, features: Sequence[int] = ()) -> pl.DataFrame:
    """What sets two traces apart: each feature's peak in either, and where, by falling difference.

    Args:
        features: those alone; by default all.

    Returns:
        Columns feature, peak and at (token@position) of either prompt, difference (second less
        first); features that fire in neither are not there.
    """

    def peaks(table: pl.DataFrame, side: str) -> pl.DataFrame:
        return (
            table.sort("activation", "position", descending=[True, False])
            .group_by("feature", maintain_order=True)
            .first()
            .select(
                "feature",
                pl.col("activation").alias(f"peak_{side}"),
                (pl.col("token") + "@" + pl.col("position").cast(pl.String)).alias(f"at_{side}"),
            )
        )

    if features:
        one, two = (table.filter(pl.col("feature").is_in(features)) for table in (one, two))
    both = peaks(one, "first").join(peaks(two, "second"), on="feature", how="full", coalesce=True)
    difference = pl.col("peak_second").fill_null(0) - pl.col("peak_first").fill_null(0)
    return both.with_columns(difference=difference).sort(
        pl.col("difference").abs(), "feature", descending=[True, False]
    )


def first_and_again(table: pl.DataFrame, features: int | Sequence[int]) -> pl.DataFrame:
    """One row for each of the features shown (see ``rows_shown``).

    Columns: feature, peak, first at (the token that first activates it, with its position), again
    at function tokens, again at content tokens.
    """
    rows = []
    for feature in rows_shown(table, features):
        fired = table.filter(pl.col("feature") == feature).sort("position")
        again = fired.filter(~pl.col("first"))
        rows.append(
            {
                "feature": feature,
                "peak": fired["activation"].max(),
                "first at": _places(fired.filter("first")),
                "again at function tokens": _places(again.filter(pl.col("class") == "function")),
                "again at content tokens": _places(again.filter(pl.col("class") == "content")),
            }
        )
    return pl.DataFrame(rows)


def token_by_token(table: pl.DataFrame, features: Sequence[int]) -> pl.DataFrame:
    """The activation of each feature at every token, null where it is not active.

    Columns: position, token, class, and the number of each feature.
    """
    shown = table.unique("position").sort("position").select("position", "token", "class")
    for feature in features:
        one = table.filter(pl.col("feature") == feature)
        one = one.select("position", pl.col("activation").alias(str(feature)))
        shown = shown.join(one, on="position", how="left", maintain_order="left")
    return shown


def _places(fired: pl.DataFrame) -> str:
    pairs = zip(fired["token"], fired["position"], strict=True)
    return " ".join(f"{token}@{position}" for token, position in pairs)
