"""Where do prompts gather what their answer needs? Probes summed up by place and by type of token.

Units are subjects: all that is read of one of them falls into one group of the jackknife. The
*aggregation score* of a type of token is the selectivity of the probes at its positions, a mean
over layers; types, as a sample too, are compared by class and by frequency, apart for types inside
prompts and at their ends. See ``docs/methods.md#probes``.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy.stats import spearmanr

from functok.claims.evidence import as_columns
from functok.retrieval.causal.onset import compared
from functok.retrieval.causal.probes import Scores
from functok.stats import Estimate, jackknife, jackknife_left_out
from functok.tokens.grammar.agreement import ranking

GROUPS = 32
"""Groups of subjects that the jackknife leaves out, at most."""
CONTRAST, FREQUENCY = "function − content", "rank correlation with frequency"


def subject_groups(places: pl.DataFrame, seed: int = 0) -> Int[np.ndarray, " rows"]:
    """The group that each of ``probes.positions`` is left out with: that of its subject."""
    subjects, number = np.unique(places["subject"].to_list(), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(subjects))
    return order[number] % min(GROUPS, len(subjects))


def averaged(scores: Sequence[Scores]) -> Scores:
    """The mean over layers, of what is counted; comparisons are the same after every layer."""
    hits, control_hits = (
        np.mean([getattr(one, name) for one in scores], 0) for name in ("hits", "control_hits")
    )
    return scores[0]._replace(hits=hits, control_hits=control_hits)


def by_class(
    scores: Scores, places: pl.DataFrame, groups: Int[np.ndarray, " rows"]
) -> list[dict[str, Any]]:
    """What the probes of one layer tell, by class of token and whether it is the last.

    Returns:
        Rows with class, last, positions, subjects, accuracy, control, selectivity with its
        interval, auroc (of right against wrong answers) with its own.
    """
    rows = []
    kinds = places.select("class", "last").unique().sort("last", "class")
    for name, last in kinds.iter_rows():
        here = (places["class"] == name) & (places["last"] == last)
        used = np.flatnonzero(here.to_numpy() & (scores.tries > 0) & (scores.control_tries > 0))
        if not len(used):
            continue
        counts = _counts(scores, used, groups[used])
        whole = counts.sum(1)
        rows.append(
            {"class": name, "last": last, "positions": len(used)}
            | {"subjects": places["subject"][used.tolist()].n_unique()}
            | {"accuracy": float(whole[0] / whole[1]), "control": float(whole[2] / whole[3])}
            | as_columns("selectivity", _interval(counts))
            | as_columns("auroc", _auroc(scores, used, groups))
        )
    return rows


def _counts(
    scores: Scores, used: Int[np.ndarray, " used"], number: Int[np.ndarray, " used"]
) -> Float[np.ndarray, "4 numbers"]:
    """Hits and tries, and those of the control tasks, summed by a number of each row used."""
    return np.stack([np.bincount(number, part[used]) for part in scores[:4]])


def _selectivity(counts: Float[np.ndarray, "4 *numbers"]) -> Float[np.ndarray, "*numbers"]:
    with np.errstate(divide="ignore", invalid="ignore"):  # unknown where nothing is compared
        return np.asarray(counts[0] / counts[1] - counts[2] / counts[3])


def _interval(counts: Float[np.ndarray, "4 groups"]) -> Estimate:
    """Selectivity, groups of subjects left out in turn."""
    counts = counts[:, counts[1] > 0]
    return jackknife(lambda kept: float(_selectivity(counts[:, kept].sum(1))), counts.shape[1])


def _auroc(
    scores: Scores, used: Int[np.ndarray, " used"], groups: Int[np.ndarray, " rows"]
) -> Estimate:
    """Of right against wrong answers, by ê·e; a right one counts as often as it is compared."""
    wrong = [scores.wrong[row] for row in used]
    score = np.concatenate([scores.right[used], *wrong])
    owner = np.concatenate([groups[used], np.repeat(groups[used], [len(one) for one in wrong])])
    right = np.arange(len(score)) < len(used)
    often = np.concatenate([scores.tries[used], np.ones(len(score) - len(used))])
    left_out = np.unique(owner)[:, None]
    kept = np.vstack([np.ones_like(owner, bool), owner != left_out]) * often
    found, _ = ranking(score, kept * right, kept * ~right)
    return jackknife_left_out(float(found[0]), found[1:])


def by_type(
    scores: Scores,
    places: pl.DataFrame,
    groups: Int[np.ndarray, " rows"],
    shown: Sequence[str],
    occurrences: Int[np.ndarray, " vocabulary"],
    seed: int = 0,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Aggregation scores, and how they depend on class and frequency.

    Args:
        scores: ``averaged`` over layers.
        shown: every token id as text.
        occurrences: of every token id in the corpus.

    Returns:
        A row per type of token: token_id, token, class, last, positions, occurrences, score, low
        and high (over subjects). And rows with last, effect (``CONTRAST``, ``FREQUENCY``), value,
        low, high, p_value and types.
    """
    tables, effects = [], []
    for last in (False, True):
        here = (places["last"] == last).to_numpy()
        used = np.flatnonzero(here & (scores.tries > 0) & (scores.control_tries > 0))
        if not len(used):
            continue
        tokens, place = np.unique(places["token"].to_numpy()[used], return_inverse=True)
        cells = groups[used] * len(tokens) + place
        counts = np.zeros((4, int(groups.max()) + 1, len(tokens)))
        found = _counts(scores, used, cells)
        counts.reshape(4, -1)[:, : found.shape[1]] = found
        whole = counts.sum(1)
        names = dict(places.select("token", "class").unique().iter_rows())
        classes = np.array([names[token] for token in tokens.tolist()])
        score, often = _selectivity(whole), occurrences[tokens]
        for number, token in enumerate(tokens.tolist()):
            own = _interval(counts[:, :, number])
            tables.append(
                {"token_id": token, "token": shown[token], "class": names[token], "last": last}
                | {"positions": int((place == number).sum()), "occurrences": int(often[number])}
                | {"score": own.value, "low": own.low, "high": own.high}
            )
        without = _selectivity(whole[:, None] - counts)
        contrast = compared(score, classes, "function", "content", without, seed)
        contrast["value"] = contrast.pop("difference")
        effects.append({"last": last, "effect": CONTRAST} | contrast)
        effects.append({"last": last, "effect": FREQUENCY} | _correlation(score, often))
    names_of = ("last", "effect", "value", "low", "high", "p_value", "types")
    return pl.DataFrame(tables, infer_schema_length=None), pl.DataFrame(
        effects, infer_schema_length=None
    ).select(names_of)


def _correlation(
    score: Float[np.ndarray, " types"], often: Int[np.ndarray, " types"]
) -> dict[str, float | int]:
    """Spearman's ρ over types, with Fieller's interval; NaN of fewer than five, or where one of
    both does not vary."""
    types = len(score)
    nothing = dict.fromkeys(("value", "low", "high", "p_value"), math.nan)
    if types < 5 or len(np.unique(score)) == 1 or len(np.unique(often)) == 1:
        return nothing | {"types": types}
    found: Any = spearmanr(score, often)
    value, half = float(found.statistic), 1.96 * math.sqrt(1.06 / (types - 3))
    bent = math.atanh(min(max(value, -1 + 1e-12), 1 - 1e-12))
    ends = {"low": math.tanh(bent - half), "high": math.tanh(bent + half)}
    return {"value": value, **ends, "p_value": float(found.pvalue), "types": types}
