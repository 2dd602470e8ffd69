"""The tensors of an SAE's file: read through one boundary, all of them numbers, none left over.

On the CPU a tensor in fp32 stays where it lies, mapped into memory; what is converted or sent to
another device has to fit.
"""

import math
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
    check_file(file, advice)
    with (
        outside(f"SAE folder {file.parent} cannot be read", advice),
        safe_open(str(file), framework="pt", device=device) as opened,
    ):
        slices = {name: opened.get_slice(name) for name in sorted(opened.keys())}
        shapes = {name: tuple(found.get_shape()) for name, found in slices.items()}
        kept = [name for name in slices if name not in without]
        copied = [name for name in kept if device != "cpu" or slices[name].get_dtype() != "F32"]
        check_memory(sum(4 * math.prod(shapes[name]) for name in copied), f"SAE {file.parent}")
        weights = {name: opened.get_tensor(name) for name in kept}
    check_finite(weights, str(file.parent))
    return weights, shapes


def check_file(file: Path, advice: str) -> None:
    """Refuse what is no file: a pipe would be waited for.

    Raises:
        UserError: saying so.
    """
    require(
        not os.path.lexists(file) or regular(file),
        f"SAE folder {file.parent} cannot be read: {file.name} is not a file; {advice}.",
    )


def check_finite(weights: dict[str, Tensor], place: str) -> None:
    """Refuse weights that are not numbers.

    Raises:
        UserError: naming the tensor.
    """
    for name, weight in weights.items():
        require(
            finite(weight),
            f"SAE {place} has values in {name} that are not finite (NaN or infinite); give "
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
        f"SAE {place} contains {', '.join(unknown)}, which functok does not use, so its results "
        "would not be this SAE's; give one without.",
    )


def renamed(
    weights: dict[str, Tensor], shapes: Shapes, names: dict[str, str], place: str
) -> tuple[dict[str, Tensor], Shapes]:
    """Weights and shapes by SAELens' names, and as SAELens lays matrices out.

    Args:
        weights: by the file's own names.
        shapes: likewise, also of what was left out.
        names: SAELens' name of each; a matrix that lies the other way round has ``.T`` behind it.
        place: for the sentence of a refusal.

    Raises:
        UserError: if there is another tensor, or a matrix is none.
    """
    check_known(shapes, names, place)
    require(
        len({names[old].removesuffix(".T") for old in shapes}) == len(shapes),
        f"SAE {place} has the same weights under two names: {', '.join(sorted(shapes))}; "
        "give another.",
    )
    turned = {name for name in shapes if names[name].endswith(".T")}
    for name in turned:
        require(
            len(shapes[name]) == 2,
            f"SAE {place} has {name} of shape {shapes[name]}, which is not a matrix; download it "
            "again.",
        )
    return (
        {names[old].removesuffix(".T"): w.T if old in turned else w for old, w in weights.items()},
        {
            names[old].removesuffix(".T"): shape[::-1] if old in turned else shape
            for old, shape in shapes.items()
        },
    )


def factors(weights: dict[str, Tensor]) -> Tensor | None:
    """Factors of each feature's decoder row from fine-tuning, as SAELens names them; else None."""
    for name in ("finetuning_scaling_factor", "scaling_factor"):
        if name in weights and not torch.all(weights[name] == 1):
            return weights[name].float()
    return None
