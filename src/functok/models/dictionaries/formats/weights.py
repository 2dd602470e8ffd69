"""The tensors of an SAE's file: read through one boundary, all of them numbers, none left over."""

import os
from collections.abc import Collection
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from functok.models.language.probe import finite
from functok.runtime.errors import outside, require
from functok.runtime.memory import check_memory
from functok.runtime.store import regular

Shapes = dict[str, tuple[int, ...]]


def read_safetensors(
    file: Path, device: str, without: Collection[str], advice: str
) -> tuple[dict[str, Tensor], Shapes]:
    """The tensors of ``file`` but those ``without``, and the shapes of all.

    Raises:
        UserError: if the file cannot be read, does not fit into memory, or a tensor is not finite.
    """
    require(
        not os.path.lexists(file) or regular(file),
        f"SAE folder {file.parent} cannot be read: {file.name} is no file; {advice}.",
    )
    if file.exists():
        check_memory(file.stat().st_size, f"SAE {file.parent}")
    with (
        outside(f"SAE folder {file.parent} cannot be read", advice),
        safe_open(str(file), framework="pt", device=device) as opened,
    ):
        names = sorted(opened.keys())
        shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in names}
        kept = {name: opened.get_tensor(name) for name in names if name not in without}
    check_finite(kept, str(file.parent))
    return kept, shapes


def check_finite(weights: dict[str, Tensor], place: str) -> None:
    """Refuse weights that are not numbers.

    Raises:
        UserError: naming the tensor.
    """
    for name, weight in weights.items():
        require(
            finite(weight),
            f"SAE {place} holds values in {name} that are not finite (NaN or infinite); give "
            "another, or train it again.",
        )


def check_known(names: Collection[str], known: Collection[str], place: str) -> None:
    """Refuse tensors that would not be used.

    Raises:
        UserError: naming them.
    """
    unknown = sorted(set(names) - set(known))
    require(
        not unknown,
        f"SAE {place} holds {', '.join(unknown)}, which functok does not use; it would encode or "
        "steer by another SAE than this, so give one without.",
    )


def factors(weights: dict[str, Tensor]) -> Tensor | None:
    """Factors of each feature's decoder row from fine-tuning, as SAELens names them; else None."""
    for name in ("finetuning_scaling_factor", "scaling_factor"):
        if name in weights and not torch.all(weights[name] == 1):
            return weights[name].float()
    return None
