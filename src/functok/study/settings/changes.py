"""Settings that a command changes in the study that it reads: ``--set model.load=FOLDER``."""

from collections.abc import Sequence
from typing import Any

from functok.runtime.errors import UserError, first_line, require
from functok.runtime.store.yaml_file import parse_yaml


def changed(content: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """The content of a study file with some of its settings replaced.

    Args:
        content: as the file has it; is not touched.
        changes: ``KEY=VALUE``, the key dotted (``graph.tokens``; an entry of a list by its number,
            from 0), the value as YAML has it.

    Raises:
        UserError: if one is not written like that, or its key leads through a single value.
    """
    whole: Any = content
    for change in changes:
        key, equals, text = change.partition("=")
        require(
            bool(equals and key.strip(".")),
            f"--set {change!r} sets nothing; write it as --set KEY=VALUE, such as "
            "--set graph.tokens=30000.",
        )
        try:
            value = parse_yaml(text)
        except Exception as error:  # PyYAML lets through whatever Python's constructors raise
            raise UserError(
                f"--set {change!r} has a value that is not valid YAML ({first_line(error)}); "
                "put quotes around it."
            ) from error
        whole = _put(whole, key.split("."), value, change)
    return whole


def _put(part: Any, path: Sequence[str], value: Any, change: str) -> Any:
    """A copy of ``part`` in which ``path`` leads to ``value``."""
    if not path:
        return value
    name, *rest = path
    if isinstance(part, list) and name.isdecimal() and int(name) < len(part):
        number = int(name)
        return [*part[:number], _put(part[number], rest, value, change), *part[number + 1 :]]
    if part is None or isinstance(part, dict):
        part = part or {}
        return {**part, name: _put(part.get(name), rest, value, change)}
    raise UserError(f"--set {change!r} names no setting: the study has no {name!r} there.")
