"""Fast products of low precision, with the doubtful activations computed again in fp32.

TF32 keeps 10 bits of a factor's mantissa, bfloat16 keeps 7. A product of d terms is then off by
about 2^-bits · √2 · ‖x‖‖w‖ / √d (independent roundings), so an activation further than six times
that from its threshold is on the side that fp32 puts it on. Those nearer are computed again from
the full operands; how many of them change sides is the disagreement that is reported
(``docs/methods.md#low-precision``).

On a GPU the tensor cores round. On the CPU ``tf32`` rounds the operands as they would, which
serves tests; ``bf16`` is the real thing on both.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from functok.models.dictionaries.encoding import Activations

Precision = Literal["fp32", "tf32", "bf16"]
_BITS = {"tf32": 10, "bf16": 7}
_SIGMAS = 6.0
_PAIRS = 1 << 22
"""Elements gathered at once when products are computed again."""


@dataclass(frozen=True)
class Disagreement:
    """How often a low-precision product puts an activation on the wrong side; sums up."""

    checked: int = 0
    """Pre-activations near their threshold, computed again in fp32."""
    changed: int = 0
    """Of these, on the other side in fp32."""
    active: int = 0
    """Active features in all."""

    def __add__(self, other: "Disagreement") -> "Disagreement":
        return Disagreement(
            self.checked + other.checked, self.changed + other.changed, self.active + other.active
        )


def margin(
    x: Float[Tensor, "rows d_model"], W: Float[Tensor, "d_model features"], precision: Precision
) -> Float[Tensor, " features"]:
    """How far from its threshold each feature's pre-activation may still be wrong."""
    if precision == "fp32" or len(x) == 0:
        return W.new_zeros(W.shape[1])
    rounding = 2.0 ** -(_BITS[precision] + 1) * 2**0.5
    longest = x.norm(dim=1).max()
    return _SIGMAS * rounding * longest * W.norm(dim=0) / x.shape[1] ** 0.5


def product(
    x: Float[Tensor, "rows d_model"],
    W: Float[Tensor, "d_model features"],
    bias: Float[Tensor, " features"],
    precision: Precision,
    into: Float[Tensor, "rows features"],
) -> Float[Tensor, "rows features"]:
    """``into``, which becomes x W + bias, the product in ``precision``, the sum in fp32."""
    if precision == "bf16":
        return torch.add(torch.matmul(x.bfloat16(), W.bfloat16()), bias, out=into)
    if precision == "tf32" and x.device.type == "cpu":
        return torch.addmm(bias, _tf32(x), _tf32(W), out=into)
    with _tensor_cores(precision == "tf32" and x.device.type == "cuda"):
        return torch.addmm(bias, x, W, out=into)


def checked(
    active: Activations,
    x: Float[Tensor, "rows d_model"],
    W: Float[Tensor, "d_model features"],
    bias: Float[Tensor, " features"],
    floor: Float[Tensor, " features"],
    near: Float[Tensor, " features"],
) -> tuple[Activations, Disagreement]:
    """``active``, which holds all down to ``floor − near``, with the doubtful ones settled."""
    height = active.values - floor[active.features]
    doubtful = height.abs() <= near[active.features]
    places = doubtful.nonzero().squeeze(1)
    values = active.values.clone()
    step = max(_PAIRS // x.shape[1], 1)
    for start in range(0, len(places), step):
        some = places[start : start + step]
        rows, features = active.rows[some], active.features[some]
        values[some] = (x[rows] * W[:, features].T).sum(1) + bias[features]
    kept: Bool[Tensor, " active"] = values > floor[active.features]
    changed = int((kept[places] != (height[places] > 0)).sum())
    found = Activations(active.rows[kept], active.features[kept], values[kept])
    return found, Disagreement(len(places), changed, len(found.values))


def _tf32(x: Tensor) -> Tensor:
    """Rounded to 10 bits of mantissa, to nearest."""
    bits = x.contiguous().view(torch.int32)
    return ((bits + (1 << 12)) & ~((1 << 13) - 1)).view(torch.float32)


@contextmanager
def _tensor_cores(wanted: bool) -> Iterator[None]:
    """TF32 products on CUDA, or full fp32, whatever the process has set."""
    if not torch.cuda.is_available():
        yield
        return
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = wanted
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
