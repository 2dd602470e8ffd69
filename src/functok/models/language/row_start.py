"""What a row begins with: the token that stood before a document in training.

No configuration says so. SmolLM2-Instruct names a chat mark as its BOS, and predicts text better
behind ``<|endoftext|>``; Gemma-3 loses more than a nat a token without ``<bos>``. So the candidates
are tried: the loss of the same tokens behind each, on the beginnings of some documents. The best
wins where it gains more than two standard errors over the choice of the tokenizer's own
post-processor (paired by document); else, and where a model predicts hardly better than by
guessing, the post-processor decides.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from functok.corpus.splits import mixed
from functok.encoding.contexts import RowFormat
from functok.encoding.documents import beginnings
from functok.encoding.tokenizer import Encoded, Tokenizer, separator_id, special_ids
from functok.models.forward import forward
from functok.models.language.capture import fitting_context
from functok.models.language.model import Model
from functok.runtime.errors import require
from functok.stats import jackknife_ratio

DOCUMENTS, TOKENS = 32, 64
"""Of the probe."""
PROBE = 1
"""Number of the probe, raised when it may find something else in the same text."""
GUESSING = 0.1
"""Nats below the logarithm of the vocabulary from which on a model knows anything of the text."""
NOTHING = "none"
"""How a setting says that nothing is added."""
_POST_PROCESSOR = "as set by the tokenizer's post-processor"
_SEPARATOR = re.compile(
    r"\W*((begin|start|end)[ _-]*of[ _-]*(text|document|sequence|sentence)|bos|eos|cls|sep|/?s)\W*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class RowStart:
    """What rows and prompts begin with, and why."""

    id: int | None
    """The token's id; None where nothing is added."""
    token: str | None
    why: str
    """A clause: what decided."""
    nats: dict[str, float] = field(default_factory=dict)
    """Mean loss of the same tokens behind each candidate, where it was measured."""

    @property
    def sentence(self) -> str:
        """One line for people: what, why, and what was measured."""
        what = "nothing added" if self.id is None else f"{self.token} (id {self.id})"
        said = f"Rows begin with {what}, {self.why}"
        own = self.token or "nothing"
        if self.nats:
            others = {name: loss for name, loss in self.nats.items() if name != own}
            figures = [f"{self.nats[own]:.3f} nats per token after {own}"]
            figures += [f"{loss:.3f} after {name}" for name, loss in others.items()]
            said += ": " + ", ".join(figures)
        if self.id is None:
            said += "; the first token of each row is not counted"
        return said + "."

    @property
    def first(self) -> str:
        """What stands at position 0 of a prompt, in one line."""
        if self.id is None:
            return "Position 0 is the prompt's first token; nothing is added before it."
        return f"Position 0 is {self.token}, which is added before the prompt."


def set_start(tokenizer: Tokenizer, name: str) -> RowStart:
    """The token called ``name``, or nothing where it is ``none``.

    Raises:
        UserError: if the tokenizer has no such token.
    """
    if name == NOTHING:
        return RowStart(None, None, "as set")
    found = tokenizer.backend_tokenizer.token_to_id(name)
    special = tokenizer.convert_ids_to_tokens(special_ids(tokenizer))
    require(
        found is not None,
        f"The tokenizer has no token {name!r} for rows to begin with; give another, such as "
        f"{', '.join(special[:4])}, or {NOTHING}.",
    )
    return RowStart(found, name, "as set")


def trained_start(tokenizer: Tokenizer) -> RowStart:
    """The start of a model that is trained here, with a separator before each document."""
    separator = separator_id(tokenizer)
    return RowStart(separator, _name(tokenizer, separator), "as in training")


