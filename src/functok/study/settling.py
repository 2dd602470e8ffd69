"""A run folder belongs to one study: what it holds of another is not overwritten unasked."""

from functok.runtime.errors import UserError
from functok.runtime.store import write_json, write_text
from functok.runtime.store.records import read_record
from functok.study.run import Run


def settle(run: Run, replace: bool) -> None:
    """Write the resolved study into its folder, unless another one's results would be lost.

    Raises:
        UserError: if the folder belongs to a study with other settings, or to a corpus or a
            treebank that has changed since, and ``replace`` is not set. What stopped at a line
            that holds no document may go on with ``tokens.on_error: skip``.
    """
    from functok.study.settings import differences, dump_study, load_study, resolved

    study, folder = run.study, run.folder
    now = {"corpus": run.corpus_fingerprint, "treebanks": run.treebank_fingerprints}
    before = read_record(folder.inputs)
    if folder.study.exists() and not replace:
        old = resolved(load_study(folder.study))
        changed = [
            key
            for key in differences(old, resolved(study))
            if not (key == "tokens.on_error" and study.tokens.on_error == "skip")
        ]
        if changed:
            raise UserError(
                f"The run folder {folder.root} holds a study with other settings "
                f"({', '.join(changed)}); choose another folder with -o, or pass --replace to "
                "compute again what those settings change."
            )
        if before.get("corpus", now["corpus"]) != now["corpus"]:
            raise UserError(run.changed(f"Corpus {study.corpus!r}"))
        if before.get("treebanks", now["treebanks"]) != now["treebanks"]:
            raise UserError(run.changed(f"A treebank ({', '.join(study.tokens.treebanks)})"))
    if not folder.study.exists() or folder.study.read_text("utf-8") != dump_study(study):
        write_text(folder.study, dump_study(study))
    if before != now:
        write_json(folder.inputs, now)
