"""What is asked of every model when it is loaded: is it causal, and does it give numbers?

Nothing in a checkpoint tells that its attention looks back only: an encoder loads as a causal LM
without a word. So a text is run with two endings, and once without any: what comes before the
ending must not move. Rounding may differ with the shape of a batch, hence the tolerance.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from functok.models.language.layers import Model
from functok.models.placement import device_of, remedy
from functok.runtime.errors import outside, require

LENGTH = 8
"""Tokens of the probe; the second half is its ending."""
_TOLERANCE = 1e-3
_COARSE = 0.1
"""Of root mean squares, in fp32 and in less."""
_BEARS: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def probe_ids(model: Model) -> Int[Tensor, "2 position"]:
    """Ordinary token ids, two rows alike in their first half; no special token is among them."""
    config = model.config.get_text_config()
    special: set[int] = set()
    for source in (model.config, config):
        for name, value in source.to_dict().items():
            if name.endswith(("_token_id", "_token_index", "_token_ids")):
                special |= set(value if isinstance(value, list) else [value])
    size = model.get_input_embeddings().weight.shape[0]
    step = max(size // (3 * LENGTH), 1)
    usable = [index for index in range(size // 8, size, step) if index not in special]
    usable = (usable or [0]) * LENGTH
    half = LENGTH // 2
    first, second = usable[:LENGTH], usable[:half] + usable[LENGTH : LENGTH + half]
    return torch.tensor([first, second], device=device_of(model))


@contextmanager
def unhooked(model: Model) -> Iterator[None]:
    """The model without the hooks that are on it now: a probe neither sees nor calls them."""
    every = [
        hooks
        for module in model.modules()
        for hooks in (module._forward_hooks, module._forward_pre_hooks)
        if hooks
    ]
    kept = [dict(hooks) for hooks in every]
    for hooks in every:
        hooks.clear()
    try:
        yield
    finally:
        for hooks, before in zip(every, kept, strict=True):
            hooks.update(before)


@torch.no_grad()
def check_model(model: Model, name: str) -> None:
    """Refuse a model that is not causal, or that does not give numbers.

    Raises:
        UserError: naming the tensor, where a weight is not finite.
    """
    for weight, tensor in model.named_parameters():
        require(
            finite(tensor),
            f"Model {name!r} has values in {weight} that are not finite; give another checkpoint.",
        )
    ids = probe_ids(model)
    with outside(f"Model {name!r} cannot be run", "functok needs a causal LM of text"):
        both = model(ids, use_cache=False).logits.float()
        alone = model(ids[:1, : LENGTH // 2], use_cache=False).logits.float()
    require(
        finite(both),
        f"Model {name!r} gives logits that are not finite in {model.dtype}; {remedy(model.dtype)}.",
    )
    kept = both[:, : LENGTH // 2]
    require(
        alike(kept[1], kept[0], model),
        f"Model {name!r} is not a causal language model: what it computes at a token depends on "
        "the tokens that follow; give a causal LM.",
    )
    require(
        alike(alone[0], kept[0], model),
        f"Model {name!r} computes different states for the same tokens in a longer text, so they "
        "cannot be compared between texts; give another model.",
    )


@torch.no_grad()
def bears_padding(model: Model) -> bool:
    """Whether padding on the left changes nothing of what the model writes (it may, in a state)."""
    if model not in _BEARS:
        half = LENGTH // 2
        ids = probe_ids(model)[:1, :half]
        nothing, real = torch.zeros_like(ids), torch.ones_like(ids)
        with unhooked(model):
            alone = _written(model, ids, real)
            padded = _written(model, torch.cat([nothing, ids], 1), torch.cat([nothing, real], 1))
        _BEARS[model] = alike(padded, alone, model)
    return _BEARS[model]


def _written(model: Model, ids: Tensor, mask: Tensor) -> Float[Tensor, "token vocabulary"]:
    """Logits of two tokens that are generated after ``ids``."""
    found = model.generate(
        ids,
        attention_mask=mask,
        max_new_tokens=2,
        min_new_tokens=2,
        do_sample=False,
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
    )
    return torch.cat(found.logits)


def finite(tensor: Tensor) -> bool:
    """Whether every value is a number; looked at without a copy."""
    if tensor.numel() == 0 or not tensor.is_floating_point() or tensor.is_meta:
        return True
    if tensor.element_size() == 1:  # no extremes are known of eight bits
        tensor = tensor.float()
    return bool(torch.stack(tensor.aminmax()).isfinite().all())


def alike(one: Float[Tensor, "*shape"], two: Float[Tensor, "*shape"], model: Model) -> bool:
    """Whether the two differ by rounding alone, in the precision of ``model``."""
    tolerance = _TOLERANCE if model.dtype == torch.float32 else _COARSE
    return float((one - two).norm() / two.norm().clamp(min=1e-30)) <= tolerance
