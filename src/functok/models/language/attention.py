"""Which positions may a position attend to? A mask applied to every layer's attention.

The mask serves two purposes: a model *trained* under it has no route but the edges that the mask
allows, and edges *removed* from a finished model show which route it takes (attention knockout by
−∞ before the softmax, so that the other weights are renormalised; Geva et al., arXiv 2304.14767;
``docs/methods.md#attention-knockout``).

transformers accepts a four-dimensional mask in place of its own, so nothing of the model is changed
but its input. Some architectures ignore it (OPT, every layer without attention), and a sliding
window is lost under it: both are refused.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from functok.models.language.model import Model
from functok.models.language.probe import LENGTH, alike, probe_ids, unhooked
from functok.runtime.errors import UserError, outside, require

Edges = Callable[[Int[Tensor, "batch position"]], Bool[Tensor, "batch query key"]]
"""From token ids to the edges that may be read; what lies ahead of a query is never read."""


_OBEYS: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
_CLOSED = 1
"""The key that the probe closes."""


@contextmanager
def attending(model: Model, edges: Edges) -> Iterator[None]:
    """Let every layer read along ``edges`` alone, in training as in inference.

    A position always reads itself.

    Raises:
        UserError: for a model that does not follow such a mask, for texts longer than its sliding
            window, and when it runs with a key–value cache, since edges follow from all tokens
            together.
    """
    kind = model.config._attn_implementation
    if kind not in ("sdpa", "eager"):
        raise UserError(
            f"Attention {kind!r} accepts no mask of edges; load the model with "
            "attn_implementation='sdpa' or 'eager'."
        )
    if model not in _OBEYS:
        with unhooked(model):
            _OBEYS[model] = _obeys(model)
    require(
        _OBEYS[model],
        f"{type(model).__name__} does not follow a mask of edges: its layers ignore it, or mix "
        "tokens outside attention; give another model.",
    )
    with _masked(model, edges):
        yield


@contextmanager
def _masked(model: Model, edges: Edges) -> Iterator[None]:
    windows = _windows(model)

    def masked(module: nn.Module, inputs: tuple, named: dict[str, Any]) -> tuple[tuple, dict]:
        cache = named.get("past_key_values")
        if cache is not None and cache.get_seq_length():
            raise UserError(
                "Masked attention needs whole texts; run the model with use_cache=False."
            )
        ids = inputs[0] if inputs else named["input_ids"]
        length = ids.shape[1]
        if windows and length > min(windows):
            raise UserError(
                f"The model attends within {min(windows)} tokens, which a mask of edges does not "
                f"respect; give texts no longer than that, not {length}."
            )
        causal = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
        open_ = (edges(ids) | torch.eye(length, dtype=torch.bool, device=ids.device)) & causal
        mask = open_[:, None]
        if model.config._attn_implementation == "eager":
            least = torch.finfo(model.dtype).min
            mask = torch.zeros(mask.shape, dtype=model.dtype, device=ids.device).masked_fill(
                ~mask, least
            )
        return inputs, {**named, "attention_mask": mask}

    handle = model.base_model.register_forward_pre_hook(masked, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _windows(model: Model) -> list[int]:
    """Tokens that some layer looks back over at most."""
    config = model.config.get_text_config()
    names = ("sliding_window", "attention_window_size", "attention_chunk_size")
    return [size for name in names if (size := getattr(config, name, None))]


@torch.no_grad()
def _obeys(model: Model) -> bool:
    """Whether open edges change nothing, and nothing passes from a key that is closed to others."""

    def opened(ids: Tensor) -> Tensor:
        return ids.new_ones(len(ids), ids.shape[1], ids.shape[1], dtype=torch.bool)

    def closed(ids: Tensor) -> Tensor:
        edges = opened(ids)
        edges[:, :, _CLOSED] = False
        return edges

    first, second = probe_ids(model)[:, : min([LENGTH, *_windows(model)])]
    ids = torch.stack([first, first])
    ids[1, _CLOSED] = second[-1]
    training = model.training
    model.eval()
    try:
        with outside("No mask can be given", "give another model"):
            plain = model(ids, use_cache=False).logits
            with _masked(model, opened):
                same = model(ids, use_cache=False).logits
            with _masked(model, closed):
                cut = model(ids, use_cache=False).logits
    except UserError:
        return False
    finally:
        model.train(training)
    rest = [_moved(logits.float()[:, _CLOSED + 1 :]) for logits in (plain, cut)]
    rounding = 16 * torch.finfo(model.dtype).eps * float(plain.float().norm())
    return alike(same.float(), plain.float(), model) and rest[1] <= rest[0] / 100 + rounding


def _moved(logits: Float[Tensor, "2 position vocabulary"]) -> float:
    return float((logits[0] - logits[1]).norm())
