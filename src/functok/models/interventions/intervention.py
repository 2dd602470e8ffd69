"""Change the residual stream at chosen positions while a model runs or generates.

    h_p ← h_p + v               (add)
    h_p ← v                     (set: activation patching)
    h_p ← h_p − (h_p·v̂) v̂      (ablate: nothing is left along v̂ = v/‖v‖)
    h_p ← h_p + (a − z_f(h_p)) u d_f   (``Clamp``: SAE feature f is held at activation a)

after one decoder layer; u is the SAE's unit at h_p (``Dictionary.unit``: 1 where it does not
rescale its inputs). Positions are counted from the first token of the prompt, whatever the
padding before it and whatever a key–value cache already holds, so the same intervention works in
one forward pass and inside ``generate``. An integer names one position of the prompt and leaves
generated tokens alone, as in the paper's App. A; −1 is the prompt's last, as on the command line.
A ``Where`` chooses by token and position, in the
prompt and beyond.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from functok.models.dictionaries import Dictionary
from functok.models.language.model import Model, hidden_of, layer_of, with_hidden
from functok.runtime.errors import UserError, require

Where = Callable[
    [Int[Tensor, "batch new"], Int[Tensor, "batch new"]],
    Bool[Tensor, "batch new"],
]
"""From the ids that a forward pass reads and their positions (−1: padding), which to change."""


@dataclass(frozen=True)
class Intervention:
    """A vector added, put in place, or projected out."""

    layer: int
    """Decoder layer after which it happens, from 0."""
    position: int | Where
    """Where it happens: a position of the prompt, from 0 or, from its end, −1; or a choice."""
    vector: Float[Tensor, "*batch d_model"]
    """One for the whole batch, or one per row."""
    kind: Literal["add", "set", "ablate"] = "add"

    def check(self, width: int) -> None:
        """Refuse what cannot be done to a residual stream of ``width`` dimensions."""
        require(
            self.vector.shape[-1] == width,
            f"The vector has {self.vector.shape[-1]} dimensions but the residual stream {width}; "
            "the SAE belongs to another model.",
        )
        require(
            bool(self.vector.isfinite().all()),
            "The vector contains values that are not finite; nothing was changed.",
        )
        require(
            self.kind != "ablate" or bool(self.vector.norm(dim=-1).min() > 0),
            "A vector of zeros has no direction to ablate; nothing was changed.",
        )

    def apply(
        self, hidden: Float[Tensor, "chosen d_model"], rows: Int[Tensor, " chosen"]
    ) -> Float[Tensor, "chosen d_model"]:
        """The residual stream at the positions chosen, of these rows of the batch, changed."""
        vector = self.vector.to(hidden)
        vector = vector if vector.ndim == 1 else vector[rows]
        if self.kind == "add":
            return hidden + vector
        if self.kind == "set":
            return vector.expand_as(hidden)
        unit = vector / vector.norm(dim=-1, keepdim=True)
        return hidden - (hidden * unit).sum(-1, keepdim=True) * unit


def check_feature(feature: int, features: int) -> None:
    """Refuse a feature that an SAE with so many does not have.

    Raises:
        UserError: saying so.
    """
    require(
        0 <= feature < features,
        f"There is no feature {feature}: the SAE has features 0 to {features - 1}.",
    )


@dataclass(frozen=True)
class Clamp:
    """An SAE feature held at one activation; what the SAE does not explain is kept as it is."""

    layer: int
    position: int | Where
    dictionary: Dictionary
    feature: int
    activation: float = 0.0
    """0 ablates the feature."""

    def check(self, width: int) -> None:
        check_feature(self.feature, self.dictionary.features)
        require(
            len(self.dictionary.b_dec) == width,
            f"The SAE expects {len(self.dictionary.b_dec)} dimensions but the residual stream has "
            f"{width}; it belongs to another model.",
        )
        require(
            not self.dictionary.transcodes,
            "A transcoder's output is not its input, so its features cannot be "
            "clamped; give an SAE.",
        )

    def apply(
        self, hidden: Float[Tensor, "chosen d_model"], rows: Int[Tensor, " chosen"]
    ) -> Float[Tensor, "chosen d_model"]:
        active = self.dictionary.encode(hidden)
        this = active.features == self.feature
        z = torch.zeros(len(hidden), device=active.rows.device)
        z[active.rows[this]] = active.values[this].float()
        direction = self.dictionary.W_dec[self.feature].to(hidden)
        change = (self.activation - z)[:, None] * self.dictionary.unit(hidden).to(z)
        return hidden + change.to(hidden) * direction


Change = Intervention | Clamp
"""One change of the residual stream."""


@contextmanager
def steer(model: Model, interventions: Sequence[Change]) -> Iterator[None]:
    """Make ``interventions``, in their order, in every forward pass inside the context.

    The name is the commonest use; patching and ablating are done by the same means.

    Raises:
        UserError: for a layer, feature or width that the model does not have, or a vector that is
            not finite.
    """
    width = model.config.get_text_config().hidden_size
    for change in interventions:
        change.check(width)
    reading = _Reading()

    def changer(change: Change) -> Any:
        def write(module: nn.Module, inputs: Any, output: Any) -> Any:
            ids, positions = reading.ids, reading.positions
            if ids is None or positions is None:
                raise UserError("Interventions need the model to be called with input_ids.")
            where = change.position
            chosen = reading.at(where) if isinstance(where, int) else where(ids, positions)
            hidden = hidden_of(output)
            rows, columns = chosen.to(hidden.device).nonzero(as_tuple=True)
            if len(rows) == 0:
                return None
            changed = hidden.clone()
            changed[rows, columns] = change.apply(hidden[rows, columns], rows)
            return with_hidden(output, changed)

        return write

    with ExitStack() as handles:
        # the whole model knows the padding; the base model may be called by itself
        for part in dict.fromkeys((model.base_model, model)):
            handles.callback(
                part.register_forward_pre_hook(reading.begins, with_kwargs=True).remove
            )
            handles.callback(
                part.register_forward_hook(reading.ends, with_kwargs=True, always_call=True).remove
            )
        for change in interventions:
            layer = layer_of(model, change.layer)
            handles.callback(layer.register_forward_hook(changer(change)).remove)
        yield


class _Reading:
    """The ids and positions of the forward pass under way."""

    def __init__(self) -> None:
        self.ids: Tensor | None = None
        self.positions: Tensor | None = None
        self._prompt: Tensor | int = 0
        """Positions of each row's prompt."""
        self._under_way: nn.Module | None = None
        self._state: Any = None
        """What the last pass left for the next: keys and values, or another state."""

    def begins(self, module: nn.Module, inputs: tuple, named: dict) -> None:
        if self._under_way is not None:
            return
        self._under_way = module
        self.ids = named.get("input_ids", inputs[0] if inputs else None)
        if self.ids is not None:
            self.positions = self._positions(self.ids, named)
            if bool((self.positions == 0).any()):  # a prompt begins
                self._prompt = self.positions.amax(1, keepdim=True) + 1

    def at(self, position: int) -> Bool[Tensor, "batch new"]:
        """Where one position of the prompt is read; negative ones count from the prompt's end."""
        assert self.positions is not None
        wanted = position if position >= 0 else self._prompt + position
        return (self.positions == wanted) & (self.positions >= 0)

    def ends(self, module: nn.Module, inputs: tuple, named: dict, output: Any) -> None:
        if module is self._under_way:
            self._under_way = None
            made = {name: getattr(output, name, None) for name in _STATES}
            self._state = _state(named) or _state(made)

    def _positions(self, ids: Int[Tensor, "batch new"], named: dict) -> Int[Tensor, "batch new"]:
        """Positions of the tokens read, from the row's first; −1 for padding."""
        mask, state = named.get("attention_mask"), _state(named)
        if isinstance(mask, Tensor) and mask.ndim == 2:
            real = mask.long()
            return torch.where(real > 0, real.cumsum(1) - 1, -1)[:, -ids.shape[1] :]
        after = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        if state is not None and state is self._state and self.positions is not None:
            return self.positions[:, -1:] + 1 + after
        held = named.get("past_key_values")
        return after + (int(held.get_seq_length()) if held is not None else 0)


def _state(named: dict) -> Any:
    """What a pass takes over from those before it, by the names that architectures give it."""
    return next((named[name] for name in _STATES if named.get(name) is not None), None)


_STATES = ("past_key_values", "cache_params", "state")
