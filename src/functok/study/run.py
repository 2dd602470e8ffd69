"""A study under way in its folder: what its steps take from one another."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functok.consolidation.checkpoints import (
    Checkpoint,
    at_steps,
    published,
    stamp,
    weights_stamp,
)
from functok.runtime.errors import UserError
from functok.runtime.gguf import is_gguf
from functok.runtime.paths import user_path
from functok.runtime.progress import Progress, Silent
from functok.runtime.store import RunFolder, read_frame, read_json
from functok.runtime.store.records import read_record
from functok.study.published import as_is, as_read, changed, check_as_read
from functok.study.resources import Resources

if TYPE_CHECKING:
    from functok.corpus import Corpus
    from functok.encoding.contexts import RowFormat
    from functok.encoding.tokenizer import Encoded, Tokenizer
    from functok.models.dictionaries import Sae
    from functok.models.exclusions import Exclusions
    from functok.models.language.hooks import HookPoint
    from functok.models.language.model import Model
    from functok.models.language.row_start import RowStart
    from functok.models.placement import Placement
    from functok.runtime.engine import Engine
    from functok.study.settings import DictionaryPart, ModelPart, Study
    from functok.tokens.vocabulary import Vocabulary


@dataclass
class Run:
    """A study under way in its folder: what its steps take from one another."""

    study: Study
    folder: RunFolder
    progress: Progress = field(default_factory=Silent)
    resources: Resources = field(default_factory=Resources)
    reopened: bool = False
    """Whether the run was opened by its folder: then its input is what it was when the run read it,
    and is looked at again only where something has to be made from it."""
    chosen: str | None = None
    """Name of the SAEs that are looked at; None: the first, on which claims are judged."""

    @cached_property
    def engine(self) -> Engine:
        """Where shards run."""
        return self.resources.engine()

    @cached_property
    def corpus(self) -> Corpus:
        """The documents.

        Raises:
            UserError: if the run was opened by its folder and its corpus has changed since.
        """
        from functok.corpora import open_corpus

        found = open_corpus(self.study.corpus, absolute=self.resources.cluster == "ray")
        if self.reopened and self.known.get("corpus", found.fingerprint) != found.fingerprint:
            raise UserError(self.changed(f"Corpus {self.study.corpus!r}"))
        return found

    @cached_property
    def corpus_fingerprint(self) -> str:
        """The corpus as it is; where it is gone, as it was when this run read it.

        Raises:
            UserError: if it is gone and was never read.
        """
        known = self.known.get("corpus")
        known = known if isinstance(known, str) else None
        return as_read(lambda: self.corpus.fingerprint, known, self.reopened)

    @property
    def known(self) -> dict[str, Any]:
        """The input as it was when this run read it; empty before that."""
        return read_record(self.folder.inputs)

    def changed(self, what: str) -> str:
        """The sentence on input that is no longer what this run read."""
        return changed(what, self.folder.root)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        from functok.encoding.tokenizer import load_tokenizer

        return load_tokenizer(str(self.folder.tokenizer))

    @cached_property
    def special(self) -> list[int]:
        from functok.encoding.tokenizer import special_ids

        return special_ids(self.tokenizer)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Of the token ids that the model can take, with the study's function tokens."""
        from functok.models.language.model import vocabulary_of
        from functok.tokens.vocabulary import Vocabulary

        ids = read_frame(self.folder.tokens("function_tokens"))["token_id"].to_list()
        size, languages = vocabulary_of(self.architecture), self.study.tokens.languages
        return Vocabulary.of(self.tokenizer, size, ids, languages)

    @property
    def model_part(self) -> ModelPart:
        """The study's model; steps without one do not get here."""
        assert self.study.model is not None
        return self.study.model

    @cached_property
    def context(self) -> int:
        """Positions per row; more than a loaded model was made for are refused."""
        from functok.models.language.capture import fitting_context

        part = self.model_part
        if not part.load:
            return part.training.context
        return fitting_context(self.architecture, part.context, part.load)

    @cached_property
    def exclusions(self) -> Exclusions:
        """What counts nowhere."""
        from functok.models.exclusions import Exclusions

        part = self.study.graph
        return Exclusions(special=tuple(self.special), massive=part.massive, dense=part.dense)

    @cached_property
    def row_start(self) -> RowStart:
        """What rows begin with; of a loaded model, as was found when the model was checked."""
        from functok.models.language.row_start import RowStart, trained_start

        if self.model_part.load:
            return RowStart(**self.facts("pretrain")["row_start"])
        return trained_start(self.tokenizer)

    @cached_property
    def row_format(self) -> RowFormat:
        """How documents become the rows on which the model is measured."""
        from functok.encoding.contexts import row_format

        return row_format(self.context, self.row_start.id, self.model_part.overlap)

    @cached_property
    def checkpoints(self) -> list[Checkpoint]:
        """The model's checkpoints in order of step."""
        part = self.model_part
        if part.load:
            file = user_path(part.load)
            load = str(self.folder.dequantised(file)) if is_gguf(file) else part.load
            return published(load, part.revisions, part.revision)
        return [Checkpoint(n, str(self.folder.model(n))) for n in self.study.checkpoint_steps()]

    @property
    def last_trained(self) -> Checkpoint:
        """The last checkpoint, whether it has an SAE or not."""
        return self.checkpoints[-1]

    @property
    def main(self) -> DictionaryPart:
        """The SAEs that are looked at, by default those that the claims are judged on; steps
        without any do not get here."""
        parts = self.study.dictionaries
        return next((part for part in parts if part.name == self.chosen), parts[0])

    def decomposed(self, part: DictionaryPart) -> list[Checkpoint]:
        """The checkpoints that ``part`` decomposes.

        Raises:
            UserError: if the study names one that the model does not have.
        """
        if not part.checkpoints:
            return self.checkpoints if self.model_part.load else self.checkpoints[-1:]
        return at_steps(self.checkpoints, part.checkpoints)

    @property
    def last(self) -> Checkpoint:
        """The last checkpoint with an SAE of the kind that is looked at."""
        return self.decomposed(self.main)[-1]

    def sae_folder(self, part: DictionaryPart, checkpoint: Checkpoint) -> Path:
        return self.folder.dictionary(part.name, checkpoint.step)

    def graph_folder(self, part: DictionaryPart, checkpoint: Checkpoint) -> Path:
        return self.folder.graph(part.name, checkpoint.step)

    @property
    def judged(self) -> Path:
        """The last graph of the SAEs that are looked at."""
        return self.graph_folder(self.main, self.last)

    def sae_spec(self, part: DictionaryPart, checkpoint: Checkpoint) -> str:
        """What ``open_sae`` takes: a published SAE, or the folder of one trained here."""
        if part.load is None:
            return str(self.sae_folder(part, checkpoint))
        return part.load.replace("{checkpoint}", checkpoint.name)

    def norm_factor(self, part: DictionaryPart, checkpoint: Checkpoint) -> float | None:
        """What an SAE's inputs are multiplied by; None: what its files say."""
        if part.norm_factor != "auto":
            return part.norm_factor
        return read_json(self.folder.verified(part.name, checkpoint.step))["norm_factor"]

    def hook(self, part: DictionaryPart, checkpoint: Checkpoint) -> HookPoint:
        """Where an SAE reads the model; of a published one, as it said when it was verified."""
        from functok.models.language.hooks import HookPoint

        if part.load is None:
            return part.place_in(self.architecture)
        return HookPoint.parse(read_json(self.folder.verified(part.name, checkpoint.step))["hook"])

    def within(self, place: str) -> str:
        """A path inside the run folder as seen from there, since a run may be moved."""
        path, root = Path(place), self.folder.root
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else place

    def facts(self, step: str) -> dict[str, Any]:
        """What a finished step recorded."""
        return self.folder.records.read(step).get("facts", {})

    def encoded(self, split: str) -> Encoded:
        from functok.encoding.tokenizer import Encoded

        return Encoded.load(self.folder.encoded(split))

    @property
    def measured(self) -> Encoded:
        """The documents from which those that a model is measured on are drawn."""
        return self.encoded("graph" if self.study.whole else "held-out")

    @cached_property
    def architecture(self) -> Model:
        """The model without its weights."""
        from functok.models.language.model import architecture

        last = self.last_trained
        return architecture(as_is(self.model_part.load, last), last.revision)

    @cached_property
    def placement(self) -> Placement:
        """Where the model and the SAEs are, and in which precision; said when it is decided.

        Raises:
            UserError: if a device is not there, or does not know the precision.
        """
        from functok.models.language.model import own_precision

        if self.model_part.load:
            self._check(self.last_trained)
        own = own_precision(self.architecture) if self.model_part.load else "float32"
        found = self.resources.placement(self.model_part.dtype, own)
        self.progress.say(f"{found.said}.")
        return found

    def model(self, checkpoint: Checkpoint, exact: bool = False) -> Model:
        """A checkpoint, where ``placement`` says; ``exact`` is to be changed while it runs."""
        from functok.models.language.model import load_model

        self._check(checkpoint)
        place = self.placement
        dtype = place.exact if exact else place.dtype
        return load_model(checkpoint.model, checkpoint.revision, place.device, dtype)

    def _check(self, checkpoint: Checkpoint) -> None:
        """Refuse a model that is gone, or is not the one that the run read."""
        if self.reopened and not is_gguf(self.model_part.load or ""):
            now = weights_stamp(checkpoint)
            check_as_read(f"model {checkpoint.name}", now, self.known, self.folder.root)

    def sae(self, part: DictionaryPart, checkpoint: Checkpoint, factor: float | None = None) -> Sae:
        """An SAE with its decoder.

        Args:
            factor: what its inputs are multiplied by, in place of ``norm_factor``.

        Raises:
            UserError: if it is not there, or its weights are not finite.
        """
        from functok.models.dictionaries.sources import load_sae

        spec = self.sae_spec(part, checkpoint)
        if part.load is not None and self.reopened:
            check_as_read(f"SAE {spec}", stamp(user_path(spec)), self.known, self.folder.root)
        if factor is None:
            factor = self.norm_factor(part, checkpoint)
        return load_sae(spec, self.placement.sae_device, norm_factor=factor)
