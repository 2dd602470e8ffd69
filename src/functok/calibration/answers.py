"""Swap what an answer is about when the right answer is known: steering without a judge.

In the tiny world every prompt has one right answer, and so has the same prompt about another
entity or in the other language (its *source*). A swap succeeds if the answer becomes the source's:
interchange accuracy, IIA. After one layer, at the positions of a *place*, it is tried with

    patch      h_p ← h_p of the source
    features   h_p ← h_p + s · v,  v = Σ_f (z_f of the source − z_f) d_f  at the last position
    random     the same activations with other features' directions, of the norm of v

so ``features`` and ``random`` add the same vector at every position, as the paper adds its feature,
and places differ in nothing else. Frames end in function tokens, punctuation, content, a relation
noun and an entity, so *last function token* and *last position*, which coincide in the paper, are
separated here: ``last`` says whether a place includes the last position. See
``docs/methods.md#answer-swap``.

Intervals are jackknifed over facts; a fact in all its frames and both languages is one unit.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from scipy.stats import binomtest
from torch import Tensor

from functok.calibration.latents import dense
from functok.claims.evidence import as_columns
from functok.models.dictionaries import Dictionary
from functok.models.interventions.intervention import Intervention, steer
from functok.models.language.capture import residual_stream
from functok.models.language.model import Model
from functok.stats import Estimate, jackknife_ratio
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION, SPECIAL
from functok.world.generator import World
from functok.world.prompts import Prompts, final_class, prompts

Latent = Literal["entity", "language"]
FINAL = ("is", ",", "namely", "bare", "entity")
"""Frames that end in a function token, punctuation, content, a relation noun and an entity."""
PLACES = ("last-position", "last-function", "other-function", "content", "all")


class Swap(NamedTuple):
    """Prompts, and the same prompts with one latent changed: their answers differ."""

    asked: Prompts
    source: Prompts


def swapped(world: World, frame: str, latent: Latent, seed: int = 0) -> Swap:
    """Every fact in one frame and both languages, with another value of ``latent`` at random.

    Pairs of entities that have the same answer are left out: no swap could show there.
    """
    asked = prompts(world, frame)
    own = getattr(asked, latent)
    values = {"entity": world.settings.entities, "language": 2}[latent]
    step = np.random.default_rng(seed).integers(1, values, len(asked))
    other = (own + step) % values
    source = asked.take(asked.row_had(**{latent: other}))
    apart = np.flatnonzero(source.answer != asked.answer)
    return Swap(asked.take(apart), source.take(apart))


def swap_answers(
    model: Model,
    dictionary: Dictionary,
    layer: int,
    world: World,
    frames: Sequence[str] = FINAL,
    strengths: Sequence[float] = (1.0, 2.0),
    seed: int = 0,
) -> pl.DataFrame:
    """Every swap of entity and of language, prompt by prompt.

    Args:
        dictionary: the SAE of ``layer``; the model reads the world's own tokenizer.
        strengths: s, of ``features`` and ``random``.

    Returns:
        Columns latent, frame, final (class of the last word), fact (number), method, place, last,
        strength (1 of a patch), plain (whether the answer was right unchanged), swapped (is the
        source's now), kept (is still the prompt's own).
    """
    tables = []
    for latent in ("entity", "language"):
        for frame in frames:
            swap = swapped(world, frame, latent, seed)
            ids = torch.from_numpy(swap.asked.with_separator())
            plain = answers_under(model, ids, []) == swap.asked.answer
            same = {
                "latent": latent,
                "frame": frame,
                "final": final_class(world, frame),
                "fact": swap.asked.entity * world.settings.relations + swap.asked.relation,
                "plain": plain,
            }
            for tried, changes in _changes(model, dictionary, layer, swap, strengths, seed):
                answer = answers_under(model, ids, changes)
                ended = {
                    "swapped": answer == swap.source.answer,
                    "kept": answer == swap.asked.answer,
                }
                tables.append(pl.DataFrame({**same, **tried, **ended}))
    return pl.concat(tables)


def success(swaps: pl.DataFrame) -> pl.DataFrame:
    """Success by latent, method, place and strength, over all frames.

    Returns:
        Columns latent, method, place, last, strength, prompts, facts, iia with iia_low and
        iia_high (95 %), kept and plain (shares of the prompts).
    """
    by = ["latent", "method", "place", "last", "strength"]
    rows = []
    for key, part in swaps.group_by(by, maintain_order=True):
        facts = part.group_by("fact", maintain_order=True).agg(
            pl.col("swapped").sum().cast(pl.Int64), pl.len().cast(pl.Int64).alias("prompts")
        )
        found = share(facts["swapped"].to_numpy(), facts["prompts"].to_numpy())
        rows.append(
            {
                **dict(zip(by, key, strict=True)),
                "prompts": len(part),
                "facts": len(facts),
                **as_columns("iia", found),
                "kept": part["kept"].mean(),
                "plain": part["plain"].mean(),
            }
        )
    return pl.DataFrame(rows)


def chance(world: World) -> float:
    """IIA of an answer drawn at random from those that the source's question can have."""
    return 1 / world.settings.values


