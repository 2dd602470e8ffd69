"""The health of a study's SAEs, from the files of its run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from functok.runtime.store import read_frame, read_json
from functok.study.run import Run

if TYPE_CHECKING:
    from functok.consolidation.checkpoints import Checkpoint
    from functok.models.dictionaries.health import Health
    from functok.study.settings import DictionaryPart


def health_of(run: Run, part: DictionaryPart, checkpoint: Checkpoint) -> Health | None:
    """What is known of an SAE; None before its graph is built."""
    from functok.models.dictionaries.health import Health

    meta = run.graph_folder(part, checkpoint) / "meta.json"
    if not meta.exists():
        return None
    found = read_json(meta)
    table = run.folder.quality(part.name, main=part == run.main)
    rows = read_frame(table).to_dicts() if table.exists() else []
    row = next((row for row in rows if row["step"] == checkpoint.step), {})
    measured = {name: row[name] for name in Health.__dataclass_fields__ if name in row}
    return Health(
        **{
            **measured,
            "features": found["features"],
            "positions": found["positions"],
            "l0": found["l0"],
            "dead": found["features_dead"],
            "dense": len(found["features_dense"]),
        }
    )


def health_sentences(run: Run, part: DictionaryPart | None = None) -> Iterator[str]:
    """The line on the last SAE of a kind, by default the one that claims rest on."""
    part = part or run.main
    found = health_of(run, part, run.decomposed(part)[-1])
    if found is not None:
        yield found.line
        if found.warning:
            yield f"Warning: {found.warning} Nothing that rests on it can be trusted."


def sae_warning(run: Run) -> str | None:
    """Why the SAE that the claims rest on is broken; None where it is sound, or there is none."""
    found = health_of(run, run.main, run.last) if run.study.dictionaries else None
    return None if found is None else found.warning
