"""What prompts are asked about: a finished run, or a model and an SAE by their names.

Without a corpus nothing is known of how often a token occurs or a feature is active. So the
function tokens are those of a folder of counts, or else those that their own text shows to be
function tokens: closed-class words, punctuation and blanks. And no feature counts as too dense.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from functok.encoding.tokenizer import Tokenizer, load_tokenizer, shown_tokens, special_ids
from functok.graph.bipartite import TokenFeatureGraph
from functok.models.dictionaries import Sae
from functok.models.dictionaries.sites import placed
from functok.models.dictionaries.sources import open_whole_sae
from functok.models.language.model import Model, check_tokenizer, load_model
from functok.retrieval.prompts.subject import Subject
from functok.runtime.errors import UserError, require
from functok.runtime.store import RunFolder, read_frame
from functok.study.run import Run
from functok.tokens.counting.function_tokens import class_array
from functok.tokens.grammar.closed_class import ClosedClass
from functok.tokens.grammar.lexicon import lexicon
from functok.tokens.grammar.subclasses import subclass_names


class Named(NamedTuple):
    """A model and its SAE by their names."""

    model: str
    """A Hugging Face folder, or a name on the hub."""
    sae: str
    """As ``open_sae`` takes it."""
    layer: int | None = None
    """Decoder layer that the SAE decomposes, if it does not say."""
    revision: str | None = None
    """Of a model on the hub."""
    tokenizer: str | None = None
    """By default the model's own."""
    function_tokens: Path | None = None
    """A folder of counts under this tokenizer, whose function tokens are meant."""


def subject_of(run: Run) -> Subject:
    """The last decomposed checkpoint of a run, with its main SAE.

    Raises:
        UserError: if the SAE belongs to another model.
    """
    graph = TokenFeatureGraph.load(run.judged)
    active = np.bincount(graph.feature, weights=graph.occurrences, minlength=graph.features)
    maximum = np.zeros(graph.features, np.float32)
    np.maximum.at(maximum, graph.feature, graph.max.astype(np.float32))
    function = read_frame(run.folder.tokens("function_tokens"))["token_id"].to_list()
    return _subject(
        *(run.model(run.last), run.tokenizer, run.sae(run.main, run.last), run.main.layer),
        *(function, active / graph.positions, maximum, run.study.seed),
    )


def subject_named(names: Named) -> Subject:
    """A model and an SAE without a run.

    Raises:
        UserError: if one of them does not exist, or does not belong to the others.
    """
    sae = open_whole_sae(names.sae)
    tokenizer = load_tokenizer(names.tokenizer or names.model)
    model = load_model(names.model, names.revision)
    check_tokenizer(model, tokenizer, names.model)
    function = _function(tokenizer, names.function_tokens)
    return _subject(model, tokenizer, sae, names.layer, function)


def _subject(
    model: Model,
    tokenizer: Tokenizer,
    sae: Sae,
    layer: int | None,
    function: list[int],
    density: np.ndarray | None = None,
    maximum: np.ndarray | None = None,
    seed: int = 0,
) -> Subject:
    size = model.get_input_embeddings().weight.shape[0]
    shown = shown_tokens(tokenizer)
    return Subject(
        model=model,
        tokenizer=tokenizer,
        dictionary=sae.dictionary,
        place=placed(sae, layer, model),
        classes=class_array(function, special_ids(tokenizer), size),
        shown=shown + [f"⟨{index}⟩" for index in range(len(shown), size)],
        density=np.zeros(sae.dictionary.features) if density is None else density,
        maximum=maximum,
        seed=seed,
    )


def _function(tokenizer: Tokenizer, counts: Path | None) -> list[int]:
    """Ids of the function tokens."""
    if counts is None:
        wanted = ClosedClass(punctuation=True, whitespace=True).subclasses
        names = subclass_names(tokenizer, lexicon())
        return [index for index, name in enumerate(names) if name in wanted]
    folder = RunFolder(counts)
    table = folder.tokens("function_tokens")
    if not table.is_file():
        raise UserError(
            f"{counts} holds no function tokens; functok tokens -o {counts} makes some."
        )
    counted = load_tokenizer(str(folder.tokenizer))
    require(
        counted.get_vocab() == tokenizer.get_vocab(),
        f"The function tokens in {counts} are of another tokenizer than the model's; count the "
        "corpus with the model's.",
    )
    return read_frame(table)["token_id"].to_list()
