"""A model and an SAE by their names, without a run: whatever a prompt is to be traced through.

Without a corpus nothing is known of how often a token occurs or a feature fires. So the function
tokens are those of a folder of counts, or else those whose text alone says so: closed-class words,
punctuation and blanks (``tokens.subclasses``). And no feature is passed over as too dense.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int

from functok.errors import UserError, require
from functok.graph.placing import placed
from functok.models.dictionaries import Dictionary, open_sae
from functok.models.hooks import HookPoint
from functok.models.language import Model, check_tokenizer, load_model
from functok.retrieval.trace import prompt_ids, trace
from functok.store import RunFolder
from functok.tokens.classes import class_array
from functok.tokens.encode import Tokenizer, load_tokenizer, shown_tokens, special_ids
from functok.tokens.lexicon import lexicon
from functok.tokens.linguistics import ClosedClass
from functok.tokens.subclasses import subclass_names


@dataclass(frozen=True)
class Subject:
    """What prompts are traced through."""

    model: Model
    tokenizer: Tokenizer
    dictionary: Dictionary
    place: HookPoint
    """Where the SAE reads."""
    classes: Int[np.ndarray, " vocabulary"]
    """Of every token id that the model can read."""
    shown: list[str]
    """Every token id as people can read it."""

    @classmethod
    def open(
        cls,
        model: str,
        sae: str,
        layer: int | None = None,
        revision: str | None = None,
        tokenizer: str | None = None,
        tokens: Path | None = None,
    ) -> "Subject":
        """The subject of these names.

        Args:
            model: a Hugging Face folder, or a name on the hub.
            sae: as ``open_sae`` takes it.
            layer: where the SAE reads, if it does not say.
            tokenizer: by default the model's own.
            tokens: a folder of counts under this tokenizer; its function tokens are meant.

        Raises:
            UserError: if one of them does not exist, or does not belong to the others.
        """
        read = open_sae(sae)
        require(
            read.dictionary.finite,
            f"SAE {sae!r} holds weights that are not finite; give another.",
        )
        loaded = load_tokenizer(tokenizer or model)
        net = load_model(model, revision)
        check_tokenizer(net, loaded, model)
        size = net.get_input_embeddings().weight.shape[0]
        shown = shown_tokens(loaded)
        return cls(
            model=net,
            tokenizer=loaded,
            dictionary=read.dictionary,
            place=placed(read, layer, net),
            classes=class_array(_function(loaded, tokens), special_ids(loaded), size),
            shown=shown + [f"⟨{index}⟩" for index in range(len(shown), size)],
        )

    def traced(self, prompt: str, chat: bool = False) -> pl.DataFrame:
        """One prompt's trace (see ``trace.trace``); density is 0, that is, not known."""
        ids = prompt_ids(self.tokenizer, prompt, self.model, chat=chat)
        density = np.zeros(self.dictionary.features)
        return trace(
            self.model, self.dictionary, ids, self.place, self.classes, density, self.shown
        )


def _function(tokenizer: Tokenizer, tokens: Path | None) -> list[int]:
    """Ids of the function tokens."""
    if tokens is None:
        wanted = ClosedClass(punctuation=True, whitespace=True).subclasses
        names = subclass_names(tokenizer, lexicon())
        return [index for index, name in enumerate(names) if name in wanted]
    folder = RunFolder(tokens)
    table = folder.tokens("function_tokens")
    if not table.is_file():
        raise UserError(
            f"{tokens} holds no function tokens; functok tokens -o {tokens} makes some."
        )
    counted = load_tokenizer(str(folder.tokenizer))
    require(
        counted.get_vocab() == tokenizer.get_vocab(),
        f"The function tokens in {tokens} are of another tokenizer than the model's; count the "
        "corpus with the model's.",
    )
    return pl.read_parquet(table)["token_id"].to_list()
