"""The chunked loss against all logits at once; what it holds; which kernels are taken, and how."""

import importlib.metadata
import sys
import types
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from functok.models.losses import chunked
from functok.models.losses.chunked import chunk_rows, chunked_cross_entropy, fused_losses
from functok.models.losses.groups import GroupLoss

VOCABULARY, WIDTH = 11, 6
CLASSES = np.arange(VOCABULARY).astype(np.int8) % 3


def draw(tokens: int, seed: int, kind: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    """Hidden states, head, targets (some ignored) and scales."""
    random = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, WIDTH, generator=random, dtype=torch.float64)
    head = torch.randn(VOCABULARY, WIDTH, generator=random, dtype=torch.float64)
    targets = torch.randint(0, VOCABULARY, (tokens,), generator=random)
    ignored = torch.rand(tokens, generator=random) < 0.3
    scale = torch.randn(tokens, generator=random, dtype=torch.float64).masked_fill(ignored, 0)
    return (
        hidden.to(kind).requires_grad_(),
        head.to(kind).requires_grad_(),
        targets.masked_fill(ignored, -100),
        scale,
    )


def at_once(hidden: Tensor, head: Tensor, targets: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    losses = cross_entropy(hidden @ head.T, targets, reduction="none")
    return (losses * scale).sum(), losses


@given(st.integers(1, 12), st.integers(1, 14), st.integers(0, 999))
def test_sum_losses_and_gradients_are_those_of_all_logits_at_once(tokens, rows, seed):
    ours, theirs = draw(tokens, seed), draw(tokens, seed)
    (value, losses), (expected, each) = chunked_cross_entropy(*ours, rows), at_once(*theirs)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(losses, each.detach())
    assert not losses.requires_grad
    (3 * value).backward()
    (3 * expected).backward()
    for one, other in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_frozen_side_gets_no_gradient_and_changes_nothing(frozen):
    ours, theirs = draw(7, 2), draw(7, 2)
    ours[frozen].requires_grad_(False)
    chunked_cross_entropy(*ours, 3)[0].backward()
    at_once(*theirs)[0].backward()
    assert ours[frozen].grad is None
    torch.testing.assert_close(ours[1 - frozen].grad, theirs[1 - frozen].grad)


@pytest.mark.parametrize("by_autocast", [True, False], ids=["autocast", "bf16"])
def test_in_bf16_it_is_as_near_the_truth_as_all_logits_at_once(by_autocast):
    kind = torch.float32 if by_autocast else torch.bfloat16
    truth, ours, plain = draw(400, 3), draw(400, 3, kind), draw(400, 3, kind)
    scale = truth[3].abs().float() / 4e6  # as small as in a step of 4 M tokens
    at_once(*truth[:3], scale.double())[0].backward()
    with torch.autocast("cpu", torch.bfloat16, enabled=by_autocast):
        value, losses = chunked_cross_entropy(*ours[:3], scale, 64)
        logits = plain[0] @ plain[1].T
    expected = (cross_entropy(logits.float(), plain[2], reduction="none") * scale).sum()
    assert value.dtype == losses.dtype == torch.float32
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    value.backward()
    expected.backward()
    for one, other, true in zip(ours[:2], plain[:2], truth[:2], strict=True):
        assert one.grad.dtype == kind
        error, usual = (
            ((grad.double() - true.grad).norm() / true.grad.norm()).item()
            for grad in (one.grad, other.grad)
        )
        assert error < 1.2 * usual < 0.05


class Live(TorchDispatchMode):
    """The most matrices of logits, whole or a chunk of them, that were alive at a time."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary, self.most, self.seen = vocabulary, 0, []

    def __torch_dispatch__(self, op: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = op(*args, **(kwargs or {}))
        for one in found if isinstance(found, tuple) else (found,):
            # the head's transpose is as wide
            shape = one.shape if isinstance(one, Tensor) else ()
            if shape[-1:] == (self.vocabulary,) and shape[0] not in (WIDTH, self.vocabulary):
                self.seen.append(StorageWeakRef(one.untyped_storage()))
        alive = {ref.cdata for ref in self.seen if not ref.expired()}
        self.most = max(self.most, len(alive))
        return found


def test_one_chunk_of_logits_is_held_and_no_more():
    tokens, vocabulary, rows = 60, 50, 7
    hidden = torch.randn(tokens, WIDTH, requires_grad=True)
    head = torch.randn(vocabulary, WIDTH, requires_grad=True)
    targets, scale = torch.randint(0, vocabulary, (tokens,)), torch.ones(tokens)
    with Live(vocabulary) as live:
        value, _ = chunked_cross_entropy(hidden, head, targets, scale, rows)
        value.backward()
    assert live.most == 1
    with Live(vocabulary) as plain:
        at_once(hidden, head, targets, scale)[0].backward()
    assert plain.most > 1


def test_it_is_differentiated_once():
    value, _ = chunked_cross_entropy(*draw(4, 0), 2)
    value.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="differentiated once"):
        value.backward()


def test_without_gradients_none_are_made():
    with torch.no_grad():
        value, losses = chunked_cross_entropy(*draw(9, 4), 2)
    assert not value.requires_grad
    torch.testing.assert_close(losses, at_once(*draw(9, 4))[1].detach())


def test_chunks_shrink_as_vocabularies_grow():
    cpu = torch.device("cpu")
    assert chunk_rows(2048, cpu) * 2048 == chunk_rows(16384, cpu) * 16384 == 2**22
    assert chunk_rows(10**9, cpu) == 16


@given(st.integers(1, 3), st.integers(1, 9), st.integers(0, 999), st.booleans())
def test_from_hidden_states_the_group_loss_is_the_one_from_logits(rows, positions, seed, weighted):
    random = torch.Generator().manual_seed(seed)
    # in double: near a loss of 0, fp32 rounds by more than a relative bound allows
    exact = {"generator": random, "dtype": torch.float64, "requires_grad": True}
    hidden = torch.randn(rows, positions, WIDTH, **exact)
    head = torch.randn(VOCABULARY, WIDTH, **exact)
    ids, targets = torch.randint(0, VOCABULARY, (2, rows, positions), generator=random)
    targets[torch.rand(rows, positions, generator=random) < 0.3] = -100
    targets[0, 0] = 1
    weights = {"fc": 0.0, "cc": 2.0} if weighted else None
    loss, other = (GroupLoss(CLASSES, weights=weights) for _ in range(2))
    value = loss.of_hidden(hidden, head, ids, targets, rows=4)
    expected = other(hidden @ head.T, ids, targets)
    torch.testing.assert_close(value, expected)
    for one, two in zip(
        torch.autograd.grad(value, (hidden, head)),
        torch.autograd.grad(expected, (hidden, head)),
        strict=True,
    ):
        torch.testing.assert_close(one, two)
    ours, theirs = loss.take(), other.take()
    np.testing.assert_allclose(ours.sums, theirs.sums, rtol=1e-6)
    assert ours.counts.tolist() == theirs.counts.tolist()


# The kernels need a GPU. What is tested: which one is taken, and that it is called in its own
# terms; the stand-ins have the signatures of cut-cross-entropy 25.6 and liger-kernel 0.8.2.


def stand_in(*, hidden: Tensor, head: Tensor, targets: Tensor, ignored: int) -> Tensor:
    return cross_entropy((hidden @ head.T).float(), targets, ignore_index=ignored, reduction="none")


def cut(
    e, c, targets, bias=None, ignore_index=-100, softcap=None, reduction="mean", shift=0,
    return_lse=False, filter_eps="auto", accum_e_fp32=False, accum_c_fp32=False,
    filter_e_grad=True, filter_c_grad=True, impl="cce", vocab_parallel_options=None,
):  # fmt: skip
    assert reduction == "none"
    assert impl == "cce_kahan_full_c"
    return stand_in(hidden=e, head=c, targets=targets, ignored=ignore_index)


def liger(input, weight, target, bias=None, ce_weight=None, ignore_index=-100,
          lse_square_scale=0.0, label_smoothing=0.0, reduction="mean", softcap=None,
          return_z_loss=False, accum_dtype=None, use_token_scaling=False,
          return_token_accuracy=False, return_predicted_tokens=False):  # fmt: skip
    assert reduction == "none"
    assert accum_dtype == torch.float32
    return stand_in(hidden=input, head=weight, targets=target, ignored=ignore_index)


CUDA = torch.device("cuda")


@pytest.fixture
def installed(monkeypatch):
    """Installs stand-ins of the kernels asked for, and forgets what was found before."""

    def install(*names: str, liger_version: str = "0.8.2") -> None:
        chunked._cut_cross_entropy.cache_clear()
        chunked._liger.cache_clear()
        module = types.ModuleType("cut_cross_entropy")
        module.linear_cross_entropy = cut  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "cut_cross_entropy", module if "cut" in names else None)
        module = types.ModuleType("functional")
        module.liger_fused_linear_cross_entropy = liger  # type: ignore[attr-defined]
        name = "liger_kernel.transformers.functional"
        monkeypatch.setitem(sys.modules, name, module if "liger" in names else None)

        def version(package: str) -> str:
            if package == "liger-kernel" and "liger" in names:
                return liger_version
            raise importlib.metadata.PackageNotFoundError(package)

        monkeypatch.setattr(chunked, "version", version)

    yield install
    chunked._cut_cross_entropy.cache_clear()
    chunked._liger.cache_clear()


@pytest.mark.parametrize("name", ["cut", "liger"])
def test_an_installed_kernel_gives_losses_and_gradients_by_token(installed, name):
    installed(name)
    losses = fused_losses(CUDA, torch.bfloat16)
    assert losses is not None
    ours, theirs = draw(8, 5), draw(8, 5)
    (losses(*ours[:3]) * ours[3]).sum().backward()
    at_once(*theirs)[0].backward()
    for one, other in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-6)


def test_kernels_are_for_half_precision_on_cuda_and_liger_comes_second(installed):
    installed("cut", "liger")
    assert fused_losses(torch.device("cpu"), torch.bfloat16) is None
    assert fused_losses(CUDA, torch.float32) is None
    both = fused_losses(CUDA, torch.bfloat16)
    installed("cut")
    assert both is not None
    assert both.__code__ is fused_losses(CUDA, torch.float16).__code__
    installed()
    assert fused_losses(CUDA, torch.bfloat16) is None


def test_a_liger_kernel_with_wrong_gradients_is_not_taken(installed):
    installed("liger", liger_version="0.8.1")
    assert fused_losses(CUDA, torch.bfloat16) is None
    installed("liger", liger_version="0.10.0")
    assert fused_losses(CUDA, torch.bfloat16) is not None


def test_the_group_loss_by_a_kernel_is_the_same(monkeypatch):
    def losses(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
        return stand_in(hidden=hidden, head=head, targets=targets, ignored=-100)

    ids, targets = torch.randint(
        0, VOCABULARY, (2, 3, 5), generator=torch.Generator().manual_seed(1)
    )
    hidden, head = torch.randn(3, 5, WIDTH), torch.randn(VOCABULARY, WIDTH)
    plain, taken = GroupLoss(CLASSES), GroupLoss(CLASSES)
    expected = plain.of_hidden(hidden, head, ids, targets)
    monkeypatch.setattr("functok.models.losses.groups.fused_losses", lambda device, kind: losses)
    torch.testing.assert_close(taken.of_hidden(hidden, head, ids, targets), expected)
    np.testing.assert_allclose(taken.take().sums, plain.take().sums, rtol=1e-5)
