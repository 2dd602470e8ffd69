"""Imports run one way, down the list of packages: inside functions and in ``import_module`` too."""

import ast
import re
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import median

import functok

ROOT = Path(functok.__file__).parent
ORDER = [
    *("runtime", "stats", "claims", "corpus", "encoding", "tokens", "models", "weights", "world"),
    *("corpora", "graph", "richness", "controls", "retrieval", "consolidation", "calibration"),
    *("study", "studies", "figures", "report", "notebook", "cli"),
]
"""A package imports itself and those that stand before it."""
UNRELATED = ({"retrieval", "consolidation"},)
"""Packages that do not know each other."""


def modules() -> dict[str, Path]:
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> set[str]:
    """Modules of functok that the file names, in imports and in strings alone.

    What a package loads lazily is named in its stub.
    """
    found, stub = set(), path.with_suffix(".pyi")
    if stub.exists():
        here = ".".join(path.parent.relative_to(ROOT.parent).parts)
        text = re.sub(r"^from \.(?=\w)", f"from {here}.", stub.read_text("utf-8"), flags=re.M)
        assert text.count(f"from {here}.") > 3
    else:
        text = path.read_text("utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module in known:
            names = {f"{node.module}.{name.name}" for name in node.names}
            found |= {name if name in known else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name in known}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {node.value} & set(known) - {"functok"}
    return found


def package(module: str) -> str:
    return re.sub(r"^functok\.?", "", module).split(".")[0]


def test_no_module_is_part_of_a_circle():
    known = modules()
    needs = {name: imported(path, known) - {name} for name, path in known.items()}
    assert sum(map(len, needs.values())) > len(known), "imports are seen"
    del needs["functok"]  # the public face names what it re-exports
    order = [*TopologicalSorter(needs).static_order()]  # a circle is an error that names it
    assert set(order) >= set(needs)


def test_packages_import_only_those_before_them():
    known = modules()
    back = []
    for name, path in known.items():
        here = package(name)
        for other in imported(path, known):
            there = package(other)
            if name == "functok" or other == "functok":
                continue
            if ORDER.index(there) > ORDER.index(here) or any(
                {here, there} == pair for pair in UNRELATED
            ):
                back.append(f"{name} imports {other}")
    assert not back


def test_every_package_has_its_place_in_the_order():
    assert {package(name) for name in modules()} - {""} == set(ORDER)


def test_folders_files_and_packages_stay_small():
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in ROOT.rglob("*.py")}
    folders = Counter(path.parent for path in lines if path.name != "__init__.py")
    packages = Counter[str]()
    for path, count in lines.items():
        packages[path.relative_to(ROOT).parts[0]] += count
    assert {folder: count for folder, count in folders.items() if count > 15} == {}
    assert {path: count for path, count in lines.items() if count > 300} == {}
    assert median(lines.values()) <= 120
    assert max(packages.values()) <= 0.15 * sum(lines.values())
