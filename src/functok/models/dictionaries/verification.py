"""Does this SAE fit these activations? Tested on a probe, before anything is computed with it.

    L0                  mean number of active features per position
    explained variance  1 − Σ‖p − p̂‖² / Σ‖p − p̄‖²,   p the input as the SAE prepares it

Both are compared with published values if there are any. If they disagree, or if little variance is
explained, the same SAE is tried on what the activations might have been in training: centred over
dimensions (as TransformerLens does), scaled to another norm, and at other layers. The first of
these that explains clearly more is named in a warning: loading an SAE wrongly raises no error, it
only spoils every number after it. See ``docs/methods.md#verification``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from functok.models.dictionaries.dictionary import Dictionary
from functok.models.dictionaries.sae import Sae
from functok.models.language.hooks import HookPoint

POOR = 0.5
"""Explained variance below which an SAE is suspected."""
CLEARLY = 0.1
"""How much more an alternative must explain to be named."""
FACTOR = 2.0
"""How far L0 may be from what was published."""


@dataclass(frozen=True)
class Verification:
    """How an SAE behaves on a probe."""

    positions: int
    l0: float
    """Active features per position."""
    explained_variance: float
    """Share of the variance, at most 1; NaN without a decoder, and for a transcoder."""
    silent: float
    """Share of the features that are never active on the probe (dead, or merely rare)."""
    median_norm: float
    """Median of ‖x‖ over the probe."""
    published_l0: float | None
    published_variance: float | None
    warning: str | None
    """One sentence, where the activations do not look like those the SAE was trained on."""


def sentence(sae: Sae, hook: HookPoint, found: Verification) -> str:
    """How an SAE behaves on the probe, next to what was published, and how it was read."""
    said = f" (published {found.published_l0:.3g})" if found.published_l0 else ""
    variance = f" (published {found.published_variance:.3f})" if found.published_variance else ""
    factor = sae.dictionary.norm_factor
    scaled = f", its inputs times {factor:.4g}" if factor != 1 else ""
    explained = f"explained variance {found.explained_variance:.3f}{variance}"
    if sae.dictionary.transcodes:
        explained = "explained variance not measured (its output is at another site than its input)"
    note = f" {sae.note}" if sae.note else ""
    return (
        f"SAE {sae.spec} at {hook.name}, on {found.positions:,} positions{scaled}: "
        f"L0 {found.l0:.3g}{said}, {explained}, "
        f"{found.silent:.1%} of {sae.dictionary.features:,} features silent.{note}"
    )


def verify(
    sae: Sae,
    probe: Float[Tensor, "positions d_model"],
    elsewhere: Mapping[str, Float[Tensor, "positions d_model"]] | None = None,
) -> Verification:
    """Try ``sae``, loaded with its decoder, on ``probe``.

    Args:
        sae: the SAE.
        probe: activations at its hook point, at a few thousand positions.
        elsewhere: by name, activations at other hook points, same positions.
    """
    dictionary = sae.dictionary
    l0, explained, features = measured(dictionary, probe)
    norms = probe.float().norm(dim=1)
    doubts = _doubts(sae, l0, explained)
    return Verification(
        positions=len(probe),
        l0=l0,
        explained_variance=explained,
        silent=1 - features / dictionary.features,
        median_norm=norms.median().item() if len(norms) else 0.0,
        published_l0=sae.published_l0,
        published_variance=sae.published_variance,
        warning=_sentence(sae, doubts, explained, probe, elsewhere or {}) if doubts else None,
    )


@torch.no_grad()
def measured(
    dictionary: Dictionary, x: Float[Tensor, "positions d_model"]
) -> tuple[float, float, int]:
    """L0, explained variance, and how many features are active anywhere."""
    if len(x) == 0:
        return float("nan"), float("nan"), 0
    prepared = dictionary.prepared(x)
    active = dictionary.encode(x)
    l0 = len(active.values) / len(x)
    features = len(torch.unique(active.features))
    if len(dictionary.W_dec) == 0 or dictionary.transcodes:
        return l0, float("nan"), features
    error = (prepared - dictionary.decode(active, len(x))).cpu().double().square().sum()
    total = (prepared - prepared.mean(dim=0)).cpu().double().square().sum()
    return l0, (1 - error / total).item(), features


def _doubts(sae: Sae, l0: float, explained: float) -> list[str]:
    """Clauses on what does not fit."""
    found = []
    if explained < POOR:
        found.append(f"it explains {explained:.2f} of the variance")
    published = sae.published_l0
    if published and not published / FACTOR <= l0 <= published * FACTOR:
        found.append(f"its L0 is {l0:.3g}, but {published:.3g} was published")
    variance = sae.published_variance
    if variance and explained >= POOR and explained < variance - 2 * CLEARLY:
        found.append(
            f"it explains {explained:.2f} of the variance, but {variance:.2f} was published"
        )
    return found


def _sentence(
    sae: Sae,
    doubts: Sequence[str],
    explained: float,
    probe: Tensor,
    elsewhere: Mapping[str, Tensor],
) -> str:
    """What is wrong, and what would explain more."""
    tried = {**_other_preparations(sae.dictionary, probe)}
    found = {name: measured(one, probe)[1] for name, one in tried.items()}
    for name, hidden in elsewhere.items():
        found[f"activations at {name}"] = measured(sae.dictionary, hidden)[1]
    base = explained if explained == explained else float("-inf")
    better = {name: value for name, value in found.items() if value > max(base, 0) + CLEARLY}
    said = f"SAE {sae.spec!r} does not fit these activations: {' and '.join(doubts)}"
    if not better:
        return f"{said}; check that model, layer and SAE belong together."
    # of alternatives that explain about as much, the more usual one, which was tried first
    best = next(name for name in better if better[name] > max(better.values()) - CLEARLY / 2)
    return f"{said}, but {best} would give {better[best]:.2f}; it was probably trained on those."


def _other_preparations(dictionary: Dictionary, probe: Tensor) -> dict[str, Dictionary]:
    found = {}
    if not dictionary.centred:
        found["activations centred over dimensions"] = replace(dictionary, centred=True)
    if dictionary.normalisation == "none":
        norm = probe.float().norm(dim=1).mean().item()
        width = probe.shape[1]
        for target, name in ((width**0.5, "√d"), (1.0, "1"), (float(width), "d")):
            if norm and not 0.8 < target / norm < 1.25:
                found[f"activations scaled to a mean norm of {name}"] = dictionary.scaled(
                    target / norm
                )
    return found
