"""Trials: runs of a model on a prompt with changes, each in a full forward pass."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from functok.models.interventions.intervention import Change
from functok.models.language.layers import Model, hidden_of, layer_of, with_hidden
from functok.models.placement import device_of


class Trial(NamedTuple):
    """One run of the model on one prompt, with all these changes; without any, the plain run."""

    prompt: int
    """Index into the prompts."""
    changes: tuple[Change, ...] = ()
    """Their positions are integers, from 0 or, from the prompt's end, −1."""


def run_whole(
    model: Model, prompts: Sequence[Sequence[int]], trials: list[Trial], memory: int
) -> Iterator[tuple[list[int], Tensor]]:
    """Batches of trials: which they are, and their logits at the last position."""
    ids = torch.tensor([list(prompt) for prompt in prompts], device=device_of(model))
    most = max(memory // bytes_per_prompt(model, ids.shape[1]), 1)
    for start in range(0, len(trials), most):
        rows = list(range(start, min(start + most, len(trials))))
        some = [trials[row] for row in rows]
        with ExitStack() as undo:
            make_changes(model, some, 0, undo)
            texts = ids[[trial.prompt for trial in some]]
            yield rows, model(texts, use_cache=False, logits_to_keep=1).logits[:, -1]


def make_changes(model: Model, trials: list[Trial], position: int, undo: ExitStack) -> None:
    """Make every trial's changes in its row of a pass that starts at ``position``."""

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

    for index in sorted({change.layer for trial in trials for change in trial.changes}):
        undo.callback(layer_of(model, index).register_forward_hook(changer(index)).remove)


def bytes_per_prompt(model: Model, length: int) -> int:
    """Keys, values and the widest activations of one row of ``length`` positions."""
    config = model.config.get_text_config()
    all_heads = getattr(config, "num_attention_heads", None) or 1  # without attention, its width
    heads = getattr(config, "num_key_value_heads", None) or all_heads
    per_head = getattr(config, "head_dim", None) or config.hidden_size // all_heads
    state = 2 * config.num_hidden_layers * heads * per_head
    passing = 4 * config.hidden_size + 3 * getattr(
        config, "intermediate_size", 4 * config.hidden_size
    )
    element = next(model.parameters()).element_size()
    return length * (state + passing) * element + 8 * config.vocab_size
