"""Published models and SAEs as a run read them: they may be moved or changed afterwards.

A run opened by its folder shows what it found, wherever they are now; what has to be made from them
is refused where they are no longer the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from functok.consolidation.checkpoints import Stamp, stamp, weights_stamp
from functok.runtime.errors import UserError
from functok.runtime.paths import user_path

if TYPE_CHECKING:
    from functok.study.run import Run


def stamps(run: Run) -> dict[str, Stamp]:
    """The files of each loaded model and SAE: as they are; where they are gone or the run was
    opened by its folder, as they were when it read them."""
    if run.study.model is None:
        return {}
    found = {}
    if run.model_part.load:
        found = {f"model {one.name}": weights_stamp(one) for one in run.checkpoints}
    for part in run.study.dictionaries:
        if part.load is not None:
            for checkpoint in run.decomposed(part):
                spec = run.sae_spec(part, checkpoint)
                found[f"SAE {spec}"] = stamp(user_path(spec))
    known = _known(run)
    return {
        name: known.get(name, now) if run.reopened or not now else now
        for name, now in found.items()
    }


def check_as_read(run: Run, name: str, now: Stamp) -> None:
    """Refuse a model or an SAE that is not the one that the run read.

    Args:
        run: that reads it.
        name: as ``stamps`` has it.
        now: its files as they are.

    Raises:
        UserError: if the run was opened by its folder, and they are gone or have changed.
    """
    known = _known(run).get(name, now)
    if not run.reopened or known == now:
        return
    if now:
        raise UserError(run.changed(f"The {name}"))
    raise UserError(
        f"The {name} is no longer where the run in {run.folder.root} read it, and this needs it; "
        "put it back, or name its new place in a study of its own."
    )


def _known(run: Run) -> dict[str, Stamp]:
    """As the run wrote them down; empty before that."""
    found = run.known.get("stamps", {})
    if not isinstance(found, dict):
        return {}
    return {name: [tuple(file) for file in files] for name, files in found.items()}
