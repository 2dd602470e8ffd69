"""The model, tokenizer and SAE that prompts are run on, from a run or by name.

Without a corpus the frequency of tokens and the density of features are unknown. So the function
tokens come from a folder of counts, or else are closed-class words, punctuation and blanks
(``tokens/grammar/subclasses.py``), and no feature is left out as too dense.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float

from functok.encoding.tokenizer import Tokenizer, load_tokenizer
from functok.models.dictionaries import Dictionary, open_sae
from functok.models.dictionaries.sites import placed
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model, check_tokenizer, load_model
from functok.runtime.errors import UserError, require
from functok.runtime.store import RunFolder
from functok.tokens.vocabulary import Vocabulary


@dataclass(frozen=True)
class Subject:
    """What prompts are asked about."""

    model: Model
    tokenizer: Tokenizer
    dictionary: Dictionary
    place: HookPoint
    """The SAE's hook point."""
    vocabulary: Vocabulary
    """Of the token ids that the model can take."""
    density: Float[np.ndarray, " features"]
    """Share of a corpus's positions at which each feature is active; 0 without a corpus."""
    maximum: Float[np.ndarray, " features"] | None = None
    """Each feature's largest activation in a corpus, if there is one."""
    seed: int = 0
    """Of random directions and samples."""

    @property
    def layer(self) -> int:
        """The decoder layer after which the residual stream is the SAE's input.

        Raises:
            UserError: if its site is another one, where no feature can be added.
        """
        if self.place.site == "resid_post":
            return self.place.layer or 0
        require(
            self.place.site == "resid_pre" and (self.place.layer or 0) > 0,
            f"The SAE's site is {self.place.name!r}; features are steered and searched in the "
            "residual stream after a layer, so give an SAE of that site.",
        )
        return (self.place.layer or 0) - 1


def open_subject(
    model: str,
    sae: str,
    layer: int | None = None,
    revision: str | None = None,
    tokenizer: str | None = None,
    function_tokens: Path | None = None,
) -> Subject:
    """The subject of these names.

    Args:
        model: a Hugging Face folder, or a name on the hub.
        sae: as ``open_sae`` takes it.
        layer: the SAE's layer, if its configuration does not name one.
        tokenizer: by default the model's own.
        function_tokens: a folder of counts under this tokenizer, whose function tokens are meant.

    Raises:
        UserError: if one of them does not exist, or does not belong to the others.
    """
    read = open_sae(sae, decoder=True)
    require(
        read.dictionary.finite, f"SAE {sae!r} contains weights that are not finite; give another."
    )
    loaded = load_tokenizer(tokenizer or model)
    net = load_model(model, revision)
    check_tokenizer(net, loaded, model)
    size = net.get_input_embeddings().weight.shape[0]
    return Subject(
        model=net,
        tokenizer=loaded,
        dictionary=read.dictionary,
        place=placed(read, layer, net),
        vocabulary=Vocabulary.of(loaded, size, _function(loaded, function_tokens)),
        density=np.zeros(read.dictionary.features),
    )


def _function(tokenizer: Tokenizer, counts: Path | None) -> list[int] | None:
    """Ids of the function tokens in a folder of counts; None without one."""
    if counts is None:
        return None
    folder = RunFolder(counts)
    table = folder.tokens("function_tokens")
    if not table.is_file():
        raise UserError(
            f"{counts} contains no function tokens; make them with functok tokens -o {counts}."
        )
    counted = load_tokenizer(str(folder.tokenizer))
    require(
        counted.get_vocab() == tokenizer.get_vocab(),
        f"The function tokens in {counts} come from another tokenizer than the model's; count the "
        "corpus with the model's.",
    )
    return pl.read_parquet(table)["token_id"].to_list()
