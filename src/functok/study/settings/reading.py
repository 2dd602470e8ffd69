"""The study file: read, written out, compared; one clear sentence where it says something else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from functok.runtime.errors import UserError, nearest
from functok.runtime.store.yaml_file import read_yaml
from functok.study.settings.changes import changed
from functok.study.settings.study import Study


def load_study(path: Path, changes: Sequence[str] = ()) -> Study:
    """Read and check a study file.

    Args:
        path: of the file.
        changes: settings that replace the file's, ``KEY=VALUE`` each (see ``changes``).

    Raises:
        UserError: for a file that is missing, not YAML, or says what no study can say; the
            sentence names the key and, for an unknown one, the nearest valid key.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(f"The study file {path} has no keys; it needs at least name: NAME.")
    content = changed(content, changes)
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        listed = isinstance(content.get("dictionaries"), list)
        raise UserError(f"Study file {path}: {_sentence(error, listed)}") from error


def resolved(study: Study) -> dict[str, Any]:
    """The study with every default written out, and nothing that does not apply: a loaded model is
    not trained, nor a loaded tokenizer."""
    content = study.model_dump(mode="json", by_alias=True)
    if study.model is not None and study.model.load is not None:
        for name in ("shape", "training"):
            del content["model"][name]
    if study.tokenizer.load is not None:
        del content["tokenizer"]["vocabulary_size"]
    return content


def dump_study(study: Study) -> str:
    """The resolved study, as a file says it."""
    return yaml.safe_dump(resolved(study), sort_keys=False, allow_unicode=True)


def differences(one: Any, two: Any, prefix: str = "") -> list[str]:
    """Dotted keys at which two resolved studies differ."""
    if isinstance(one, dict) and isinstance(two, dict):
        keys = dict.fromkeys([*one, *two])
        return [
            found
            for key in keys
            for found in differences(one.get(key), two.get(key), f"{prefix}{key}.")
        ]
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        if len(one) == 1:
            return differences(one[0], two[0], prefix)
        pairs = enumerate(zip(one, two, strict=True))
        return [found for n, pair in pairs for found in differences(*pair, f"{prefix}{n}.")]
    return [] if one == two else [prefix.rstrip(".")]


def _sentence(error: ValidationError, listed: bool) -> str:
    """What is wrong first, in words.

    Args:
        error: pydantic's own.
        listed: whether the file lists its dictionaries; the only one has no number otherwise.
    """
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]] or [""]
    if path[0] == "dictionaries" and not listed:
        path = [part for part in path if not part.isdecimal()]
    *parents, last = path
    where = ".".join(path).strip(".")
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key {where!r}; {nearest(last, _keys(Study, parents))}"
    message = first["msg"].removeprefix("Value error, ")
    message += "" if message.endswith((".", "?")) else "."
    if first["type"] == "missing":
        return f"the key {where!r} is missing."
    return f"{where}: {message}" if where else message


def _keys(part: Any, path: list[str]) -> list[str]:
    """Valid keys of the part of a study at ``path``."""
    for name in path:
        if not name.isdecimal():
            part = _settings(_fields(part)[name])
    return list(_fields(part))


def _fields(part: Any) -> dict[str, Any]:
    """The type of each setting of a part, by its name."""
    if hasattr(part, "model_fields"):
        return {field.alias or name: field.annotation for name, field in part.model_fields.items()}
    return {name: field.type for name, field in part.__dataclass_fields__.items()}


def _settings(kind: Any) -> Any:
    """The part in ``kind``, which may be optional or a tuple of such parts."""
    inside = [one for one in get_args(kind) if hasattr(one, "__mro__") and one is not type(None)]
    return kind if not inside else inside[0]
