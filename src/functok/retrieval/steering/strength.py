"""How hard to steer: by the effect that a direction without a meaning has.

A residual norm is no unit that models share: where a few dimensions are huge at every position, one
norm in any other direction leads far away from all that the model ever computes. (At the middle
layer of Gemma-3-270M the norm is about 6,000; a random direction of it has a KL of 20 nats, and
the text is nonsense.) So the strength is the share of the norm at which a *random* direction
changes the next token by a stated amount:

    α = the largest share ≤ 1 with median KL(steered ‖ unsteered) ≤ ``NATS``

over prompts and random directions, interpolated between the shares 1, 1/√2, 1/2, … 1/1024. A share
may be stated instead; ``limit.py`` says where it is too much. See
``docs/methods.md#steering-gain``.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from functok.models.interventions.intervention import Intervention
from functok.models.interventions.sweeps import Trial, sweep
from functok.models.language.capture import residual_stream
from functok.models.language.model import Model
from functok.retrieval.steering.limit import Strength

NATS = 1.0
"""KL of a random direction by default: the next token changes, and what follows is still text."""
_SHARES = 2.0 ** -(np.arange(21) / 2)
_DIRECTIONS, _PROMPTS = 4, 8


@torch.no_grad()
def strength_by_kl(
    model: Model,
    prompts: Sequence[Sequence[int]],
    places: Sequence[Sequence[int]],
    layer: int,
    nats: float = NATS,
    seed: int = 0,
    among: Float[Tensor, "directions d_model"] | None = None,
) -> Strength:
    """The share of the residual norm at which a random direction has a median KL of ``nats``.

    Args:
        prompts: ids as the model reads them; the first eight are used.
        places: positions of each prompt that are changed together.
        among: directions (fp32, on the CPU) that each prompt is steered in some of, in place of
            random ones.
    """
    generator = torch.Generator().manual_seed(seed)
    found = []
    for ids, at in list(zip(prompts, places, strict=True))[:_PROMPTS]:
        hidden = residual_stream(model, torch.tensor([list(ids)]), layer)[0].float().cpu()
        if among is None:
            drawn = torch.randn(_DIRECTIONS, hidden.shape[1], generator=generator)
        else:
            drawn = among[torch.randperm(len(among), generator=generator)[:_DIRECTIONS]]
        unit = drawn / drawn.norm(dim=1, keepdim=True)
        trials = [Trial(0)] + [
            Trial(
                0,
                tuple(
                    Intervention(layer, place, float(share * hidden[place].norm()) * direction)
                    for place in at
                ),
            )
            for share in _SHARES
            for direction in unit
        ]
        logp = sweep(model, [list(ids)], trials)
        plain, steered = logp[0], logp[1:]
        kl = (steered.exp() * (steered - plain)).sum(1)
        found.append(kl.view(len(_SHARES), len(unit)).numpy())
    median = np.median(np.concatenate(found, 1), axis=1)
    above = np.flatnonzero(median > nats)
    if len(above) == 0:
        return Strength(1.0, float(median[0]))
    last = int(above[-1])  # every smaller share has less
    if last == len(_SHARES) - 1:
        return Strength(float(_SHARES[last]), float(median[last]))
    ends = np.log(np.maximum(median[[last + 1, last]], 1e-12))
    where = (np.log(nats) - ends[0]) / (ends[1] - ends[0])
    return Strength(float(_SHARES[last + 1] * (_SHARES[last] / _SHARES[last + 1]) ** where), nats)
