"""YAML from anybody: plain values alone, no key twice, and no more of it than fits on a page.

PyYAML's safe loader runs nothing, but aliases and merge keys let a hundred lines stand for a
billion values, deep nesting exhausts the stack, and of a key that stands twice the last one counts.
So the text is looked at three times: as events, for its depth and length; as nodes, for keys that
stand twice, for circles and for what its aliases amount to; and then its values are made.
"""

from pathlib import Path
from typing import Any

import yaml

from functok.runtime.errors import UserError, first_line
from functok.runtime.store.formats import read_text

BYTES, DEPTH, VALUES = 1 << 20, 40, 100_000
"""Most of each that a file may have; of values, with aliases written out."""


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        UserError: if there is no such file, it is not YAML, or it holds more than it may.
    """
    try:
        text = read_text(path, BYTES)
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error
    try:
        return parse_yaml(text)
    except Exception as error:
        # PyYAML lets through whatever Python's own constructors raise: !!int abc, 2024-99-99
        what = " ".join(str(error).split()) or first_line(error)
        raise UserError(f"{path} is not valid YAML: {what[:300].rstrip('.')}.") from error


def parse_yaml(text: str) -> Any:
    """The content of YAML text.

    Raises:
        ValueError, yaml.YAMLError: if it is none, or holds more than it may.
    """
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH:
            raise ValueError(f"it is nested more than {DEPTH} levels deep")
        if number > VALUES:
            raise ValueError(f"it contains more than {VALUES:,} values")
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if node is None:
        return None
    _size(node, {}, set())
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _size(node: yaml.Node, known: dict[int, int], above: set[int]) -> int:
    """Values under ``node`` with every alias written out."""
    if id(node) in above:
        raise ValueError(f"it contains itself{_line(node)}")
    if id(node) in known:
        return known[id(node)]
    above.add(id(node))
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        names = [(key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the key {str(twice[1])[:80]!r} appears twice{_line(node)}")
        parts = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    size = 1 + sum(_size(part, known, above) for part in parts)
    above.discard(id(node))
    if size > VALUES:
        raise ValueError(f"its aliases expand to more than {VALUES:,} values")
    known[id(node)] = size
    return size


def _line(node: yaml.Node) -> str:
    return f" (line {node.start_mark.line + 1})" if node.start_mark else ""
