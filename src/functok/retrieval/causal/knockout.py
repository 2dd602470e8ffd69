"""Which class of keys does the last position retrieve the answer from? Attention knockout.

Edges from the last position to all keys of some classes are removed, for every subset of the
classes, and the logit difference LD of answer and counterfactual answer is read. Knockout is not
monotone in the set removed, so any single set can be made to look important. With v(S) the LD where
only the classes in S may be read:

    first order   v(all) − v(all without c)         total   v({c}) − v(none)
    Shapley       φ_c = Σ_S |S|! (n−|S|−1)! / n! · [v(S ∪ c) − v(S)],   Σ φ_c = v(all) − v(none)

and pairwise interactions. Position 0 and special tokens, where attention sinks lie, are a class of
their own that is never removed, and neither is a position's edge to itself. Positions between the
subject and the last one may pass the answer on, so the edges of all of them can be removed, too.
See ``docs/methods.md#attention-knockout``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import factorial

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from functok.models.interventions.cut_edges import VARIANTS, Variant, cut_edges
from functok.models.language.layers import Model
from functok.models.placement import device_of
from functok.runtime.progress import tick
from functok.stats import jackknife_ratio
from functok.tokens.counting.function_tokens import FUNCTION, SPECIAL
from functok.tokens.grammar.closed_class import PUNCTUATION
from functok.tokens.vocabulary import Vocabulary

CLASSES = ("separators", "determiners", "other function", "subject", "other content")
"""Classes of keys; what is in none of them is never removed."""
SUBSETS = [
    subset for size in range(len(CLASSES) + 1) for subset in combinations(range(len(CLASSES)), size)
]
"""Sets of classes that may be read."""
TOGETHER = 8
"""Prompts at a time, each under every subset."""


def key_classes(
    ids: Sequence[int], subject: tuple[int, int], vocabulary: Vocabulary
) -> Int[np.ndarray, " position"]:
    """The class of each position, as an index into ``CLASSES``; −1 for those never removed.

    Args:
        subject: positions of its first and last token.
    """
    found = np.full(len(ids), CLASSES.index("other content"))
    for position, token in enumerate(ids):
        name = vocabulary.subclasses[token]
        if position == 0 or vocabulary.classes[token] == SPECIAL:
            found[position] = -1
        elif subject[0] <= position <= subject[1]:
            found[position] = CLASSES.index("subject")
        elif name in PUNCTUATION or name == "whitespace":
            found[position] = CLASSES.index("separators")
        elif name == "DET":
            found[position] = CLASSES.index("determiners")
        elif vocabulary.classes[token] == FUNCTION:
            found[position] = CLASSES.index("other function")
    return found


@torch.no_grad()
def knockout(
    model: Model,
    pairs: pl.DataFrame,
    vocabulary: Vocabulary,
    variants: Sequence[Variant] = VARIANTS,
    later: bool = False,
) -> pl.DataFrame:
    """LD of every prompt under every subset of classes that may be read.

    Args:
        pairs: as ``pairs(…).prompts`` has them.
        later: whether edges from all positions after the subject are removed, not only those from
            the last one.

    Returns:
        A row per prompt and variant: columns fact, relation, frame, final, final_class, variant;
        difference (LD for each of ``SUBSETS``, a list); keys and mass (number of keys of each of
        ``CLASSES``, and their attention weight from the last position, a mean over layers and
        heads; lists).

    Raises:
        UserError: see ``cut_edges``.
    """
    rows = []
    for numbers in alike(pairs, *(["subject_last"] if later else [])):
        part = pairs[numbers]
        first = min(part["subject_last"][0] + 1, len(part["ids"][0]) - 1) if later else -1
        ids = torch.tensor(part["ids"].to_list(), device=device_of(model))
        classes = torch.from_numpy(
            np.stack(
                [
                    key_classes(row["ids"], (row["subject_first"], row["subject_last"]), vocabulary)
                    for row in part.iter_rows(named=True)
                ]
            )
        )
        kept = torch.tensor([[place in one for place in range(len(CLASSES))] for one in SUBSETS])
        answers = torch.tensor(
            [part["answer_id"].to_list(), part["counterfactual_answer_id"].to_list()]
        )
        for variant in variants:
            found, mass = _under_subsets(model, ids, classes, kept, answers, variant, first)
            for index, row in enumerate(part.iter_rows(named=True)):
                own = [int((classes[index] == place).sum()) for place in range(len(CLASSES))]
                rows.append(
                    {name: row[name] for name in _ABOUT}
                    | {"variant": variant, "difference": found[index].tolist(), "keys": own}
                    | {"mass": mass[index].tolist()}
                )
            tick(len(part) * len(SUBSETS))
    return pl.DataFrame(rows, infer_schema_length=None)


_ABOUT = ("fact", "relation", "frame", "final", "final_class")


def alike(pairs: pl.DataFrame, *columns: str) -> Iterator[list[int]]:
    """Rows whose prompts have one length, and alike in ``columns``; a few at a time."""
    length = pl.col("ids").list.len().alias("length")
    lengths = pairs.with_row_index("row").select("row", length, *columns)
    for _, part in lengths.group_by("length", *columns, maintain_order=True):
        rows = part["row"].to_list()
        for start in range(0, len(rows), TOGETHER):
            yield rows[start : start + TOGETHER]


def _under_subsets(
    model: Model,
    ids: Int[Tensor, "prompts position"],
    classes: Int[Tensor, "prompts position"],
    kept: Bool[Tensor, "subsets classes"],
    answers: Int[Tensor, "2 prompts"],
    variant: Variant,
    first: int = -1,
) -> tuple[Float[np.ndarray, "prompts subsets"], Float[np.ndarray, "prompts classes"]]:
    """LD under every subset, and the attention of the last position to each class.

    Edges from position ``first`` on are removed. What stands before it is run once: nothing changes
    there.
    """
    prompts, length = ids.shape
    read = torch.cat([kept, torch.ones(len(kept), 1, dtype=torch.bool)], 1)  # −1: always
    open_ = read[:, classes].transpose(0, 1)  # prompts subsets position
    itself = torch.eye(length, dtype=torch.bool)[first:]
    edges = ~(open_[:, :, None] | itself).flatten(0, 1)  # rows query position
    cache = model(ids[:, :first], use_cache=True, logits_to_keep=1).past_key_values
    cache.batch_repeat_interleave(len(kept))
    after = ids[:, first:].repeat_interleave(len(kept), 0)
    with cut_edges(model, edges, variant) as weights:
        said = model(after, past_key_values=cache, use_cache=True, logits_to_keep=1)
    logits = said.logits[:, -1].float().cpu()
    logits = logits.view(prompts, len(kept), -1)
    own, other = (part[:, None, None].expand(-1, len(kept), 1) for part in answers)
    difference = (logits.gather(2, own) - logits.gather(2, other))[..., 0]
    mean = torch.stack(weights).mean(0).cpu().view(prompts, len(kept), -1)[:, -1, -length:]
    mass = torch.stack([(mean * (classes == place)).sum(1) for place in range(len(CLASSES))], dim=1)
    return difference.double().numpy(), mass.double().numpy()


def shapley(values: Float[np.ndarray, "rows subsets"]) -> Float[np.ndarray, "rows classes"]:
    """Exact Shapley values of the classes; they sum to v(all) − v(none).

    Args:
        values: v of each of ``SUBSETS``.
    """
    place = {subset: index for index, subset in enumerate(SUBSETS)}
    size = len(CLASSES)
    found = np.zeros((len(values), size))
    for one in range(size):
        for subset in SUBSETS:
            if one in subset:
                continue
            weight = factorial(len(subset)) * factorial(size - len(subset) - 1) / factorial(size)
            more = place[tuple(sorted((*subset, one)))]
            found[:, one] += weight * (values[:, more] - values[:, place[subset]])
    return found


def interactions(
    values: Float[np.ndarray, "rows subsets"],
) -> Float[np.ndarray, "rows classes classes"]:
    """Pairwise Shapley interactions: above 0 where two classes are worth more together.

        I_cd = Σ_S |S|! (n−|S|−2)! / (n−1)! · [v(S∪cd) − v(S∪c) − v(S∪d) + v(S)]

    Source: Grabisch & Roubens (1999).
    """
    place = {subset: index for index, subset in enumerate(SUBSETS)}
    size = len(CLASSES)
    found = np.zeros((len(values), size, size))
    for one, two in combinations(range(size), 2):
        for subset in SUBSETS:
            if one in subset or two in subset:
                continue
            weight = (
                factorial(len(subset)) * factorial(size - len(subset) - 2) / factorial(size - 1)
            )
            both, first, second = (
                values[:, place[tuple(sorted((*subset, *more)))]]
                for more in ((one, two), (one,), (two,))
            )
            found[:, one, two] += weight * (both - first - second + values[:, place[subset]])
    return found + found.transpose(0, 2, 1)


def ends(
    values: Float[np.ndarray, "rows subsets"],
) -> tuple[Float[np.ndarray, "rows classes"], Float[np.ndarray, "rows classes"]]:
    """First-order and total effects of the classes: removed first, and read alone."""
    place = {subset: index for index, subset in enumerate(SUBSETS)}
    every = tuple(range(len(CLASSES)))
    first = [
        values[:, place[every]] - values[:, place[tuple(c for c in every if c != one)]]
        for one in every
    ]
    total = [values[:, place[(one,)]] - values[:, place[()]] for one in every]
    return np.stack(first, 1), np.stack(total, 1)


MEASURES = ("shapley", "first order", "total")


def by_class(table: pl.DataFrame, groups: Int[np.ndarray, " facts"]) -> pl.DataFrame:
    """What each class of keys is worth, pooled over prompts as a ratio of sums.

    Args:
        table: as ``knockout`` returns it, facts numbered from 0.
        groups: of each fact, by its number: which group the jackknife leaves it out with.

    Returns:
        Columns variant, class, measure (one of ``MEASURES``), share (of v(all) − v(none)), low,
        high, keys, mass (means over prompts), per_key and per_mass (share divided by either).
    """
    size, rows = int(groups.max()) + 1, []
    for (variant,), part in table.group_by("variant", maintain_order=True):
        values, number = np.array(part["difference"].to_list()), groups[part["fact"].to_numpy()]
        whole = values[:, -1] - values[:, 0]
        keys, mass = (np.array(part[name].to_list(), float).mean(0) for name in ("keys", "mass"))
        for measure, found in zip(MEASURES, (shapley(values), *ends(values)), strict=True):
            for place, name in enumerate(CLASSES):
                top = np.bincount(number, found[:, place], size)
                share = jackknife_ratio(top, np.bincount(number, whole, size))
                rows.append(
                    {"variant": variant, "class": name, "measure": measure}
                    | {"share": share.value, "low": share.low, "high": share.high}
                    | {"keys": keys[place], "mass": mass[place]}
                    | {"per_key": share.value / keys[place] if keys[place] else None}
                    | {"per_mass": share.value / mass[place] if mass[place] else None}
                )
    return pl.DataFrame(rows, infer_schema_length=None)


def by_pair(table: pl.DataFrame) -> pl.DataFrame:
    """Pairwise interactions, pooled over prompts.

    Returns:
        Columns variant, one, other (classes), share (of v(all) − v(none)).
    """
    rows = []
    for (variant,), part in table.group_by("variant", maintain_order=True):
        values = np.array(part["difference"].to_list())
        found, whole = interactions(values).sum(0), (values[:, -1] - values[:, 0]).sum()
        rows += [
            {"variant": variant, "one": CLASSES[one], "other": CLASSES[two]}
            | {"share": float(found[one, two] / whole)}
            for one, two in combinations(range(len(CLASSES)), 2)
        ]
    return pl.DataFrame(rows)
