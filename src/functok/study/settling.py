"""A run folder belongs to one study: what it holds of another is not overwritten unasked."""

from typing import Any

from functok.consolidation.checkpoints import Stamp, stamp, weights_stamp
from functok.runtime.errors import UserError
from functok.runtime.gguf import is_gguf
from functok.runtime.paths import user_path
from functok.runtime.store import write_json, write_text
from functok.runtime.store.records import read_record
from functok.study.counting import fingerprint_elsewhere
from functok.study.published import as_read, known_stamps
from functok.study.run import Run

_EXPERIMENTS = ("facts", "facts.probes", "steer.classes", "ablation")
"""What a study may take on later, since it changes nothing that is there."""


def settle(run: Run, replace: bool) -> None:
    """Write the resolved study into its folder, unless another one's results would be lost.

    An experiment that the study did not have before is added to it.

    Raises:
        UserError: if the folder belongs to a study with other settings, or to a corpus, a
            treebank or function tokens that have changed since, and ``replace`` is not set. What
            stopped at a line that holds no document may go on with ``tokens.on_error: skip``.
    """
    from functok.study.settings import differences, dump_study, load_study, resolved

    study, folder = run.study, run.folder
    now: dict[str, Any] = {
        "corpus": run.corpus_fingerprint,
        "treebanks": treebank_fingerprints(run),
    }
    if found := stamps(run):
        now["stamps"] = {name: [[*file] for file in files] for name, files in found.items()}
    if (taken := fingerprint_elsewhere(run)) is not None:
        now["function_tokens"] = taken
    before = read_record(folder.inputs)
    if folder.study.exists() and not replace:
        old = resolved(load_study(folder.study))
        changed = [
            key
            for key in differences(old, resolved(study))
            if not (key == "tokens.on_error" and study.tokens.on_error == "skip")
            and not (key in _EXPERIMENTS and _at(old, key) is None)
        ]
        if changed:
            raise UserError(
                f"The run folder {folder.root} holds a study with other settings "
                f"({', '.join(changed)}); choose another folder with -o, or pass --replace to "
                "recompute what those settings change."
            )
        if before.get("corpus", now["corpus"]) != now["corpus"]:
            raise UserError(run.changed(f"Corpus {study.corpus!r}"))
        if before.get("treebanks", now["treebanks"]) != now["treebanks"]:
            raise UserError(run.changed(f"A treebank ({', '.join(study.tokens.treebanks)})"))
        if before.get("function_tokens", taken) != taken:
            raise UserError(run.changed(f"The table of function tokens in {study.tokens.source}"))
    if not folder.study.exists() or folder.study.read_text("utf-8") != dump_study(study):
        write_text(folder.study, dump_study(study))
    if before != now:
        write_json(folder.inputs, now)


def _at(content: Any, key: str) -> Any:
    """What stands at a dotted key."""
    for name in key.split("."):
        content = content[name]
    return content


def treebank_fingerprints(run: Run) -> list[str]:
    """The study's treebanks as they are; where one is gone, as they were when the run read them.

    Raises:
        UserError: if one is gone and was never read.
    """
    places = [user_path(place) for place in run.study.tokens.treebanks]
    if not places:
        return []
    from functok.tokens.grammar.treebanks import treebank_fingerprint

    known = run.known.get("treebanks") or None
    return as_read(lambda: [*map(treebank_fingerprint, places)], known, run.reopened)


def stamps(run: Run) -> dict[str, Stamp]:
    """The files of each loaded model and SAE: as they are; where they are gone or the run was
    opened by its folder, as they were when it read them."""
    if run.study.model is None:
        return {}
    found = {}
    load = run.model_part.load
    if load:
        file = stamp(user_path(load)) if is_gguf(load) else None
        found = {f"model {one.name}": file or weights_stamp(one) for one in run.checkpoints}
    for part in run.study.dictionaries:
        if part.load is not None:
            for checkpoint in run.decomposed(part):
                spec = run.sae_spec(part, checkpoint)
                found[f"SAE {spec}"] = stamp(user_path(spec))
    known = known_stamps(run.known)
    return {
        name: known.get(name, now) if run.reopened or not now else now
        for name, now in found.items()
    }
