"""Many interventions on few prompts, with nothing computed twice that they share.

Of a prompt of n tokens an intervention after layer L at position p leaves

    (n − p) / n · (layers − L − 1) / layers

of a full forward pass to be run (``prefixes.py``). Only the last position's logits are computed.

Models that keep more than keys and values between tokens (convolutions, recurrent states, values
shared between layers) cannot be cut at a position. A probe finds out; their trials are full
forward passes.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from functok.models.interventions.prefixes import run_prompts, run_trials, shares_prefix
from functok.models.interventions.trials import Trial, bytes_per_prompt, run_whole
from functok.models.language.layers import Model, layer_of
from functok.models.language.probe import finite
from functok.models.placement import remedy
from functok.runtime.errors import UserError, require

Read = Callable[[Float[Tensor, "trials vocabulary"]], Tensor]
"""What is kept of the last position's log-probabilities: one row per trial."""


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
        UserError: for a prompt that is empty, a change that the model or prompt has no place for,
            or one that takes the logits beyond what the model's dtype holds.
    """
    _check(model, prompts, trials)
    trials = [_from_zero(trial, len(prompts[trial.prompt])) for trial in trials]
    by_length = defaultdict(list)
    for index, trial in enumerate(trials):
        by_length[len(prompts[trial.prompt])].append(index)
    found: dict[int, Tensor] = {}
    for length, members in sorted(by_length.items()):
        most = max(memory // (2 * bytes_per_prompt(model, length)), 1)
        for group in _by_prompts([(index, trials[index].prompt) for index in members], most):
            used = sorted({trials[index].prompt for index in group})
            place = {prompt: row for row, prompt in enumerate(used)}
            local = [trials[index]._replace(prompt=place[trials[index].prompt]) for index in group]
            texts = [prompts[prompt] for prompt in used]
            if shares_prefix(model):
                runs = run_trials(model, run_prompts(model, texts, local), local, memory)
            else:
                runs = run_whole(model, texts, local, memory)
            for rows, logits in runs:
                require(
                    finite(logits),
                    f"The model's logits are not finite in {model.dtype} under a change; make it "
                    f"smaller, or {remedy(model.dtype)}.",
                )
                kept = read(logits.float().log_softmax(-1)).cpu()
                found.update(zip((group[row] for row in rows), kept, strict=True))
    require(bool(found), "The sweep has no trials; give at least one.")
    return torch.stack([found[index] for index in range(len(trials))])


def _check(model: Model, prompts: Sequence[Sequence[int]], trials: Sequence[Trial]) -> None:
    width = model.config.get_text_config().hidden_size
    for trial in trials:
        length = len(prompts[trial.prompt])
        require(length > 0, "The prompt is empty; give one with at least one token.")
        for change in trial.changes:
            layer_of(model, change.layer)
            change.check(width)
            if not isinstance(change.position, int) or not -length <= change.position < length:
                raise UserError(
                    f"There is no position {change.position}: the prompt has positions 0 to "
                    f"{length - 1}."
                )


def _from_zero(trial: Trial, length: int) -> Trial:
    """The trial with positions from the prompt's end counted from its beginning."""
    changes: list[Any] = [
        replace(change, position=change.position + length)  # type: ignore[type-var,operator]
        if change.position < 0  # type: ignore[operator]
        else change
        for change in trial.changes
    ]
    return trial._replace(changes=tuple(changes))


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
