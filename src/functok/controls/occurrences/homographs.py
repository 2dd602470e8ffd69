"""The strongest natural control: one token, two word classes.

``to`` before a verb is a particle, before a noun a preposition; ``like`` is a preposition or a
verb. String, frequency and embedding are the same; only the role differs
(``docs/methods.md#homographs``). For every token with two or more uses, each of at least ``LEAST``
occurrences, the uses are compared at the exposure of its rarest such use: rarefied richness S(n),
and the Hill number of order 2.

Where a token has uses of both a closed and an open class, the most common use of each class make a
pair; the difference (function minus content) of such pairs over strings is tested, with the string
as the unit.
"""

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from functok.controls.occurrences.labelled import Labels, Use, uses
from functok.controls.types.matching import FEWEST
from functok.stats import hodges_lehmann, sign_flip
from functok.tokens.grammar.lexicon import CLOSED

LEAST = 50
"""Fewest occurrences of each use."""
OPEN = ("ADJ", "ADV", "INTJ", "NOUN", "PROPN", "VERB")
"""The open classes of Universal Dependencies."""


class Homographs(NamedTuple):
    """Uses, pairs of uses, and what the pairs say together."""

    uses: pl.DataFrame
    """Columns: token_id, token, use, class (``function``, ``content`` or ``other``), occurrences,
    exposure (n, equal for a token's uses), richness (S(n)), hill_2, l0 (mean active features)."""
    pairs: pl.DataFrame
    """Columns: token_id, token, function_use, content_use, exposure, log_s, log_hill_2
    (differences, function less content)."""
    effects: pl.DataFrame
    """Columns: measure (``log S``, ``log Hill-2``), value, low, high (Hodges–Lehmann), p_value
    (sign flips), strings, note (why there is no interval; else null)."""


def homographs(
    store: Path,
    features: int,
    labels: Labels,
    shown: list[str],
    seed: int,
    least: int = LEAST,
    function: Collection[str] = CLOSED,
    content: Collection[str] = OPEN,
) -> Homographs:
    """Every token with two or more uses.

    Args:
        store: an occurrence store.
        features: of the SAE.
        labels: the use of each occurrence.
        shown: the text of every token id, as shown in tables.
        seed: of the sign flips.
        least: fewest exposures of a use.
        function, content: names of uses that are the one or the other; the rest are ``other``.
    """

    def several(token: np.ndarray, label: np.ndarray, exposure: np.ndarray) -> np.ndarray:
        common = exposure >= least
        kinds = np.bincount(token[common], minlength=int(token.max(initial=0)) + 1)
        return common & (kinds[token] > 1)

    by_token: dict[int, list[Use]] = {}
    for use in uses(store, features, labels, several):
        by_token.setdefault(use.token, []).append(use)
    rows, pairs = [], []
    for token, some in by_token.items():
        drawn = min(use.incidence.exposure for use in some)
        kinds = {"function": function, "content": content}
        own = []
        for use in some:
            name, found = labels.names[use.label], use.incidence
            kind = next((kind for kind, names in kinds.items() if name in names), "other")
            own.append(
                {
                    "token_id": token,
                    "token": shown[token],
                    "use": name,
                    "class": kind,
                    "occurrences": found.exposure,
                    "exposure": drawn,
                    "richness": found.richness(drawn),
                    "hill_2": found.hill_2,
                    "l0": float(found.counts.sum()) / found.exposure,
                }
            )
        rows += own
        own.sort(key=lambda row: -row["occurrences"])
        one, two = (next((row for row in own if row["class"] == kind), None) for kind in kinds)
        if one is not None and two is not None:
            pairs.append(
                {
                    "token_id": token,
                    "token": shown[token],
                    "function_use": one["use"],
                    "content_use": two["use"],
                    "exposure": drawn,
                    "log_s": _log_ratio(one["richness"], two["richness"]),
                    "log_hill_2": _log_ratio(one["hill_2"], two["hill_2"]),
                }
            )
    paired = pl.DataFrame(pairs, _PAIRS)
    effects = [
        {"measure": measure, **_effect(paired[name].to_numpy(), seed)}
        for measure, name in (("log S", "log_s"), ("log Hill-2", "log_hill_2"))
    ]
    return Homographs(pl.DataFrame(rows, _USES), paired, pl.DataFrame(effects, _EFFECTS))


_USES = {
    "token_id": pl.Int64, "token": pl.String, "use": pl.String, "class": pl.String,
    "occurrences": pl.Int64, "exposure": pl.Int64, "richness": pl.Float64, "hill_2": pl.Float64,
    "l0": pl.Float64,
}  # fmt: skip
_PAIRS = {
    "token_id": pl.Int64, "token": pl.String, "function_use": pl.String, "content_use": pl.String,
    "exposure": pl.Int64, "log_s": pl.Float64, "log_hill_2": pl.Float64,
}  # fmt: skip
_EFFECTS = {
    "measure": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    "p_value": pl.Float64, "strings": pl.Int64, "note": pl.String,
}  # fmt: skip


def _log_ratio(one: float, two: float) -> float:
    """NaN where either is 0 or NaN."""
    return math.log(one / two) if one > 0 and two > 0 else math.nan


def _effect(difference: np.ndarray, seed: int) -> dict[str, Any]:
    difference = difference[np.isfinite(difference)]
    few = f"{len(difference)} strings have a function and a content use that are common enough"
    return {
        **vars(hodges_lehmann(difference)),
        "p_value": sign_flip(difference, seed).p_value,
        "strings": len(difference),
        "note": few if len(difference) < FEWEST else None,
    }
