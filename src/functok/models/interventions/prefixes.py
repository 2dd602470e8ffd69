"""Trials that share what they have in common: the prompt's layers and positions before a change.

An intervention after layer L at position p changes nothing before p, and nothing at layers up to
L. So the prompts are run once; their keys, values and residual stream are kept; and a trial runs
positions p … n only, through layers L+1 … only. Trials that run together start at the lowest
position and layer among them, and the batches are cut where the work, as counted by ``batches``,
is least.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from functok.models.interventions.intervention import Intervention
from functok.models.interventions.trials import Trial, bytes_per_prompt, make_changes, run_whole
from functok.models.language.layers import Model, decoder_layers, hidden_of, standing_in
from functok.models.language.probe import alike, probe_ids, unhooked
from functok.models.placement import device_of
from functok.runtime.errors import UserError, outside, require

FIXED = {"cpu": 24.0, "cuda": 2048.0}
"""What a forward pass costs whatever its size, in tokens through the whole model."""
_SHARES: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


class Shared(NamedTuple):
    """What prompts of equal length have in common with every trial on them."""

    ids: Int[Tensor, "prompt position"]
    keys: list[Float[Tensor, "prompt head position d_head"]]
    """By layer."""
    values: list[Float[Tensor, "prompt head position d_head"]]
    streams: dict[int, Float[Tensor, "prompt position d_model"]]
    """The residual stream after each layer that a trial changes."""
    bare: dict[int, bool]
    """Whether a layer's output is its hidden state itself, and not a tuple."""
    logits: Float[Tensor, "prompt vocabulary"]
    """At the last position."""


@torch.no_grad()
def shares_prefix(model: Model) -> bool:
    """Whether runs of ``model`` can be cut at a position: tried once, on a few tokens."""
    if model not in _SHARES:
        with unhooked(model):
            _SHARES[model] = _cuts_alike(model)
    return _SHARES[model]


