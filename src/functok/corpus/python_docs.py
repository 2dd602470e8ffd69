"""``python-docs``: the English documentation that every CPython carries.

Docstrings of the standard library, read from the sources with ``ast`` (no module is imported or
run), and the language reference's topics from ``pydoc_data``: about 2 MB in thousands of
documents, the same on every machine with the same Python version. It makes a real study possible
without a network. Texts that repeat (inherited docstrings) are kept once; tests are left out.
"""

import ast
import sys
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from functok.corpus.blocks import blocks_of
from functok.corpus.document import Document
from functok.corpus.problems import Problems
from functok.runtime.errors import UserError
from functok.runtime.store import fingerprint

_LEFT_OUT = {"test", "tests", "idlelib", "site-packages", "dist-packages", "__pycache__"}
_TOPICS = Path("pydoc_data/topics.py")


class PythonDocs:
    """One shard: 2 MB are read in seconds."""

    spec = "python-docs"

    @cached_property
    def root(self) -> Path:
        return Path(sysconfig.get_paths()["stdlib"])

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.spec, sys.version)

    def key(self, shard: str) -> str:
        return self.fingerprint

    def shards(self) -> Sequence[str]:
        return ["standard-library"]

    def blocks(self, shard: str, problems: Problems) -> Iterator[pa.Array]:
        return blocks_of(self.documents(shard), problems, self.spec)

    def documents(self, shard: str, problems: Problems | None = None) -> Iterator[Document]:
        sources = sorted(
            path
            for path in self.root.rglob("*.py")
            if not _LEFT_OUT.intersection(path.relative_to(self.root).parts)
        )
        if not sources:
            raise UserError(
                f"This Python comes without sources in {self.root}, so there is no "
                "python-docs corpus; use another Python, or another corpus."
            )
        seen: set[int] = set()
        for source in sources:
            for document in _documents(source, source.relative_to(self.root)):
                if document.key not in seen:
                    seen.add(document.key)
                    yield document


def _documents(source: Path, name: Path) -> Iterator[Document]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in others' sources
        tree = ast.parse(source.read_bytes())
    if name == _TOPICS:
        yield from _topics(tree)
        return
    module = ".".join(name.with_suffix("").parts).removesuffix(".__init__")
    yield from _docstrings(tree, module)


def _docstrings(node: ast.AST, name: str) -> Iterator[Document]:
    documented = isinstance(
        node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    )
    if documented and (text := ast.get_docstring(node)):
        yield Document(name, text)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            continue  # nothing in an expression has a docstring
        named = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        yield from _docstrings(child, f"{name}.{child.name}" if named else name)


def _topics(tree: ast.Module) -> Iterator[Document]:
    """``topics = {name: text, …}``, as a literal."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            for name, text in ast.literal_eval(statement.value).items():
                yield Document(f"topic {name}", text.strip())
