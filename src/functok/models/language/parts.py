"""What attention and the MLP add to the stream, found in any architecture by a probe.

    resid_pre + attn_out + mlp_out = resid_post

defines both sites. Which module's output is the term differs: the module itself (Llama), the norm
after it (Gemma-2, OLMo-2, GLM-4), or none, where the stream is scaled (Granite) or added inside the
module (Bloom). So the modules of a layer are tried on a few tokens, and where no pair adds up the
sites are refused. A module of which the input is resid_pre + attn_out reads the stream between
the two (``resid_mid``).
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from functok.models.language.layers import Model, hidden_of, input_of, layer_of
from functok.models.language.probe import probe_ids, unhooked

Parts = dict[str, nn.Module]
"""By site: ``attn_out`` and ``mlp_out`` by their output, ``resid_mid`` by its input."""

_ATTENTION = re.compile(r"attn|attention|self_att")
_FOUND: WeakKeyDictionary[nn.Module, dict[int, Parts]] = WeakKeyDictionary()


class _Stop(Exception):  # noqa: N818 (a signal, not an error)
    """Raised once the layer has been run."""


def added(model: Model, layer: int) -> Parts:
    """The sites of ``layer`` that the identity above fixes; none where no pair adds up."""
    known = _FOUND.setdefault(model, {})
    if layer not in known:
        with unhooked(model):
            known[layer] = _probed(model, layer)
    return known[layer]


@torch.no_grad()
def _probed(model: Model, layer: int) -> Parts:
    seen: dict[str, tuple[Tensor | None, Tensor | None]] = {}
    block = layer_of(model, layer)

    def note(name: str) -> Any:
        def read(module: nn.Module, inputs: tuple, named: dict, output: Any) -> None:
            entered = input_of(inputs, named) if inputs or named else None
            seen[name] = _kept(entered), _kept(hidden_of(output))
            if not name:
                raise _Stop

        return read

    def before(module: nn.Module, inputs: tuple, named: dict) -> None:
        stream.append(input_of(inputs, named).clone())  # a layer may add to it in place

    stream: list[Tensor] = []
    with ExitStack() as handles:
        handles.callback(block.register_forward_pre_hook(before, with_kwargs=True).remove)
        for name, module in block.named_modules():
            handles.callback(module.register_forward_hook(note(name), with_kwargs=True).remove)
        with suppress(_Stop):
            model.base_model(probe_ids(model), use_cache=False)
    start, end = stream[0], seen[""][1]
    if end is None or end.shape != start.shape:
        return {}
    terms = {
        name: output
        for name, (_, output) in seen.items()
        if name and output is not None and _fits(output, start)
    }
    for one, other in _pairs(list(terms)):
        attention, mlp = (terms[name].reshape(start.shape) for name in (one, other))
        if _equal(end, start, attention, mlp):
            found = {"attn_out": block.get_submodule(one), "mlp_out": block.get_submodule(other)}
            for name, (entered, _) in seen.items():
                if entered is None or not _fits(entered, start):
                    continue
                if _equal(entered.reshape(start.shape), start, attention):
                    return found | {"resid_mid": block.get_submodule(name)}
            return found
    return {}


def _pairs(names: list[str]) -> Iterator[tuple[str, str]]:
    """What may be attention's term and the MLP's, the outermost modules first."""
    names = sorted(names, key=lambda name: name.count("."))
    for one in names:
        if _ATTENTION.search(one):
            yield from ((one, other) for other in names if not _ATTENTION.search(other))


def _fits(tensor: Tensor, stream: Tensor) -> bool:
    """Whether it has a vector of the stream's width for every position, in a batch or in a row."""
    return tensor.shape[-1] == stream.shape[-1] and tensor.numel() == stream.numel()


def _equal(whole: Tensor, *terms: Tensor) -> bool:
    """Whether the terms add up to ``whole`` as far as its precision tells."""
    exact = [term.cpu().double() for term in terms]  # Apple's GPUs have no float64
    rest = whole.cpu().double() - torch.stack(exact).sum(0)
    size = sum(float(term.norm()) for term in exact)
    return float(rest.norm()) <= 2 * torch.finfo(whole.dtype).eps * size


def _kept(value: Any) -> Tensor | None:
    return value.clone() if isinstance(value, Tensor) and value.is_floating_point() else None