def share(successes: Int[np.ndarray, " units"], tries: Int[np.ndarray, " units"]) -> Estimate:
    """Σ successes / Σ tries, jackknifed over units.

    Where all tries end alike the jackknife has no width: then Clopper and Pearson's interval, a
    unit counting once.
    """
    whole = int(successes.sum())
    if whole not in (0, int(tries.sum())):
        found = jackknife_ratio(successes.astype(float), tries.astype(float))
        return Estimate(found.value, max(found.low, 0.0), min(found.high, 1.0))
    bounds = binomtest(len(tries) if whole else 0, len(tries)).proportion_ci()
    return Estimate(float(whole > 0), bounds.low, bounds.high)


def _changes(
    model: Model,
    dictionary: Dictionary,
    layer: int,
    swap: Swap,
    strengths: Sequence[float],
    seed: int,
) -> Iterator[tuple[dict, list[Intervention]]]:
    """Every method at every place: its columns, and what it does."""
    classes = swap.asked.world.words.classes[swap.asked.with_separator()[0]]
    stream, source = (
        residual_stream(model, torch.from_numpy(part.with_separator()), layer) for part in swap
    )
    own, other = (dense(dictionary, part[:, -1:])[:, 0] for part in (stream, source))
    W_dec = dictionary.W_dec.float().cpu()
    added = (other - own) @ W_dec
    random = shuffled(other - own, (own + other).any(0), seed) @ W_dec
    random *= added.norm(dim=1, keepdim=True) / random.norm(dim=1, keepdim=True)
    for place in PLACES:
        at = _positions(place, classes)
        if not at:  # a frame may have no other function token
            continue
        tried = {"place": place, "last": len(classes) - 1 in at}
        patch = [Intervention(layer, p, source[:, p], "set") for p in at]
        yield {"method": "patch", **tried, "strength": 1.0}, patch
        for method, vector in (("features", added), ("random", random)):
            for strength in strengths:
                changes = [Intervention(layer, p, strength * vector) for p in at]
                yield {"method": method, **tried, "strength": strength}, changes


def _positions(place: str, classes: Int[np.ndarray, " position"]) -> list[int]:
    """The positions of a place in a prompt whose tokens have these classes."""
    function = np.flatnonzero(classes == FUNCTION).tolist()
    return {
        "last-position": [len(classes) - 1],
        "last-function": function[-1:],
        "other-function": function[:-1],
        "content": np.flatnonzero(classes == CONTENT).tolist(),
        "all": np.flatnonzero(classes != SPECIAL).tolist(),
    }[place]


def shuffled(
    change: Float[Tensor, "prompts features"], alive: Tensor, seed: int
) -> Float[Tensor, "prompts features"]:
    """Each prompt's changes given to other features among those that any prompt has."""
    generator = torch.Generator().manual_seed(seed)
    used = alive.nonzero()[:, 0]
    order = torch.rand(len(change), len(used), generator=generator).argsort(1)
    found = torch.zeros_like(change)
    found[:, used] = change[:, used].gather(1, order)
    return found


@torch.no_grad()
def answers_under(
    model: Model, ids: Int[Tensor, "prompts position"], changes: list[Intervention]
) -> Int[np.ndarray, " prompts"]:
    """The likeliest next word under some changes."""
    with steer(model, changes):
        logits = model(input_ids=ids.to(model.device), use_cache=False, logits_to_keep=1).logits
    return logits[:, -1].argmax(-1).cpu().numpy()
