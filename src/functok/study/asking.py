"""The model and SAE that prompts are run on: of a finished run, or by name.

Without a corpus the frequency of tokens and the density of features are unknown. So the function
tokens come from a folder of counts, or else are closed-class words, punctuation and blanks; and no
feature is left out as too dense.
"""

from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from functok.corpus import Document
from functok.encoding.contexts import row_format
from functok.encoding.tokenizer import Encoded, Tokenizer, encode, load_tokenizer, special_ids
from functok.graph.bipartite import TokenFeatureGraph
from functok.models.dictionaries.activations import probe_activations
from functok.models.dictionaries.sae import measured_factor
from functok.models.dictionaries.sites import placed
from functok.models.dictionaries.sources import load_sae
from functok.models.exclusions import Exclusions
from functok.models.language.capture import fitting_context
from functok.models.language.gguf import beside, origin_of
from functok.models.language.hooks import HookPoint
from functok.models.language.model import (
    Model,
    architecture,
    check_tokenizer,
    load_model,
    own_precision,
)
from functok.models.language.row_start import PROBE, RowStart, measured_start, set_start
from functok.models.placement import device_of
from functok.retrieval.prompts.subject import Subject
from functok.runtime.errors import UserError
from functok.runtime.gguf import is_gguf
from functok.runtime.paths import user_cache, user_path
from functok.runtime.progress import Progress, Silent
from functok.runtime.store import fingerprint, write_json
from functok.runtime.store.records import read_record
from functok.runtime.versions import package_version, sha256
from functok.study.resources import Resources
from functok.study.run import Run
from functok.tokens.counting.function_tokens import FunctionTokens
from functok.tokens.vocabulary import Vocabulary

MASSIVE = 5.0
"""As in a graph by default: how many times the median norm is left out."""


class Named(NamedTuple):
    """A model and its SAE by their names."""

    model: str
    """A Hugging Face folder, a GGUF file, or a name on the hub."""
    sae: str
    """As ``open_sae`` takes it."""
    layer: int | None = None
    """Decoder layer that the SAE decomposes, if it does not say."""
    site: str | None = None
    """Likewise, one of ``hooks.SITES``."""
    revision: str | None = None
    """Of a model on the hub."""
    tokenizer: str | None = None
    """By default the model's own."""
    row_start: str | None = None
    """What prompts begin with: a token, or ``none``; by default what a probe of plain English
    finds."""
    function_tokens: Path | None = None
    """A folder of counts under this tokenizer, whose function tokens are meant."""
    norm_factor: float | Literal["auto"] | None = None
    """What the SAE's inputs were multiplied by in training; ``auto`` measures it on passages of
    plain English, None takes what its files say."""
    dtype: str | None = None
    """Of the model: float32, bfloat16 or float16; by default its own, or float32 to change it."""


def subject_of(run: Run, exact: bool = True) -> Subject:
    """The last decomposed checkpoint of a run, with its main SAE.

    Args:
        exact: whether the model is going to be changed while it runs: then it is in float32,
            unless the study sets its dtype.

    Raises:
        UserError: if the SAE belongs to another model.
    """
    graph = TokenFeatureGraph.load(run.judged)
    maximum, edges = np.zeros(graph.features, np.float32), graph.columns
    np.maximum.at(maximum, edges.feature, edges.max.astype(np.float32))
    sae, model = run.sae(run.main, run.last), run.model(run.last, exact)
    return Subject(
        model=model,
        tokenizer=run.tokenizer,
        dictionary=sae.dictionary,
        place=placed(sae, run.main.layer, model, run.main.site),
        start=run.row_start,
        vocabulary=run.vocabulary,
        density=graph.activity.sum(0) / graph.positions,
        maximum=maximum,
        left_out=tuple(graph.left_out.tolist()),
        seed=run.study.seed,
        origin=origin_of(user_path(run.last.model)),
    )


