"""Links in order, each done once.

A link is done when its marker holds the fingerprint of everything that determines its outputs:
its settings and the fingerprints of the links it needs. So a run that was killed, or a study that
changed in one place, repeats only what it must. A link's marker, and those of all that follow from
it, go before the link starts; its own comes when it has ended.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from functok.consolidation.checkpoints import Checkpoint, published
from functok.corpora import open_corpus
from functok.corpus import Corpus
from functok.encoding.tokenizer import (
    Encoded,
    Tokenizer,
    load_tokenizer,
    separator_id,
    special_ids,
)
from functok.models.dictionaries import Dictionary, load_dictionary
from functok.models.language.model import Model, load_model
from functok.runtime.engine import Engine, InProcess
from functok.runtime.errors import UserError
from functok.runtime.progress import Progress
from functok.runtime.store import RunFolder, fingerprint, read_json, write_json, write_text
from functok.study.settings import Study, differences, dump_study, load_study
from functok.tokens.grammar.treebanks import treebank_fingerprint
from functok.tokens.vocabulary import Vocabulary


@dataclass
class Run:
    """A study under way in its folder: what links read from one another."""

    study: Study
    folder: RunFolder
    progress: Progress
    engine: Engine = field(default_factory=InProcess)
    trackers: tuple[str, ...] = ()
    """Experiment trackers that pre-training reports to."""

    @cached_property
    def corpus(self) -> Corpus:
        return open_corpus(self.study.corpus)

    @cached_property
    def corpus_fingerprint(self) -> str:
        """The corpus as it is; where it is gone, as it was when this run read it.

        Raises:
            UserError: if it is gone and was never read.
        """
        try:
            return self.corpus.fingerprint
        except UserError:
            if not self.folder.inputs.exists():
                raise
            return read_json(self.folder.inputs)["corpus"]

    @cached_property
    def treebank_fingerprint(self) -> str | None:
        """The study's treebank as it is; where it is gone, as it was when this run read it.

        Raises:
            UserError: if it is gone and was never read.
        """
        place = self.study.tokens.treebank
        if place is None:
            return None
        try:
            return treebank_fingerprint(Path(place).expanduser())
        except UserError:
            known = read_json(self.folder.inputs) if self.folder.inputs.exists() else {}
            if known.get("treebank") is None:
                raise
            return known["treebank"]

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return load_tokenizer(str(self.folder.tokenizer))

    @cached_property
    def separator(self) -> int | None:
        return separator_id(self.tokenizer)

    @cached_property
    def special(self) -> list[int]:
        return special_ids(self.tokenizer)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Of the token ids that the model can take, with the study's function tokens."""
        size = self.model(self.checkpoints[-1]).get_input_embeddings().weight.shape[0]
        table = pl.read_parquet(self.folder.tokens("function_tokens"))
        ids, languages = table["token_id"].to_list(), self.study.tokens.languages
        return Vocabulary.of(self.tokenizer, size, ids, languages)

    @cached_property
    def checkpoints(self) -> list[Checkpoint]:
        """The model's checkpoints in order of step."""
        part = self.study.model
        if part.load:
            return published(part.load, part.revisions)
        steps = self.study.checkpoint_steps()
        return [Checkpoint(step, str(self.folder.model(step))) for step in steps]

    @cached_property
    def decomposed(self) -> list[Checkpoint]:
        """The checkpoints that get an SAE."""
        wanted = self.study.dictionaries.checkpoints
        if not wanted:
            return self.checkpoints if self.study.model.load else self.checkpoints[-1:]
        found = [checkpoint for checkpoint in self.checkpoints if checkpoint.step in wanted]
        missing = set(wanted) - {checkpoint.step for checkpoint in found}
        if missing:
            raise UserError(
                f"dictionaries.checkpoints names the steps {sorted(missing)}, which the model "
                f"does not have; it has {[checkpoint.step for checkpoint in self.checkpoints]}."
            )
        return found

    def within(self, place: str) -> str:
        """A path inside the run folder as seen from there, since a run may be moved."""
        path, root = Path(place), self.folder.root
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else place

    def encoded(self, split: str) -> Encoded:
        return Encoded.load(self.folder.encoded(split))

    def model(self, checkpoint: Checkpoint) -> Model:
        return load_model(checkpoint.model, checkpoint.revision)

    def dictionary(self, checkpoint: Checkpoint) -> Dictionary:
        return load_dictionary(self.folder.dictionary(checkpoint.step))


