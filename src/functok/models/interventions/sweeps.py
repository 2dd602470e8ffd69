"""Many interventions on few prompts, with nothing computed twice that they share.

An intervention after layer L at position p changes nothing before p, and nothing at layers up to
L. So the prompts are run once; their keys, values and residual stream are kept; and a trial runs
positions p … n only, through layers L+1 … only. Of a prompt of n tokens this leaves

    (n − p) / n · (layers − L − 1) / layers

of a full forward pass. Trials are batched: those that run together start at the lowest position
and layer among them, and the batches are cut where the work, as counted by ``batches``, is least.
Only the last position's logits are computed.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from functok.models.interventions.intervention import Change
from functok.models.language.model import Model, decoder_layers, hidden_of, layer_of, with_hidden
from functok.runtime.errors import UserError, require

Read = Callable[[Float[Tensor, "trials vocabulary"]], Tensor]
"""What is kept of the last position's log-probabilities: one row per trial."""

FIXED = {"cpu": 24.0, "cuda": 2048.0}
"""What a forward pass costs whatever its size, in tokens through the whole model."""


class Trial(NamedTuple):
    """One run of the model on one prompt, with all these changes; without any, the plain run."""

    prompt: int
    """Index into the prompts."""
    changes: tuple[Change, ...] = ()
    """Their positions are integers."""


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
def sweep(
    model: Model,
    prompts: Sequence[Sequence[int]],
    trials: Sequence[Trial],
    read: Read = lambda log_probabilities: log_probabilities,
    memory: int = 1 << 30,
) -> Tensor:
    """Log-probabilities of the token after the prompt, under every trial.

    Args:
        prompts: token ids as the model reads them, of any lengths.
        read: applied to each batch's log-probabilities, so that only what is wanted of a large
            vocabulary is kept.
        memory: bytes that keys, values and activations of one batch may take.

    Returns:
        What ``read`` returns, in the order of ``trials``, on the CPU.

    Raises:
        UserError: for a prompt that is empty, a change that the model or prompt has no place
            for, or a model whose state cannot be cut at a position.
    """
    _check(model, prompts, trials)
    by_length = defaultdict(list)
    for index, trial in enumerate(trials):
        by_length[len(prompts[trial.prompt])].append(index)
    found: dict[int, Tensor] = {}
    for length, members in sorted(by_length.items()):
        most = max(memory // (2 * _bytes_per_prompt(model, length)), 1)
        for group in _by_prompts([(index, trials[index].prompt) for index in members], most):
            used = sorted({trials[index].prompt for index in group})
            place = {prompt: row for row, prompt in enumerate(used)}
            local = [trials[index]._replace(prompt=place[trials[index].prompt]) for index in group]
            shared = _run_prompts(model, [prompts[prompt] for prompt in used], local)
            for rows, logits in _run_trials(model, shared, local, memory):
                kept = read(logits.float().log_softmax(-1)).cpu()
                found.update(zip((group[row] for row in rows), kept, strict=True))
    require(bool(found), "The sweep has no trials; give at least one.")
    return torch.stack([found[index] for index in range(len(trials))])


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


def _run_prompts(model: Model, prompts: Sequence[Sequence[int]], trials: list[Trial]) -> Shared:
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

    ids = torch.tensor([list(prompt) for prompt in prompts], device=model.device)
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
        "cannot share a prefix; intervene on it one run at a time.",
    )
    kept: list[Any] = list(cache.layers)
    keys, values = [layer.keys for layer in kept], [layer.values for layer in kept]
    return Shared(ids, keys, values, streams, bare, output.logits[:, -1])


def _run_trials(
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
    most = max(memory // (2 * _bytes_per_prompt(model, length)), 1)
    fixed = FIXED.get(model.device.type, FIXED["cuda"])
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
    resumed = shared.streams[layer][:, position:][prompts]

    def stand_in(index: int) -> Callable[..., Any]:
        """A layer that is not computed: it hands on, and the last of them starts from the run."""

        def forward(hidden: Tensor, *inputs: Any, **named: Any) -> Any:
            hidden = resumed if index == layer else hidden
            return hidden if shared.bare[index] else (hidden,)

        return forward

    def changer(index: int) -> Any:
        def write(module: nn.Module, inputs: Any, output: Any) -> Any:
            hidden = hidden_of(output).clone()
            for row, trial in enumerate(trials):
                for change in trial.changes:
                    if change.layer == index:
                        place = slice(row, row + 1), change.position - position  # type: ignore[operator]
                        number = torch.tensor([row], device=hidden.device)
                        hidden[place] = change.apply(hidden[place], number)
            return with_hidden(output, hidden)

        return write

    with ExitStack() as undo:
        for index in range(layer + 1):
            undo.callback(layers[index].__dict__.pop, "forward")
            layers[index].forward = stand_in(index)
        for index in sorted({change.layer for trial in trials for change in trial.changes}):
            undo.callback(layers[index].register_forward_hook(changer(index)).remove)
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
            state[prompts[0], :, :position].expand(len(prompts), -1, -1, -1)
            if alone or index <= layer
            else state[prompts, :, :position]
            for state in pair
        )
        kept.lazy_initialization(keys, values)
        kept.keys, kept.values = keys, values
        cache.layers.append(kept)
    return cache


def _start(trial: Trial) -> tuple[int, int]:
    """The first layer and the first position that a trial changes."""
    return (
        min(change.layer for change in trial.changes),
        min(change.position for change in trial.changes),  # type: ignore[type-var]
    )


def _check(model: Model, prompts: Sequence[Sequence[int]], trials: Sequence[Trial]) -> None:
    width = model.config.get_text_config().hidden_size
    for trial in trials:
        length = len(prompts[trial.prompt])
        require(length > 0, "The prompt is empty; give one with at least one token.")
        for change in trial.changes:
            layer_of(model, change.layer)
            change.check(width)
            if not isinstance(change.position, int) or not 0 <= change.position < length:
                raise UserError(
                    f"There is no position {change.position}: the prompt has positions 0 to "
                    f"{length - 1}."
                )


def _by_prompts(members: list[tuple[int, int]], most: int) -> Iterator[list[int]]:
    """Trials (index, prompt) in groups that touch at most ``most`` prompts each."""
    group: list[int] = []
    seen: set[int] = set()
    for index, prompt in sorted(members, key=lambda member: member[1]):
        if prompt not in seen and len(seen) == most:
            yield group
            group, seen = [], set()
        group.append(index)
        seen.add(prompt)
    if group:
        yield group


def _bytes_per_prompt(model: Model, length: int) -> int:
    """Keys, values and the widest activations of one row of ``length`` positions."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    per_head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    state = 2 * config.num_hidden_layers * heads * per_head
    passing = 4 * config.hidden_size + 3 * getattr(
        config, "intermediate_size", 4 * config.hidden_size
    )
    element = next(model.parameters()).element_size()
    return length * (state + passing) * element + 8 * config.vocab_size
