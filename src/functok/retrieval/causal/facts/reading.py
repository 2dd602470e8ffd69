"""Facts and frames from files, and those that come with functok."""

from importlib.resources import as_file, files
from pathlib import Path

from functok.retrieval.causal.facts.fact import CLASSES, SLOT, FactSet, Frame
from functok.retrieval.causal.facts.rows import read_content
from functok.retrieval.causal.facts.shapes import facts_in
from functok.runtime.errors import nearest, require
from functok.runtime.paths import user_path
from functok.runtime.store.yaml_file import read_yaml

_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl")


def read_facts(place: str | Path, frames: str | Path | None = None) -> FactSet:
    """The facts in a file, or in all tables and JSON files of a folder, whatever their shape.

    Args:
        place: a file or folder; see ``facts/shapes.py`` for the shapes.
        frames: a frame file; it replaces the frames of the relations that it names.

    Raises:
        UserError: if there is nothing to read, a file has no known shape, or the facts of a
            relation have no frame.
    """
    path = user_path(place)
    require(path.exists(), f"There is no file or folder {str(place)!r} to read facts from.")
    found = [path]
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES)
        require(bool(found), f"Folder {path} has no facts; put {', '.join(_SUFFIXES)} files there.")
    facts, own = facts_in([(str(file), read_content(file)) for file in found])
    given = () if frames is None else read_frames(frames)
    named = {frame.relation for frame in given}
    kept = [frame for frame in own if frame.relation not in named]
    return FactSet(tuple(facts), (*kept, *given))


def read_frames(place: str | Path) -> tuple[Frame, ...]:
    """The frames in a YAML file: relation → class of the last token → texts.

    Raises:
        UserError: if it is not such a file.
    """
    path = user_path(place)
    content = read_yaml(path)
    shape = f"{path} is not a frame file: write relation, class of the last token, and its texts"
    require(isinstance(content, dict) and bool(content), f"{shape}.")
    frames = []
    for relation, classes in content.items():
        require(isinstance(classes, dict), f"{shape}, under {relation!r}, too.")
        for name, texts in classes.items():
            require(
                name in CLASSES,
                f"Relation {relation!r} in {path} has frames of class {name!r}; "
                f"{nearest(str(name), CLASSES)}",
            )
            good = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
            require(good, f"{shape}, under {relation!r}, {name!r}, too.")
            frames += [Frame(str(relation), text.strip(), name) for text in texts]
    ended = next((frame for frame in frames if frame.text.endswith(SLOT)), None)
    require(
        ended is None,
        f"Frame {ended and ended.text!r} in {path} ends in its subject, so its last token has no "
        "class of its own; write something after the subject.",
    )
    return tuple(frames)


def shipped_facts() -> FactSet:
    """The facts that come with functok, of ten relations, with six frames each.

    In every frame five tokens follow the subject, under the usual English tokenizers.
    """
    here = files(__package__ or "")
    with as_file(here / "facts.tsv") as facts, as_file(here / "frames.yaml") as frames:
        return read_facts(facts, frames)
