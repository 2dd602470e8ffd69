"""The health of a study's SAEs: written with each graph, shown wherever claims rest on one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functok.runtime.store import read_frame, read_json, write_json
from functok.study.run import Run

if TYPE_CHECKING:
    from functok.consolidation.checkpoints import Checkpoint
    from functok.study.settings import DictionaryPart


def quality_table(run: Run, part: DictionaryPart) -> Path:
    """The quality of the SAEs of one kind."""
    return run.folder.quality(part.name, part == run.study.dictionaries[0])


def qualities(run: Run, part: DictionaryPart) -> dict[int | None, dict[str, Any]]:
    """The rows of that table by step; none where it was not measured."""
    table = quality_table(run, part)
    rows = read_frame(table).to_dicts() if table.exists() else []
    return {row["step"]: row for row in rows}


def write_health(run: Run, part: DictionaryPart, checkpoint: Checkpoint) -> None:
    """``health.json`` in the folder of an SAE's graph: its line, and a warning or null."""
    from functok.models.dictionaries.health import Health

    place = run.graph_folder(part, checkpoint)
    meta = read_json(place / "meta.json")
    row = qualities(run, part).get(checkpoint.step, {})
    measured = {name: row[name] for name in Health.__dataclass_fields__ if name in row}
    counted = {name: meta[name] for name in ("features", "positions", "l0")}
    dead, dense = meta["features_dead"], len(meta["features_dense"])
    found = Health(**{**measured, **counted, "dead": dead, "dense": dense})
    write_json(place / "health.json", {"line": found.line, "warning": found.warning})


def health_sentences(run: Run, part: DictionaryPart | None = None) -> Iterator[str]:
    """The line on the last SAE of a kind, by default the one that claims rest on."""
    part = part or run.main
    place = run.graph_folder(part, run.decomposed(part)[-1])
    if (place / "health.json").exists():
        yield read_json(place / "health.json")["line"]
    warning = sae_warning(place)
    if warning is not None:
        yield f"Warning: {warning} Results that depend on it cannot be trusted."


def sae_warning(graph: Path | None) -> str | None:
    """Why the SAE of a graph is broken; None where it is sound, or there is none."""
    file = None if graph is None else graph / "health.json"
    return read_json(file)["warning"] if file is not None and file.exists() else None
