"""Where to intervene, by name: ``last-function``, ``content``, ``punct-final``, ``7``, ``-1`` …

==================  ==========================================================================
place               positions of the prompt
==================  ==========================================================================
``7``, ``-1``       that one, from 0 (what is added before the prompt), or from the end
``all``             every position but special tokens'
``function``        every function token; likewise ``content``
``last-function``   the last function token (the paper's choice); likewise ``last-content``
``punct-final`` …   every token of that sub-class (``tokens/grammar/subclasses.py``)
==================  ==========================================================================

``+generated`` after any but a number includes generated tokens of the same kind; ``generated``
alone means all generated tokens and none of the prompt's.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from functok.models.interventions.intervention import Where
from functok.runtime.errors import check_name, require
from functok.tokens.counting.function_tokens import CLASS_NAMES, SPECIAL

_LAST = "last-"
_GENERATED = "generated"


def tokens_of_kind(
    kind: str,
    classes: Int[np.ndarray, " vocabulary"],
    subclasses: Sequence[str] | None = None,
) -> Bool[np.ndarray, " vocabulary"]:
    """Which token ids are of a kind: ``all``, a class, or a sub-class.

    Args:
        subclasses: of each token id by name; without them only classes can be named.

    Raises:
        UserError: for a kind that does not exist.
    """
    if kind == "all":
        return classes != SPECIAL
    if kind in CLASS_NAMES:
        return classes == CLASS_NAMES.index(kind)
    check_name("class of tokens", kind, ["all", *CLASS_NAMES, *sorted(set(subclasses or ()))])
    return np.array([name == kind for name in subclasses or ()])


def positions(
    place: str,
    ids: Sequence[int],
    classes: Int[np.ndarray, " vocabulary"],
    subclasses: Sequence[str] | None = None,
) -> list[int]:
    """The positions of a prompt that ``place`` names, ascending.

    Raises:
        UserError: for a place that does not exist, or that this prompt does not have.
    """
    if place.lstrip("-").isdigit():
        position = int(place) + (len(ids) if place.startswith("-") else 0)
        require(
            0 <= position < len(ids),
            f"There is no position {place}: the prompt has positions 0 to {len(ids) - 1}.",
        )
        return [position]
    kind = place.removeprefix(_LAST)
    chosen = tokens_of_kind(kind, classes, subclasses)[np.asarray(ids)]
    found = np.flatnonzero(chosen).tolist()
    require(
        bool(found),
        f"The prompt has no {kind} token to change; name a position or another class.",
    )
    return found[-1:] if place.startswith(_LAST) else found


def where(
    place: str,
    ids: Sequence[int],
    classes: Int[np.ndarray, " vocabulary"],
    subclasses: Sequence[str] | None = None,
) -> Where:
    """``place`` as ``steer`` takes it, among generated tokens too where it says so."""
    prompt = torch.zeros(len(ids), dtype=torch.bool)
    prompt[in_prompt(place, ids, classes, subclasses)] = True
    later = in_answer(place, ids, classes, subclasses)

    def choose(
        entering: Int[Tensor, "batch new"], at: Int[Tensor, "batch new"]
    ) -> Bool[Tensor, "batch new"]:
        fixed = prompt.to(at.device)[at.clamp(0, len(ids) - 1)] & (at >= 0) & (at < len(ids))
        return fixed if later is None else fixed | later(entering, at)

    return choose


def in_prompt(
    place: str,
    ids: Sequence[int],
    classes: Int[np.ndarray, " vocabulary"],
    subclasses: Sequence[str] | None = None,
) -> list[int]:
    """The positions of the prompt that ``place`` means, none if it is ``generated`` alone."""
    kind, _, further = place.partition("+")
    require(
        further in ("", _GENERATED),
        f"{place!r} names no positions; after + there can only be {_GENERATED}.",
    )
    return [] if kind == _GENERATED else positions(kind, ids, classes, subclasses)


def in_answer(
    place: str,
    ids: Sequence[int],
    classes: Int[np.ndarray, " vocabulary"],
    subclasses: Sequence[str] | None = None,
) -> Where | None:
    """The generated tokens that ``place`` means, if it means any."""
    kind, _, further = place.partition("+")
    if kind != _GENERATED and not further:
        return None
    named = "all" if kind == _GENERATED else kind.removeprefix(_LAST)
    require(
        not named.lstrip("-").isdigit(),
        f"{place!r} names no positions: a number means one position of the prompt; name a kind of "
        "generated tokens, such as function+generated.",
    )
    meant = torch.from_numpy(tokens_of_kind(named, classes, subclasses))

    def choose(
        entering: Int[Tensor, "batch new"], at: Int[Tensor, "batch new"]
    ) -> Bool[Tensor, "batch new"]:
        return (at >= len(ids)) & meant.to(at.device)[entering]

    return choose