@dataclass(frozen=True)
class Link:
    """One part of the study."""

    name: str
    title: str
    """What it does, for people."""
    needs: tuple[str, ...]
    settings: Callable[[Run], Any]
    """What, besides the links it needs, determines its outputs."""
    work: Callable[[Run, str], None]
    """Does it; the second argument is the link's key."""
    leaves: Callable[[Run], Path] | None = None
    """A file for people, who may throw it away to have it made again."""


@dataclass
class Runner:
    """Brings a run's links up to date."""

    run: Run
    links: Sequence[Link]
    keys: dict[str, str] = field(default_factory=dict)

    def key(self, name: str) -> str:
        """The fingerprint of everything that determines a link's outputs."""
        if name not in self.keys:
            link = self._link(name)
            needed = [self.key(other) for other in link.needs]
            settings = link.settings(self.run)
            self.keys[name] = fingerprint(name, self.run.study.seed, settings, needed)
        return self.keys[name]

    def is_done(self, name: str) -> bool:
        leaves = self._link(name).leaves
        if leaves is not None and not leaves(self.run).exists():
            return False
        return self.run.folder.is_done(name, self.key(name))

    def bring(self, name: str) -> None:
        """Do link ``name`` and those it needs, as far as they are not done."""
        if self.is_done(name):
            return
        link = self._link(name)
        for other in link.needs:
            self.bring(other)
        for stale in self._following(name):
            self.run.folder.unmark(stale)
        self.run.progress.say(link.title)
        started = time.monotonic()
        link.work(self.run, self.key(name))
        self._time(name, time.monotonic() - started)
        self.run.folder.mark_done(name, self.key(name))

    def _following(self, name: str) -> list[str]:
        """``name`` and every link that needs it, directly or through others."""
        found = [name]
        for link in self.links:  # each comes after those it needs
            if set(link.needs) & set(found):
                found.append(link.name)
        return found

    def _time(self, name: str, seconds: float) -> None:
        path = self.run.folder.timings
        timings = read_json(path) if path.exists() else {}
        write_json(path, {**timings, name: round(seconds, 2)})

    def _link(self, name: str) -> Link:
        return next(link for link in self.links if link.name == name)


def settle(run: Run, replace: bool) -> None:
    """Write the resolved study into its folder, unless another one's results would be lost.

    Raises:
        UserError: if the folder belongs to a study with other settings, or to a corpus or a
            treebank that has changed since, and ``replace`` is not set.
    """
    study, folder = run.study, run.folder
    if folder.study.exists() and not replace:
        old = yaml.safe_load(folder.study.read_text("utf-8"))
        changed = differences(old, study.model_dump(mode="json"))
        if changed:
            raise UserError(
                f"The run folder {folder.root} holds a study with other settings "
                f"({', '.join(changed)}); choose another folder with -o, or pass --replace to "
                "compute again what those settings change."
            )
        if folder.inputs.exists():
            before = read_json(folder.inputs)
            if before["corpus"] != run.corpus_fingerprint:
                raise UserError(
                    f"Corpus {study.corpus!r} has changed since the run in {folder.root} read it; "
                    "choose another folder with -o, or pass --replace to compute everything again."
                )
            if before.get("treebank", run.treebank_fingerprint) != run.treebank_fingerprint:
                raise UserError(
                    f"Treebank {study.tokens.treebank!r} has changed since the run in "
                    f"{folder.root} read it; choose another folder with -o, or pass --replace to "
                    "compute again what follows from it."
                )
    write_text(folder.study, dump_study(study))
    now = {"corpus": run.corpus_fingerprint, "treebank": run.treebank_fingerprint}
    if not folder.inputs.exists() or read_json(folder.inputs) != now:
        write_json(folder.inputs, now)


def open_run(path: Path, progress: Progress) -> Run:
    """The run in folder ``path``.

    Raises:
        UserError: if there is none.
    """
    folder = RunFolder(path)
    if not folder.study.is_file():
        raise UserError(f"There is no run in {path}; functok run STUDY.yaml makes one.")
    return Run(load_study(folder.study), folder, progress)