def _cuts_alike(model: Model) -> bool:
    text = probe_ids(model)[:1].tolist()
    vector = torch.linspace(-1, 1, model.config.get_text_config().hidden_size)
    for layer in (0, len(decoder_layers(model)) // 2):
        trials = [Trial(0, (Intervention(layer, 3, vector),))]
        ((_, whole),) = run_whole(model, text, trials, 1 << 30)
        try:
            with outside("No prefix can be shared", "whole passes are made"):
                shared = run_prompts(model, text, trials)
                ((_, cut),) = run_trials(model, shared, trials, 1 << 30)
        except UserError:
            return False
        if not alike(cut.float(), whole.float(), model):
            return False
    return True


def batches(
    start: Int[np.ndarray, "trial 2"], length: int, layers: int, most: int, fixed: float
) -> list[slice]:
    """Where to cut a list of trials into batches so that least is computed.

    A batch costs ``fixed`` + its trials · (positions from its first on) · (layers above its
    lowest, and the head) / ``layers``; the best cuts are found by dynamic programming.

    Args:
        start: first layer changed and first position changed of each trial, in their order.
        length: positions in the prompt.
        most: trials that fit into memory together.
    """
    count = len(start)
    best = np.zeros(count + 1)
    previous = np.zeros(count + 1, int)
    for stop in range(1, count + 1):
        first = max(stop - most, 0)
        lowest = np.minimum.accumulate(start[first:stop][::-1])[::-1]
        size = np.arange(stop - first, 0, -1)
        work = size * (length - lowest[:, 1]) * (layers - lowest[:, 0]) / layers
        total = best[first:stop] + fixed + work
        previous[stop] = first + int(total.argmin())
        best[stop] = total.min()
    cuts, stop = [], count
    while stop > 0:
        cuts.append(slice(int(previous[stop]), stop))
        stop = int(previous[stop])
    return cuts[::-1]


def run_prompts(model: Model, prompts: Sequence[Sequence[int]], trials: list[Trial]) -> Shared:
    from transformers import DynamicCache

    layers = sorted({change.layer for trial in trials for change in trial.changes})
    streams: dict[int, Tensor] = {}
    bare: dict[int, bool] = {}

    def keep(layer: int) -> Any:
        def read(module: nn.Module, inputs: Any, output: Any) -> None:
            bare[layer] = not isinstance(output, tuple)
            if layer in layers:
                streams[layer] = hidden_of(output)

        return read

    ids = torch.tensor([list(prompt) for prompt in prompts], device=device_of(model))
    # Without a configuration every layer keeps all positions; sliding windows are then the mask's
    # doing alone, and the cache may be cut anywhere.
    cache = DynamicCache()
    with ExitStack() as handles:
        for index, layer in enumerate(decoder_layers(model)):
            handles.callback(layer.register_forward_hook(keep(index)).remove)
        output = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    require(
        all(type(layer).__name__ == "DynamicLayer" for layer in cache.layers)
        and len(cache.layers) == len(decoder_layers(model)),
        f"{type(model).__name__} keeps more than keys and values between tokens, so its runs "
        "cannot share a prefix.",
    )
    kept: list[Any] = list(cache.layers)
    keys, values = [layer.keys for layer in kept], [layer.values for layer in kept]
    return Shared(ids, keys, values, streams, bare, output.logits[:, -1])


def run_trials(
    model: Model, shared: Shared, trials: list[Trial], memory: int
) -> Iterator[tuple[list[int], Tensor]]:
    """Batches of trials: which they are, and their logits at the last position."""
    plain = [index for index, trial in enumerate(trials) if not trial.changes]
    if plain:
        yield plain, shared.logits[[trials[index].prompt for index in plain]]
    changed = [index for index, trial in enumerate(trials) if trial.changes]
    start = np.array([_start(trials[index]) for index in changed], int).reshape(-1, 2)
    prompt = np.array([trials[index].prompt for index in changed], int)
    order = np.lexsort([prompt, start[:, 1], start[:, 0]])
    length = shared.ids.shape[1]
    most = max(memory // (2 * bytes_per_prompt(model, length)), 1)
    fixed = FIXED.get(shared.ids.device.type, FIXED["cuda"])
    for cut in batches(start[order], length, len(shared.keys), most, fixed):
        rows = [changed[index] for index in order[cut]]
        layer, position = start[order[cut]].min(0).tolist()
        yield rows, _run_batch(model, shared, [trials[row] for row in rows], layer, position)


def _run_batch(
    model: Model, shared: Shared, trials: list[Trial], layer: int, position: int
) -> Float[Tensor, "trials vocabulary"]:
    """The trials from ``position`` on, above ``layer``."""
    layers = decoder_layers(model)
    prompts = torch.tensor([trial.prompt for trial in trials], device=shared.ids.device)
    stream = shared.streams[layer][:, position:]
    resumed = stream[prompts.to(stream.device)]

    def stand_in(index: int) -> Callable[..., Any]:
        """A layer that is not computed: it hands on, and the last of them starts from the run."""

        def forward(hidden: Tensor, *inputs: Any, **named: Any) -> Any:
            hidden = resumed if index == layer else hidden
            return hidden if shared.bare[index] else (hidden,)

        return forward

    with ExitStack() as undo:
        for index in range(layer + 1):
            undo.enter_context(standing_in(layers[index], stand_in(index)))
        make_changes(model, trials, position, undo)
        return model(
            shared.ids[prompts, position:],
            past_key_values=_prefix(shared, prompts, layer, position),
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]


def _prefix(shared: Shared, prompts: Int[Tensor, " trials"], layer: int, position: int) -> Any:
    """Keys and values before ``position``, a row per trial; none are read up to ``layer``."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    cache = DynamicCache()
    alone = bool((prompts == prompts[0]).all())
    for index, pair in enumerate(zip(shared.keys, shared.values, strict=True)):
        kept = DynamicLayer()
        # A view where one prompt serves every row, or where only the length is looked at.
        keys, values = (
            state[int(prompts[0]), :, :position].expand(len(prompts), -1, -1, -1)
            if alone or index <= layer
            else state[prompts.to(state.device), :, :position]
            for state in pair
        )
        kept.lazy_initialization(keys, values)
        kept.keys, kept.values = keys, values
        cache.layers.append(kept)
    return cache


def run_continuations(
    model: Model, texts: Sequence[Sequence[int]], memory: int = 1 << 30
) -> Iterator[tuple[list[int], Float[Tensor, "rows vocabulary"]]]:
    """Texts that begin alike: which they are, and their logits at the last position.

    What all of them begin with is run once, where the model can be cut.

    Args:
        texts: token ids, at least one of each; of any lengths.
        memory: bytes that keys, values and activations of one batch may take.
    """
    shortest = min(map(len, texts))
    apart = (len(set(column)) > 1 for column in zip(*texts, strict=False))
    shared = next((place for place, differ in enumerate(apart) if differ), shortest - 1)
    shared = min(shared, shortest - 1)
    if not shared or not shares_prefix(model):
        shared = 0
    with torch.no_grad():
        run = run_prompts(model, [texts[0][:shared]], []) if shared else None
    by_length: dict[int, list[int]] = {}
    for row, text in enumerate(texts):
        by_length.setdefault(len(text), []).append(row)
    for length, members in sorted(by_length.items()):
        most = max(memory // (2 * bytes_per_prompt(model, length)), 1)
        for first in range(0, len(members), most):
            rows = members[first : first + most]
            ids = torch.tensor([list(texts[row][shared:]) for row in rows], device=model.device)
            kept: dict[str, Any] = {"use_cache": False}
            if run is not None:
                cache = _prefix(run, ids.new_zeros(len(rows)), -1, shared)
                kept = {"use_cache": True, "past_key_values": cache}
            with torch.no_grad():
                logits = model(ids, logits_to_keep=1, **kept).logits[:, -1]
            yield rows, logits


def _start(trial: Trial) -> tuple[int, int]:
    """The first layer and the first position that a trial changes."""
    return (
        min(change.layer for change in trial.changes),
        min(change.position for change in trial.changes),  # type: ignore[type-var]
    )
