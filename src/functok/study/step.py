"""A step of a study: everything about it in one place.

What needs torch or polars is imported by the functions that use it, not by the module: the command
line lists the steps, and says whether they are finished, without loading either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functok.runtime.store import RunFolder, read_frame, write_table
from functok.study.opening import views
from functok.study.plan.cost import Cost

if TYPE_CHECKING:
    import polars as pl

    from functok.study.plan.forecast import Forecast
    from functok.study.run import Run
    from functok.study.settings import Study

    Shown = Iterable[str | pl.DataFrame]
    """Sentences and tables for the terminal, in order."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One part of a study."""

    name: str
    title: str | Callable[[Study], str]
    """What it does, for people."""
    needs: tuple[str, ...] | Callable[[Study], tuple[str, ...]] = ()
    """Steps that come first."""
    settings: Callable[[Run], Any] = lambda run: None
    """What, in addition to the steps it needs, determines its results."""
    work: Callable[[Run, str], dict[str, Any] | None]
    """Does it, given the step's key; returns facts to record that no table holds."""
    cost: Callable[[Run, Forecast], Cost] = lambda run, forecast: Cost()
    """What its work takes, about, as far as that can be told before it begins."""
    leaves: Callable[[Run], Iterable[Path]] = lambda run: ()
    """Files and folders that it wrote besides ``tables`` and ``evidence``."""
    tables: tuple[str, ...] = ()
    """Tables that it wrote into ``retrieval/``, of each SAE if it is done by SAE."""
    heals: bool = False
    """Whether its work checks what is there: then of damaged files only these are removed before
    it is done again, and not all that it left."""
    precious: bool = False
    """Whether its files are too costly to be made again without a question."""
    number: int = 1
    """Raised when the step's results change for the same settings."""
    excuse: Callable[[Study], str | None] = lambda study: None
    """Why it does not apply to a study, one sentence; None where it does."""
    check: Callable[[Run], None] = lambda run: None
    """Refuses what cannot work, before the first of the steps on the way to it begins."""
    runs_model: bool = False
    """Whether it runs the model: then where that is, is settled before the first step begins."""
    evidence: tuple[str, ...] = ()
    """Tests whose evidence it writes, of each SAE if it is done by SAE."""
    figures: tuple[str, ...] = ()
    """Figures that are drawn from its tables."""
    summary: str | None = None
    """What the command of its name does; None: there is no such command."""
    reads: tuple[str, ...] = ()
    """Steps that wrote files which its command prints, where these are not its own."""
    shows: Callable[[Run], Shown] | None = None
    """What its command prints."""
    by_sae: bool = False
    """Whether it leaves results of each SAE, so that its command takes one by its name."""

    def title_of(self, study: Study) -> str:
        """The title in this study."""
        return self.title if isinstance(self.title, str) else self.title(study)

    def needs_of(self, study: Study) -> tuple[str, ...]:
        """The steps that come first in this study."""
        return self.needs if isinstance(self.needs, tuple) else self.needs(study)

    def files(self, run: Run) -> Iterator[Path]:
        """All that it wrote; what is not there is passed over."""
        yield from self.leaves(run)
        for seen in views(run) if self.by_sae else (run,):
            yield from map(seen.folder.retrieval, self.tables)
            yield from map(seen.folder.test, self.evidence)


ROWS = 20
"""Most rows of a long table on the terminal."""


def rows_of(place: Callable[[Run], Path], columns: tuple[str, ...]) -> Callable[[Run], Shown]:
    """Show some columns of a table, its first rows, and where the whole of it lies."""

    def shows(run: Run) -> Shown:

        path = place(run)
        table = read_frame(path)
        yield known(table.head(ROWS), *columns)
        yield f"{len(table)} rows in {path}"

    return shows


def write_tables(folder: RunFolder, names: Sequence[str], tables: Iterable[pl.DataFrame]) -> None:
    """Write tables into ``retrieval/``, each under its name."""
    for name, table in zip(names, tables, strict=True):
        write_table(folder.retrieval(name), table.to_arrow())


def known(table: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """Those of some columns that hold anything: the step of a model loaded as it is, does not."""
    return table.select(name for name in columns if table[name].null_count() < len(table))


def needs_model(study: Study) -> str | None:
    """The excuse of a step that runs a model."""
    if study.model is not None:
        return None
    return f"Study {study.name} has no model; give it one, with model: {{load: NAME}}."


def needs_sae(study: Study) -> str | None:
    """The excuse of a step that decomposes a model with an SAE."""
    if study.model is None or study.dictionaries:
        return needs_model(study)
    return f"Study {study.name} has no SAE; list one under dictionaries."


def needs_held_out(study: Study) -> str | None:
    """The excuse of a step that learns from some documents and measures on others."""
    if not study.whole:
        return needs_model(study)
    return (
        f"Study {study.name} holds out no documents, so there are none to learn from; set "
        "held_out to a share."
    )


def without(settings: dict[str, Any], **later: Any) -> dict[str, Any]:
    """``settings``, as a step's key holds them, without keys that came ``later``.

    Args:
        later: what each of these keys is where a study does not name it. It is left out there, so
            that what was made before there was such a key is not made again.
    """
    return {
        name: value for name, value in settings.items() if name not in later or later[name] != value
    }
