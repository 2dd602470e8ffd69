"""The places in a run folder: nothing outside this module decides where a file lies."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from functok.runtime.atomic import sweep
from functok.runtime.errors import UserError
from functok.runtime.paths import folder_name, require_unicode
from functok.runtime.store.formats import DamagedError, read_json, write_json
from functok.runtime.store.lock import locked
from functok.runtime.store.records import Records, inside

_PLAIN = re.compile(r"\w[\w.-]*")


def plain(name: str) -> str:
    """A name from a table or a study, if it names one file and no way out of its folder.

    Raises:
        UserError: if it does.
    """
    if not _PLAIN.fullmatch(name):
        raise UserError(
            f"{name[:80]!r} is not the name of a file in a run folder; a table or a study that "
            "says so is damaged or was not written by functok."
        )
    return name


def graph_table(graph: Path, name: str) -> Path:
    """A table of the graph in folder ``graph``."""
    return graph / f"{plain(name)}.parquet"


def control_table(graph: Path, name: str) -> Path:
    """A table of the controls of the graph in folder ``graph``."""
    return graph / "controls" / f"{plain(name)}.parquet"


def baseline(graph: Path, name: str) -> Path:
    """The folder of a baseline of the graph in folder ``graph``."""
    return graph / "baselines" / plain(name)


def _at_step(folder: Path, step: int | None) -> Path:
    return folder if step is None else folder / f"step-{step:06d}"


@dataclass(frozen=True)
class RunFolder:
    """The places in a run folder (the tree is in ``docs/run-folder.md``)."""

    root: Path
    sae: str | None = None
    """The SAE of the study whose results are meant; None: the first, on which claims are judged."""

    def of(self, sae: str) -> "RunFolder":
        """The same folder, for the results of another SAE of the study than the first."""
        return RunFolder(self.root, plain(sae))

    @property
    def study(self) -> Path:
        return self.root / "study.yaml"

    @property
    def provenance(self) -> Path:
        return self.root / "provenance.json"

    @property
    def timings(self) -> Path:
        return self.root / "timings.json"

    @property
    def tokenizer(self) -> Path:
        return self.root / "tokenizer"

    def tokens(self, name: str) -> Path:
        return self.root / "tokens" / f"{plain(name)}.parquet"

    @property
    def counted(self) -> Path:
        """How many documents and tokens were counted, and what was left out, by reason."""
        return self.root / "tokens" / "meta.json"

    def encoded(self, split: str) -> Path:
        return self.root / "tokens" / f"encoded-{split}.safetensors"

    @property
    def models(self) -> Path:
        return self.root / "models"

    def model(self, step: int) -> Path:
        return _at_step(self.models, step)

    def dequantised(self, file: Path) -> Path:
        """The Hugging Face folder that is made of a GGUF file."""
        return self.models / (folder_name(file.stem) or "model")

    def dictionary(self, name: str, step: int | None = None) -> Path:
        """An SAE of the study, at one of several checkpoints or at the only one."""
        return _at_step(self.root / "dictionaries" / plain(name), step)

    def verified(self, name: str, step: int | None = None) -> Path:
        """What a probe says of an SAE."""
        return self.dictionary(name, step) / "verified.json"

    @property
    def graphs(self) -> Path:
        return self.root / "graph"

    def graph(self, name: str, step: int | None = None) -> Path:
        """A graph by its SAE, at one of several checkpoints or at the only one."""
        return _at_step(self.graphs / plain(name), step)

    def judge(self, graph: Path) -> None:
        """Note which graph the claims, the figures and the report are about."""
        write_json(self._judged, graph.relative_to(self.root).as_posix())

    @property
    def judged(self) -> Path | None:
        """The graph that claims, figures and the report are about, or the last one of another SAE;
        None before one."""
        if self.sae is not None:
            place = self.graph(self.sae)
            metas = [*place.glob("meta.json"), *sorted(place.glob("step-*/meta.json"))]
            return metas[-1].parent if metas else None
        if not os.path.lexists(self._judged):
            return None
        name = read_json(self._judged)
        if not isinstance(name, str) or not inside(name):
            raise DamagedError(f"{self._judged} names no graph of this run; delete it.")
        return self.root / name

    @property
    def _judged(self) -> Path:
        return self.graphs / "judged.json"

    @property
    def world(self) -> Path:
        return self.root / "world"

    def retrieval(self, name: str) -> Path:
        return self._of_sae("retrieval") / f"{plain(name)}.parquet"

    def consolidation(self, name: str) -> Path:
        return self.root / "consolidation" / f"{plain(name)}.parquet"

    def quality(self, dictionary: str, main: bool) -> Path:
        """The quality of the SAEs of one kind."""
        return self.consolidation("dictionaries" if main else f"dictionaries-{dictionary}")

    @property
    def tests(self) -> Path:
        return self._of_sae("tests")

    def test(self, name: str) -> Path:
        return self.tests / f"{plain(name)}.parquet"

    @property
    def claims(self) -> Path:
        return self.root / "claims.parquet"

    @property
    def figures(self) -> Path:
        return self._of_sae("figures")

    def figure(self, name: str, suffix: str) -> Path:
        return self.figures / f"{plain(name)}.{suffix}"

    def _of_sae(self, folder: str) -> Path:
        """A folder, or the one in it that holds the results of another SAE than the first."""
        place = self.root / folder
        return place if self.sae is None else place / plain(self.sae)

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    # What only resuming needs: partials and states may be deleted once a run has finished.

    @property
    def inputs(self) -> Path:
        """What the corpus was like when the run read it."""
        return self.root / ".state" / "inputs.json"

    def partials(self, name: str) -> Path:
        return self.root / ".state" / "partials" / plain(name)

    def resume(self, name: str) -> Path:
        return self.root / ".state" / "resume" / plain(name)

    @cached_property
    def records(self) -> Records:
        """What the finished parts of the run left."""
        return Records(self.root)

    @property
    def writable(self) -> bool:
        """Whether something can be written into the folder, or it is not there yet."""
        return not self.root.exists() or os.access(self.root, os.W_OK)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Lock the folder for one process, and remove what a killed one left.

        Raises:
            UserError: if it cannot be written, is held by another process, is not a run folder
                but holds something (which a run could overwrite), or is a new one whose name is no
                Unicode.
        """
        state = self.root / ".state"
        if not os.path.lexists(self.root):
            require_unicode(self.root)
        try:
            known = state.exists() or self.study.exists()
            if not known and self.root.is_dir() and any(self.root.iterdir()):
                raise UserError(
                    f"The folder {self.root} is not empty and contains no run; choose another "
                    "with -o."
                )
        except OSError as error:
            raise UserError(
                f"Cannot write into the run folder {self.root}: {error.strerror or error}; "
                "choose another with -o."
            ) from error
        with locked(self.root):
            sweep(self.root)
            yield