def subject_named(
    names: Named,
    resources: Resources | None = None,
    progress: Progress | None = None,
    exact: bool = True,
) -> Subject:
    """A model and an SAE without a run.

    Args:
        names: of both, and of what belongs to them.
        resources: where they go.
        progress: who is told where.
        exact: as ``subject_of`` takes it.

    Raises:
        UserError: if one of them, or a device, does not exist, or does not belong to the others.
    """
    own = own_precision(architecture(names.model, names.revision))
    where = (resources or Resources()).placement(names.dtype or "auto", own)
    (progress or Silent()).say(f"{where.said}.")
    factor = 1.0 if names.norm_factor == "auto" else names.norm_factor
    sae = load_sae(names.sae, where.sae_device, norm_factor=factor)
    tokenizer = load_tokenizer(names.tokenizer or names.model)
    dtype = where.exact if exact else where.dtype
    model = load_model(names.model, names.revision, where.device, dtype)
    check_tokenizer(model, tokenizer, names.model)
    size, folder = model.get_input_embeddings().weight.shape[0], _folder(names)
    place = placed(sae, names.layer, model, names.site)
    start = _start(model, tokenizer, names)
    if names.norm_factor == "auto":
        sae = sae.with_factor(_factor(model, tokenizer, place, start))
    return Subject(
        model=model,
        tokenizer=tokenizer,
        dictionary=sae.dictionary,
        place=place,
        start=start,
        vocabulary=Vocabulary.of(tokenizer, size, _function(tokenizer, names.function_tokens)),
        density=np.zeros(sae.dictionary.features),
        note=sae.note,
        origin=origin_of(folder),
    )


def _folder(names: Named) -> Path:
    """Where the model's weights are, if they are in a folder."""
    folder = user_path(names.model)
    return beside(folder) if is_gguf(folder) else folder


def _start(model: Model, tokenizer: Tokenizer, names: Named) -> RowStart:
    """What prompts begin with where there is no corpus to measure it on.

    It is measured once for each model and tokenizer, and kept in the user's cache.
    """
    if names.row_start not in (None, "auto"):
        return set_start(tokenizer, names.row_start)
    place = _kept(model, tokenizer, names)
    known = {} if place is None else read_record(place)
    if known.keys() == RowStart.__dataclass_fields__.keys():
        return RowStart(**known)
    found = measured_start(model, tokenizer, _passages(tokenizer), "passages of plain English")
    if place is not None:
        with suppress(UserError):  # a cache that cannot be written only costs time
            write_json(place, vars(found))
    return found


def _kept(model: Model, tokenizer: Tokenizer, names: Named) -> Path | None:
    """The file of a model's start, named after all that it depends on; None where telling the
    weights takes longer than the probe: those of a folder that an accelerator runs."""
    folder = _folder(names)
    device = device_of(model).type
    if not folder.is_dir():
        weights = [names.model, getattr(model.config, "_commit_hash", None)]
    elif device == "cpu":
        made_of = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
        weights = [[file.name, sha256(file)] for file in made_of]
    else:
        weights = [None]
    if weights[-1] is None:
        return None
    own = [tokenizer.backend_tokenizer.to_str(), tokenizer.bos_token_id, tokenizer.eos_token_id]
    versions = [PROBE, _lines(), *map(package_version, ("torch", "transformers"))]
    place = [device, str(model.dtype)]
    key = fingerprint("row start", versions, weights, own, special_ids(tokenizer), place)
    return user_cache() / "row-starts" / f"{key}.json"


def _factor(model: Model, tokenizer: Tokenizer, place: HookPoint, start: RowStart) -> float:
    """The norm factor of the model's activations on the same passages."""
    rows = row_format(fitting_context(model, None, ""), start.id, None)
    exclusions = Exclusions(massive=MASSIVE)
    (probe,) = probe_activations(model, _passages(tokenizer), [place], rows, exclusions)
    return measured_factor(probe[probe.norm(dim=1) <= exclusions.norm_limit(probe)])


def _passages(tokenizer: Tokenizer) -> Encoded:
    """Plain English, on which a model is tried where no corpus is at hand."""
    texts = [Document(f"passage {number}", text) for number, text in enumerate(_lines())]
    return encode(texts, tokenizer)


def _lines() -> list[str]:
    return (files(__package__ or "") / "passages.txt").read_text("utf-8").splitlines()


def _function(tokenizer: Tokenizer, counts: Path | None) -> list[int] | None:
    """Ids of the function tokens in a folder of counts; None without one."""
    if counts is None:
        return None
    return FunctionTokens.counted_in(counts, tokenizer).ids.tolist()
