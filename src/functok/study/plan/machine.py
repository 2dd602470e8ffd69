"""What this machine does in a second, and what it has room for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import torch

from functok.models.dictionaries.precision import product
from functok.models.placement import Placement
from functok.runtime.memory import available, held
from functok.study.plan.tables import seconds

_LIBRARIES = 160 << 20
"""Bytes of the libraries that steps load: for tables, statistics and figures."""
_ROWS, _COLUMNS = 1024, 2048
"""Of the matrix product that is timed."""


@dataclass(frozen=True)
class Machine:
    """This machine, with the devices that the work is placed on."""

    placement: Placement
    width: int
    """Of the products that are timed: the model's."""

    @cached_property
    def products(self) -> float:
        """FLOP per second of an SAE's products."""
        return _rate(self.placement.sae_device, self.placement.products, self.width)

    @cached_property
    def model_products(self) -> float:
        """FLOP per second of the model's."""
        dtype = "float32" if self.placement.dtype == "auto" else self.placement.dtype
        return _rate(self.placement.device, dtype, self.width)

    @property
    def reading(self) -> float:
        """Bytes per second at which weights are read for each generated token, roughly."""
        return 1e10 if self.placement.device == "cpu" else 1e12

    @cached_property
    def own(self) -> int:
        """Bytes of memory that functok takes by itself: now, and with what it loads later."""
        return held() + _LIBRARIES

    @property
    def free(self) -> int:
        """Bytes of memory that a study may take, with what functok holds already."""
        return available() + held()

    @cached_property
    def device_free(self) -> int | None:
        """Bytes that are free on the accelerator; None without one, or where it does not say."""
        if not self.placement.device.startswith("cuda"):
            return None
        return torch.cuda.mem_get_info(torch.device(self.placement.device))[0]


def waited(device: str) -> None:
    """Wait until an accelerator has done what it was asked for."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device == "mps":
        torch.mps.synchronize()


@cache
def _rate(device: str, kind: str, width: int) -> float:
    """FLOP per second of products in a dtype, or in an SAE's precision."""
    dtype = torch.float32 if kind in ("fp32", "tf32") else getattr(torch, kind)
    shapes = ((_ROWS, width), (width, _COLUMNS), (_ROWS, _COLUMNS))
    one, other, into = (torch.ones(shape, device=device, dtype=dtype) for shape in shapes)

    def work() -> None:
        if kind == "tf32":
            product(one, other, into[0], kind, into)
        else:
            torch.mm(one, other, out=into)
        waited(device)

    return 2 * _ROWS * width * _COLUMNS / seconds(work)