def post_processor_start(tokenizer: Tokenizer) -> int | None:
    """What the tokenizer's own post-processor puts before a text.

    A token that it puts after one stands before the next text where texts are packed.
    """
    backend = tokenizer.backend_tokenizer
    plain = backend.encode("a", add_special_tokens=False).ids
    whole = backend.encode("a", add_special_tokens=True).ids
    if len(whole) == len(plain):
        return None
    return whole[0] if whole[: len(plain)] != plain else whole[-1]


def candidates(tokenizer: Tokenizer) -> list[int | None]:
    """What a row may begin with: first what the post-processor says, then the others."""
    special = special_ids(tokenizer)
    names = tokenizer.convert_ids_to_tokens(special)
    separators = [
        index for index, name in zip(special, names, strict=True) if _SEPARATOR.fullmatch(name)
    ]
    named = [one for one in (tokenizer.bos_token_id, tokenizer.eos_token_id) if one is not None]
    return list(dict.fromkeys([post_processor_start(tokenizer), None, *named, *separators]))


def measured_start(model: Model, tokenizer: Tokenizer, text: Encoded, of: str) -> RowStart:
    """The start behind which ``model`` predicts the probe best.

    Args:
        text: from which the probe is drawn.
        of: what the text is, for the sentence.
    """
    tried = candidates(tokenizer)
    names = [_name(tokenizer, one) or "nothing" for one in tried]
    # a row of the probe holds the added token too
    tokens = min(TOKENS, fitting_context(model, None, "") - 1)
    probe = _beginnings(text, DOCUMENTS, tokens)
    sums = np.array([_losses(model, probe, one, tokens + 1) for one in tried])
    losses, counts = sums[:, 0], sums[0, 1]
    if not counts.any():
        return RowStart(tried[0], _name(tokenizer, tried[0]), _POST_PROCESSOR)
    best = int(losses.sum(1).argmin())
    gain = jackknife_ratio(losses[0] - losses[best], counts)
    means = (losses.sum(1) / counts.sum()).tolist()
    knows = means[best] < np.log(model.get_input_embeddings().weight.shape[0]) - GUESSING
    chosen = best if gain.low > 0 and knows else 0
    said = f"measured on {int(np.count_nonzero(counts))} {of}"
    if not chosen:
        said = f"{_POST_PROCESSOR} ({said})"
    return RowStart(
        tried[chosen],
        _name(tokenizer, tried[chosen]),
        said,
        dict(zip(names, means, strict=True)),
    )


def probe_tokens(tokenizer: Tokenizer, text: Encoded) -> int:
    """Tokens that ``measured_start`` reads of ``text``, for its progress."""
    return len(_beginnings(text, DOCUMENTS, TOKENS).ids) * len(candidates(tokenizer))


def _beginnings(text: Encoded, documents: int, tokens: int) -> Encoded:
    """The first ``tokens`` tokens of documents picked by hash."""
    order = np.argsort(mixed(text.keys, 9), kind="stable")
    sizes = np.diff(text.offsets)
    long = order[sizes[order] > 2][:documents]  # shorter ones have nothing to compare
    return beginnings(text, long, np.minimum(sizes[long], tokens))


def _losses(
    model: Model, probe: Encoded, start: int | None, context: int
) -> Float[np.ndarray, "2 documents"]:
    """Loss behind ``start``, and the tokens that it is summed over, by document.

    The same tokens for every start: with nothing added the first token of a row does not count.
    """
    found = np.zeros((2, len(probe)))
    batches = forward(
        model,
        probe,
        RowFormat(context, start),
        among=lambda rows: (rows.position > 0) & (rows.targets >= 0),
        with_losses=True,
    )
    for batch in batches:
        assert batch.losses is not None
        document = batch.rows.document[batch.counted]
        losses = batch.losses.cpu().double().numpy()
        found[0] += np.bincount(document, weights=losses, minlength=len(probe))
        found[1] += np.bincount(document, minlength=len(probe))
    return found


def _name(tokenizer: Tokenizer, index: int | None) -> Any:
    return None if index is None else tokenizer.convert_ids_to_tokens(index)
