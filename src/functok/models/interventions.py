"""Change the residual stream at chosen positions while a model runs or generates.

    h_p ← h_p + v   (add)        h_p ← v   (set)

after one decoder layer, at positions of the prompt counted from its start. With a key–value cache
the layers see only the new tokens of each call; the positions are told apart by how much the cache
already holds, so the same intervention works in one forward pass and inside ``generate`` (where
generated tokens are left alone, as in the paper's App. A).
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from functok.errors import UserError
from functok.models.language import Model, hidden_of, layer_of, with_hidden


@dataclass(frozen=True)
class Intervention:
    """One change of the residual stream."""

    layer: int
    """Decoder layer after which it happens, from 0."""
    position: int
    """Position in the prompt, from 0."""
    vector: Float[Tensor, "*batch d_model"]
    """What is added or set; one for the whole batch, or one per row."""
    kind: Literal["add", "set"] = "add"


@contextmanager
def intervene(model: Model, interventions: Sequence[Intervention]) -> Iterator[None]:
    """Apply ``interventions`` to every forward pass inside the context.

    Raises:
        UserError: for a layer or width that the model does not have, or a vector that is not
            finite.
    """
    width = model.config.get_text_config().hidden_size
    for change in interventions:
        if change.vector.shape[-1] != width:
            raise UserError(
                f"The vector has {change.vector.shape[-1]} dimensions but the residual stream "
                f"{width}; the SAE belongs to another model."
            )
        if not bool(change.vector.isfinite().all()):
            raise UserError("The vector holds values that are not finite; nothing was changed.")
        if change.position < 0:
            raise UserError(f"There is no position {change.position}; count from 0.")
    cached = 0

    def measure(module: nn.Module, inputs: Any, named: dict) -> None:
        nonlocal cached
        cache = named.get("past_key_values")
        cached = int(cache.get_seq_length()) if cache is not None else 0

    def changer(change: Intervention) -> Any:
        def write(module: nn.Module, inputs: Any, output: Any) -> Any:
            hidden = hidden_of(output)
            here = change.position - cached
            if not 0 <= here < hidden.shape[1]:
                return None
            changed = hidden.clone()
            vector = change.vector.to(hidden)
            changed[:, here] = changed[:, here] + vector if change.kind == "add" else vector
            return with_hidden(output, changed)

        return write

    with ExitStack() as handles:
        handles.callback(
            model.base_model.register_forward_pre_hook(measure, with_kwargs=True).remove
        )
        for change in interventions:
            layer = layer_of(model, change.layer)
            handles.callback(layer.register_forward_hook(changer(change)).remove)
        yield


@torch.no_grad()
def generate(model: Model, ids: Sequence[int], tokens: int) -> list[int]:
    """The ``tokens`` most likely next tokens, one after another (greedy decoding)."""
    prompt = torch.tensor([list(ids)], device=model.device)
    output = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=tokens,
        do_sample=False,
        repetition_penalty=1.0,  # some models' generation_config.json asks for another
        pad_token_id=0,  # never seen: there is one row
    )
    return output[0, len(ids) :].tolist()
