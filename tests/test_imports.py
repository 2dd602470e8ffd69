"""Imports go one way, those inside functions too."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import functok

ROOT = Path(functok.__file__).parent


def modules() -> dict[str, Path]:
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> set[str]:
    """Modules of functok that the file names in its imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in known:
            names = {f"{node.module}.{name.name}" for name in node.names}
            found |= {name if name in known else node.module for name in names}
    return found


def test_no_module_is_part_of_a_circle():
    known = modules()
    needs = {name: imported(path, known) for name, path in known.items()}
    assert sum(map(len, needs.values())) > len(known), "imports are seen"
    order = [*TopologicalSorter(needs).static_order()]  # a circle is an error that names it
    assert set(order) == set(known)
