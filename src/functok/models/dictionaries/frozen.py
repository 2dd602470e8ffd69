"""SAEs with a frozen part: how much of a result needs a trained dictionary?

==================  ==========================================================================
frozen              what training cannot change
==================  ==========================================================================
``decoder``         the directions that features write
``soft decoder``    likewise, but a direction may turn until its cosine to the drawn one is .8
``encoder``         the directions (and biases) by which features are detected
==================  ==========================================================================

Such SAEs match trained ones on interpretability, probing and editing (arXiv 2602.14111). What a
frozen one shows just as well, training the SAE did not find.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch.nn.functional import normalize

Held = Literal["nothing", "decoder", "soft decoder", "encoder"]

COSINE = 0.8
"""Least cosine of a softly held direction to the one drawn."""


def hold(sae: Any, held: Held) -> Callable[[], None]:
    """Freeze that part of an SAELens SAE; what is returned is called after every update."""
    if held == "encoder":
        for name, weight in sae.named_parameters():
            if name in ("W_enc", "b_enc"):
                weight.requires_grad_(False)
    elif held == "decoder":
        sae.W_dec.requires_grad_(False)
    elif held == "soft decoder":
        drawn = normalize(sae.W_dec.detach().clone(), dim=1)
        return lambda: _turn_back(sae.W_dec, drawn)
    return lambda: None


@torch.no_grad()
def _turn_back(W_dec: torch.Tensor, drawn: torch.Tensor) -> None:
    """Rows that turned too far go back to the cone around the drawn direction, at their length."""
    along = (W_dec * drawn).sum(1, keepdim=True)
    across = normalize(W_dec - along * drawn, dim=1)
    length = W_dec.norm(dim=1, keepdim=True)
    kept = length * (COSINE * drawn + (1 - COSINE**2) ** 0.5 * across)
    W_dec.copy_(torch.where(along < COSINE * length, kept, W_dec))
