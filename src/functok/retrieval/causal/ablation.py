"""Does the next token depend on a feature where it is named, or where it fires again?

A feature f of an SAE is ablated at some positions of a prompt; what the SAE does not explain stays:

    h_p ← h_p − z_f(h_p) u d_f          (u: ``Dictionary.unit``)

Places: *naming*, the strongest of the neighbouring tokens at which f is active first; *function*
and *content*, equally many later tokens of either class at which it is active again, the strongest
ones; *naming and function* together; and *last*, the prompt's last token, which counts as neither
class: whatever stands there reaches the output. Of the next token are measured, in nats,

    KL(plain ‖ ablated)    and    log p_ablated(T_f) − log p(T_f)

where T_f are the ``TOP`` tokens that d_f promotes by itself. The control is a random direction of
the same norms at the same positions, a fresh one for each prompt, feature and draw. See
``docs/methods.md#feature-ablation``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from functok.claims.evidence import as_columns
from functok.models.dictionaries import Dictionary
from functok.models.interventions.intervention import Intervention
from functok.models.interventions.sweeps import Trial, sweep
from functok.models.language.capture import residual_stream
from functok.models.language.head import direct_logits
from functok.models.language.model import Model
from functok.retrieval.steering.classes import without_types
from functok.retrieval.steering.gains import fresh_directions
from functok.stats.two_way import crossed

PLACES = ("naming", "function", "content", "naming and function", "last")
CONTRAST = "function − content"
MEASURES = ("kl", "promoted")
TOP = 10
"""Tokens that a feature promotes."""
SCHEMA = {
    **{"prompt": pl.Int64, "feature": pl.Int64, "place": pl.String, "positions": pl.Int64},
    **dict.fromkeys(("share", "kl", "kl_random", "promoted", "promoted_random"), pl.Float64),
}


def places(
    positions: Int[np.ndarray, " active"],
    activations: Float[np.ndarray, " active"],
    classes: Shaped[np.ndarray, " active"],
    last: int,
) -> dict[str, list[int]]:
    """Where a feature is ablated, by place; a place at which it is nowhere active is left out.

    Args:
        positions: at which the feature is active, ascending.
        activations: at each of them.
        classes: of the token at each, ``function`` or ``content``.
        last: the prompt's last position.
    """
    first = np.cumsum(np.diff(positions, prepend=positions[0]) > 1) == 0
    naming = int(positions[first][activations[first].argmax()])
    if naming == last:
        return {"last": [last]}
    later = ~first & (positions != last)
    of = {name: later & (classes == name) for name in ("function", "content")}
    counts = [int(some.sum()) for some in of.values()]
    most = min(counts) or max(counts)
    found = {"naming": [naming]}
    for name, some in of.items():
        strongest = np.argsort(-activations[some], kind="stable")[:most]
        found[name] = sorted(positions[some][strongest].tolist())
    if found["function"]:
        found["naming and function"] = [naming, *found["function"]]
    found["last"] = [last] if last in positions else []
    return {name: some for name, some in found.items() if some}


@torch.no_grad()
def ablated(
    model: Model,
    dictionary: Dictionary,
    layer: int,
    ids: Sequence[int],
    traced: pl.DataFrame,
    features: Sequence[int],
    prompt: int,
    draws: int,
    seed: int,
    memory: int = 1 << 30,
) -> pl.DataFrame:
    """What each of ``features`` and its random directions do to the token after one prompt.

    Args:
        dictionary: the SAE of the residual stream after ``layer``.
        ids: the prompt, as the model reads it.
        traced: what is active where, as ``prompts.trace.trace`` returns it.
        features: those that are ablated; one that is active nowhere is passed over.
        prompt: its number.
        draws: random directions of each feature.
        memory: bytes that a batch may take.

    Returns:
        Columns prompt, feature, place (of ``PLACES``), positions (how many), share (norm of what is
        taken away, of the residual norm, mean over positions), kl, kl_random, promoted and
        promoted_random (nats, see the module; random: mean over draws).
    """
    hidden = residual_stream(model, torch.tensor([list(ids)]), layer)[0].float().cpu()
    unit, norms = dictionary.unit(hidden).float().cpu()[:, 0], hidden.norm(dim=1)
    own = dictionary.W_dec[torch.tensor(list(features), dtype=torch.long)].float().cpu()
    promoted = direct_logits(model, own).topk(TOP).indices.cpu()
    fresh = [
        torch.nn.functional.normalize(
            fresh_directions(prompt, np.asarray(features), own.shape[1], seed + draw)
        )
        for draw in range(draws)
    ]
    trials: list[Trial] = []
    rows: list[dict[str, Any]] = []
    for number, feature in enumerate(features):
        fired = traced.filter(pl.col("feature") == feature).sort("position")
        if fired.is_empty():
            continue
        active = [fired[name].to_numpy() for name in ("position", "activation", "class")]
        activation = dict(zip(active[0].tolist(), active[1].tolist(), strict=True))
        directions = [own[number], *(own[number].norm() * one[number] for one in fresh)]
        for place, chosen in places(*active, last=len(ids) - 1).items():
            amounts = {position: activation[position] * unit[position] for position in chosen}
            trials += [Trial(0, _removals(layer, amounts, direction)) for direction in directions]
            taken = [float(amounts[one] * own[number].norm() / norms[one]) for one in chosen]
            rows.append(
                {"prompt": prompt, "feature": feature, "place": place, "number": number}
                | {"positions": len(chosen), "share": float(np.mean(taken))}
            )
    if not trials:
        return pl.DataFrame(schema=SCHEMA)
    plain = sweep(model, [ids], [Trial(0)], memory=memory)[0]
    found = sweep(model, [ids], trials, _against(plain, promoted), memory).double()
    for row, part in zip(rows, found.view(len(rows), 1 + draws, -1), strict=True):
        for measure, column in zip(MEASURES, (0, 1 + row.pop("number")), strict=True):
            row[measure] = float(part[0, column])
            row[f"{measure}_random"] = float(part[1:, column].mean())
    return pl.DataFrame(rows, schema=SCHEMA)


def _removals(
    layer: int, amounts: Mapping[int, Tensor], direction: Float[Tensor, " d_model"]
) -> tuple[Intervention, ...]:
    return tuple(
        Intervention(layer, position, -amount * direction) for position, amount in amounts.items()
    )


def _against(
    plain: Float[Tensor, " vocabulary"], promoted: Int[Tensor, "features top"]
) -> Callable[[Float[Tensor, "trials vocabulary"]], Float[Tensor, "trials measures"]]:
    """Of log-probabilities: KL(plain ‖ ·), and the change of log p(T_f) of every feature."""

    def read(scores: Tensor) -> Tensor:
        known, tokens = plain.to(scores), promoted.to(scores.device)
        kl = (known.exp() * (known - scores)).sum(1, keepdim=True)
        before, after = known[tokens].logsumexp(1), scores[:, tokens].logsumexp(2)
        return torch.cat([kl, after - before], 1)

    return read


def by_place(table: pl.DataFrame) -> pl.DataFrame:
    """Effects by place, with prompts and features as samples.

    Args:
        table: rows of ``ablated``.

    Returns:
        Columns place (of ``PLACES``, or ``CONTRAST``, where both classes have equally many
        positions), measure (of ``MEASURES``), own and random (nats, means over prompts × features;
        of the contrast differences of the classes), effect (own − random), effect_low, effect_high,
        p_value, pairs, prompts, features. Without an interval where there is one prompt or one
        feature.
    """
    sides = [table.filter(pl.col("place") == name) for name in ("function", "content")]
    contrast = sides[0].join(sides[1], on=["prompt", "feature"], suffix="_content")
    values = [name for one in MEASURES for name in (one, f"{one}_random")]
    contrast = contrast.with_columns(pl.col(name) - pl.col(f"{name}_content") for name in values)
    contrast = contrast.with_columns(place=pl.lit(CONTRAST)).select(table.columns)
    parts = pl.concat([table, contrast]).partition_by("place", as_dict=True)
    return pl.DataFrame(
        [
            {"place": place, "measure": measure} | _effect(parts[(place,)], measure)
            for measure in MEASURES
            for place in (*PLACES, CONTRAST)
            if (place,) in parts
        ]
    )


def _effect(part: pl.DataFrame, measure: str) -> dict[str, Any]:
    """The mean effect at one place."""
    own, random = (part[name].to_numpy() for name in (measure, f"{measure}_random"))
    samples = [part[name].to_list() for name in ("prompt", "feature")]
    left_out = [without_types(own - random, some) for some in samples]
    found = crossed(float((own - random).mean()), *left_out)
    return {
        **{"own": float(own.mean()), "random": float(random.mean())},
        **as_columns("effect", found.estimate),
        **{"p_value": found.p_value, "pairs": len(part)},
        **{"prompts": len({*samples[0]}), "features": len({*samples[1]})},
    }
