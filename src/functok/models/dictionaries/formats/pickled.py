"""Weights that are published as pickles alone (``.pt``): their tensors are read, and nothing else.

This is the one exception to "nothing is ever pickled". ``torch.load(weights_only=True)`` builds
tensors and plain containers and calls nothing that the file names; a file that holds anything but
tensors by name is refused. Whoever reads one says so (``said``).
"""

import zipfile
from collections.abc import Collection
from pathlib import Path
from pickle import UnpicklingError  # torch.load's own error; nothing here unpickles
from typing import Any

import torch
from torch import Tensor

from functok.models.dictionaries.formats.weights import Shapes, check_file, check_finite
from functok.runtime.errors import UserError, outside, require
from functok.runtime.memory import check_memory

_ADVICE = "it must contain named tensors, as torch.save writes them"


def read_pickled(
    file: Path, device: str = "cpu", without: Collection[str] = ()
) -> tuple[dict[str, Tensor], Shapes]:
    """The tensors of ``file`` but those ``without``, and the shapes of all; mapped where it can be.

    Raises:
        UserError: if the file cannot be read, or holds anything but tensors of numbers.
    """
    check_file(file, _ADVICE)
    found = _loaded(file)
    require(
        isinstance(found, dict)
        and bool(found)
        and all(isinstance(name, str) and _plain(value) for name, value in found.items()),
        f"SAE {file} is a pickle of more than named tensors, which functok does not read; "
        "convert it to safetensors.",
    )
    shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
    kept = {name: tensor.detach() for name, tensor in found.items() if name not in without}
    copied = [one for one in kept.values() if device != "cpu" or one.dtype != torch.float32]
    check_memory(sum(4 * one.numel() for one in copied), f"SAE {file}")
    check_finite(kept, str(file))
    return {name: tensor.to(device) for name, tensor in kept.items()}, shapes


def said(file: Path) -> str:
    """One sentence: that a pickle was read, and how."""
    return f"{file.name} is a pickle; only its tensors were read (weights_only)."


def _loaded(file: Path) -> Any:
    with outside(f"SAE {file} cannot be read", _ADVICE):
        mapped = zipfile.is_zipfile(file)  # older ones are read whole
        if not mapped:
            check_memory(file.stat().st_size, f"SAE {file}")
        try:
            return torch.load(str(file), map_location="cpu", weights_only=True, mmap=mapped)
        except UnpicklingError as error:  # whose own words advise to read everything
            raise UserError(
                f"SAE {file} is damaged, or a pickle of more than tensors, which functok never "
                "reads; convert it to safetensors."
            ) from error


def _plain(value: Any) -> bool:
    """Whether it is a dense tensor of real numbers that has all its elements in memory."""
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and not (value.is_complex() or value.is_quantized or value.is_meta)
        and value.untyped_storage().nbytes() >= value.numel() * value.element_size()
    )
