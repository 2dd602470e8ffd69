"""Cross-entropy from hidden states, without ever holding all logits.

A step of 1 M tokens over LLaMA-3's vocabulary would need 512 GB of fp32 logits. Here the logits of
one chunk of positions are computed, used and discarded before the next. The loss is the last thing
a model computes and the factor of each token's loss is known beforehand, so the gradient is
computed at the same time (G = softmax − one-hot, scaled per token; ∂hidden = G·W, ∂W = Gᵀ·hidden):
no logits are computed twice, and only the two gradients are kept for the backward pass. That is
also faster than the direct way if a chunk fits the cache.

On CUDA in half precision, kernels that never write logits to memory at all are used where they
are installed (``fused_losses``).
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from functok.encoding.contexts import IGNORED

Losses = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(hidden, head, targets) → the loss of every target, 0 where ignored; differentiable."""

_HELD = {"cpu": 2**22}
"""Logits held at a time: on a CPU as many as its cache holds."""
_HELD_ELSEWHERE = 2**28
"""One GiB of fp32."""
_LIGER = (0, 8, 2)
"""Before it, liger-kernel's per-token losses had wrong gradients (Liger-Kernel#1298)."""


def chunk_rows(vocabulary: int, device: torch.device) -> int:
    """Positions per chunk by default."""
    return max(_HELD.get(device.type, _HELD_ELSEWHERE) // vocabulary, 16)


def chunked_cross_entropy(
    hidden: Float[Tensor, "tokens d_model"],
    head: Float[Tensor, "vocabulary d_model"],
    targets: Int[Tensor, " tokens"],
    scale: Float[Tensor, " tokens"],
    rows: int | None = None,
) -> tuple[Float[Tensor, ""], Float[Tensor, " tokens"]]:
    """Σ scale·loss over the tokens, and every token's loss.

    Args:
        hidden: what the output head reads (the final norm applied).
        head: weight of the output head; logits are ``hidden @ head.T``.
        targets: the next tokens; −100 where there is none.
        scale: what each token's loss is multiplied with; 0 where the target is −100.
        rows: positions per chunk.

    Returns:
        The sum, differentiable once in ``hidden`` and ``head``; and the losses in nats, which no
        gradient flows through (fp32 or better; 0 where the target is −100).

    Matrix products run in the autocast type, else in ``hidden``'s; all else in fp32 or better.
    """
    rows = chunk_rows(len(head), hidden.device) if rows is None else rows
    kind = hidden.device.type
    half = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    found = _Chunked.apply(hidden, head, targets, scale, rows, half, torch.is_grad_enabled())
    assert isinstance(found, tuple)
    return found


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        hidden: Tensor,
        head: Tensor,
        targets: Tensor,
        scale: Tensor,
        rows: int,
        half: torch.dtype,
        learning: bool,
    ) -> tuple[Tensor, Tensor]:
        with torch.autocast(hidden.device.type, enabled=False):
            exact = torch.promote_types(half, torch.float32)
            to_hidden = learning and ctx.needs_input_grad[0]
            to_head = learning and ctx.needs_input_grad[1]
            weight = head.to(half)
            losses = torch.empty(len(hidden), dtype=exact, device=hidden.device)
            # The largest scale is taken out and put back at the end: half of a small number is 0.
            largest = scale.abs().amax().clamp(min=torch.finfo(exact).tiny).to(exact)
            hidden_gradient = torch.empty_like(hidden, dtype=exact) if to_hidden else None
            head_gradient = torch.zeros_like(head, dtype=exact) if to_head else None
            for start in range(0, len(hidden), rows):
                here = slice(start, start + rows)
                some, factor = hidden[here].to(half), (scale[here, None] / largest).to(exact)
                target = targets[here, None].clamp(min=0)
                losses[here], gradient = _visit(some, weight, target, factor, learning)
                if hidden_gradient is not None:
                    hidden_gradient[here] = gradient @ weight
                if head_gradient is not None and half == exact:
                    head_gradient.addmm_(gradient.T, some)
                elif head_gradient is not None:
                    head_gradient += gradient.T @ some
                del gradient  # before the next chunk's logits are made
            losses.masked_fill_(targets == IGNORED, 0)
            ctx.gradients = (hidden_gradient, head_gradient)
            ctx.types = (hidden.dtype, head.dtype)
            ctx.largest = largest
            ctx.mark_non_differentiable(losses)
            return (losses * scale).sum(), losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        if ctx.gradients is None:
            raise RuntimeError("A chunked loss is differentiated once; compute it again.")
        gradients, ctx.gradients = ctx.gradients, None  # scaled in place: they are used up
        found = (
            None if one is None else one.mul_(outer * ctx.largest).to(kind)
            for one, kind in zip(gradients, ctx.types, strict=True)
        )
        return (*found, None, None, None, None, None)


def _visit(
    hidden: Tensor, weight: Tensor, target: Tensor, factor: Tensor, learning: bool
) -> tuple[Tensor, Tensor]:
    """The losses of a chunk, and G = factor·(softmax − one-hot), made in the logits' own place."""
    logits = (hidden @ weight.T).to(factor.dtype)
    logits -= logits.amax(1, keepdim=True)
    chosen = logits.gather(1, target)
    total = logits.exp_().sum(1, keepdim=True)
    losses = (total.log() - chosen).squeeze(1)
    if not learning:
        return losses, logits
    gradient = logits.mul_(factor / total).scatter_add_(1, target, -factor)
    return losses, gradient.to(hidden.dtype)


def fused_losses(device: torch.device, dtype: torch.dtype) -> Losses | None:
    """Per-token losses by a CUDA kernel, if one is installed that can be trusted; else nothing.

    cut-cross-entropy first (arXiv 2411.09009), in the variant that its authors advise for
    pre-training; then liger-kernel.
    """
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16):
        return None
    return _cut_cross_entropy() or _liger()


@cache
def _cut_cross_entropy() -> Losses | None:
    try:
        compute = import_module("cut_cross_entropy").linear_cross_entropy
    except ImportError:
        return None

    def losses(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
        return compute(
            hidden,
            head,
            targets,
            ignore_index=IGNORED,
            reduction="none",
            impl="cce_kahan_full_c",
        )

    return losses


@cache
def _liger() -> Losses | None:
    try:
        found = tuple(int(part) for part in version("liger-kernel").split(".")[:3])
        functional = import_module("liger_kernel.transformers.functional")
    except (ImportError, PackageNotFoundError, ValueError):
        return None
    if found < _LIGER:
        return None

    def losses(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
        return functional.liger_fused_linear_cross_entropy(
            hidden,
            head,
            targets,
            ignore_index=IGNORED,
            reduction="none",
            accum_dtype=torch.float32,
        )

    return losses
