"""Activation patching: how much of the answer stands at one position after one layer.

Two runs differ in the subject alone (``facts/pairing.py``). The residual stream of one of them, the
source, is put in place of the other's at chosen positions after one layer, and the answer is read:

    LD = logit(answer) − logit(counterfactual answer)
    IE = (LD_patched − LD_base) / (LD_source − LD_base)

Denoising patches the fact's run into its counterfactual's (is it sufficient?), noising the other
way round (is it necessary?); the signs are such that both are 1 where the whole answer is moved.
Over several facts IE is a ratio of *sums*: a mean of ratios is ruled by the facts that the model
hardly tells apart. See ``docs/methods.md#patching``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import polars as pl
import torch
from torch import Tensor

from functok.models.interventions.intervention import Intervention
from functok.models.interventions.sweeps import sweep
from functok.models.interventions.trials import Trial
from functok.models.language.capture import capture
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model
from functok.runtime.progress import tick

Direction = Literal["denoising", "noising"]
DIRECTIONS: tuple[Direction, ...] = ("denoising", "noising")
TOGETHER = 16
"""Facts whose runs are held at once."""


class Patch(NamedTuple):
    """What one trial puts in place of the base's residual stream."""

    row: int
    """Of the table of pairs."""
    layer: int
    positions: tuple[int, ...]
    label: str = ""
    """What the positions are."""


SCHEMA = {
    "row": pl.UInt32,
    "layer": pl.Int64,
    "position": pl.Int64,
    "positions": pl.Int64,
    "label": pl.String,
    "direction": pl.String,
    "moved": pl.Float64,
    "total": pl.Float64,
    "flipped": pl.Boolean,
    "norm": pl.Float64,
}


@torch.no_grad()
def patched(
    model: Model,
    pairs: pl.DataFrame,
    patches: Sequence[Patch],
    directions: Sequence[Direction] = DIRECTIONS,
    memory: int = 1 << 30,
) -> pl.DataFrame:
    """The effect of every patch.

    Args:
        pairs: as ``pairs(…).prompts`` has them: ids and counterfactual_ids of one length each, and
            both answers.
        patches: what is put in place, of which rows.
        memory: bytes that a batch may take.

    Returns:
        A row per patch and direction. Columns row (of ``pairs``), layer, position (the last one
        patched), positions (how many), label, direction, moved (LD_patched − LD_base in nats, with
        the sign of the source's answer), total (LD_source − LD_base likewise), flipped (whether the
        top token is the source's answer: interchange intervention accuracy is its mean), norm (mean
        residual norm of the source at the positions).

    Raises:
        UserError: as ``sweep`` does.
    """
    by_row: dict[int, list[Patch]] = {}
    for patch in patches:
        by_row.setdefault(patch.row, []).append(patch)
    tables = []
    for rows in _together(pairs, list(by_row)):
        wanted = {row: by_row[row] for row in rows}
        tables.append(_of_some(model, pairs, wanted, directions, memory))
        tick(sum(len(some) for some in wanted.values()) * len(directions))
    return pl.concat(tables) if tables else pl.DataFrame(schema=SCHEMA)


def _together(pairs: pl.DataFrame, rows: list[int]) -> Iterator[list[int]]:
    """Rows whose prompts have one length, a few at a time."""
    lengths = pairs["ids"].list.len().to_list()
    for start in range(0, len(rows := sorted(rows, key=lambda row: lengths[row])), TOGETHER):
        part = rows[start : start + TOGETHER]
        for length in dict.fromkeys(lengths[row] for row in part):
            yield [row for row in part if lengths[row] == length]


def _of_some(
    model: Model,
    pairs: pl.DataFrame,
    wanted: dict[int, list[Patch]],
    directions: Sequence[Direction],
    memory: int,
) -> pl.DataFrame:
    """The patches of rows whose prompts have one length."""
    some = pairs[list(wanted)]
    facts, others = some["ids"].to_list(), some["counterfactual_ids"].to_list()
    layers = sorted({patch.layer for part in wanted.values() for patch in part})
    points = [HookPoint.residual(layer) for layer in layers]
    streams = capture(model, torch.tensor(facts + others), points).hidden
    place, count = {layer: index for index, layer in enumerate(layers)}, len(wanted)
    prompts = facts + others
    trials = [Trial(prompt) for prompt in range(len(prompts))]
    rows = []
    for number, (row, patches) in enumerate(wanted.items()):
        for direction in directions:
            source, base = number, number + count
            if direction == "noising":
                source, base = base, source
            for patch in patches:
                stream = streams[place[patch.layer]][source]
                changes = [
                    Intervention(patch.layer, position, stream[position], "set")
                    for position in patch.positions
                ]
                trials.append(Trial(base, tuple(changes)))
                norm = float(stream[list(patch.positions)].norm(dim=-1).mean())
                rows.append((row, number, source, base, patch, direction, norm))
    answers = some["answer_id"].to_list(), some["counterfactual_answer_id"].to_list()
    tokens = sorted({token for part in answers for token in part})
    column = {token: index for index, token in enumerate(tokens)}
    wanted_tokens = torch.tensor(tokens)

    def read(scores: Tensor) -> Tensor:
        top = scores.argmax(1, keepdim=True)
        picked = scores[:, wanted_tokens.to(scores.device)]
        return torch.cat([picked.double(), top.double()], 1)  # ids are exact in 64 bits

    found = sweep(model, prompts, trials, read, memory)
    made = []
    for trial, (row, number, source, base, patch, direction, norm) in enumerate(
        rows, start=len(prompts)
    ):
        own, other = answers[0][number], answers[1][number]
        if source >= count:
            own, other = other, own
        contrast = found[:, column[own]] - found[:, column[other]]
        made.append(
            (
                row,
                patch.layer,
                patch.positions[-1],
                len(patch.positions),
                patch.label,
                direction,
                float(contrast[trial] - contrast[base]),
                float(contrast[source] - contrast[base]),
                int(found[trial, -1]) == own,
                norm,
            )
        )
    return pl.DataFrame(made, schema=SCHEMA, orient="row")


def every_position(pairs: pl.DataFrame, layers: Sequence[int]) -> list[Patch]:
    """A patch for each layer and each position from the subject's first token on; before it both
    runs are the same."""
    found = []
    for row, pair in enumerate(pairs.iter_rows(named=True)):
        last = len(pair["ids"]) - 1
        for position in range(pair["subject_first"], last + 1):
            label = "last" if position == last else "between"
            if position <= pair["subject_last"]:
                label = "subject"
            found += [Patch(row, layer, (position,), label) for layer in layers]
    return found
