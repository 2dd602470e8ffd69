"""What a document and a corpus are, and how a corpus is named."""

import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple, Protocol, runtime_checkable

import pyarrow as pa

from functok.corpus.problems import Problems
from functok.runtime.errors import UserError


class Document(NamedTuple):
    """One text."""

    name: str
    """Where it comes from, for people: a file and line, a qualified Python name, a row."""
    text: str

    @property
    def key(self) -> int:
        """63-bit hash of the text (blake2b)."""
        return int.from_bytes(blake2b(self.text.encode(), digest_size=8).digest(), "big") >> 1


@runtime_checkable
class Corpus(Protocol):
    """Documents in shards that can be read independently, in any order, again and again."""

    @property
    def spec(self) -> str:
        """What the user wrote."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes when the documents may have changed."""
        ...

    def shards(self) -> Sequence[str]:
        """Names of the shards, in a fixed order."""
        ...

    def key(self, shard: str) -> str:
        """Changes when the shard's documents may have changed, and with no other shard's."""
        ...

    def documents(self, shard: str, problems: Problems | None = None) -> Iterator[Document]:
        """The documents of one shard, in a fixed order; stops at a problem by default."""
        ...

    def blocks(self, shard: str, problems: Problems) -> Iterator[pa.Array]:
        """The texts of one shard in blocks (see ``corpus/blocks.py``), in the same order."""
        ...


_OPTIONS = re.compile(r"\?((?:\w+=[^&]*)(?:&\w+=[^&]*)*)$")


def split_spec(spec: str, allowed: Sequence[str]) -> tuple[str, dict[str, str]]:
    """A spec's source and its options; ``?`` in a glob is left alone, since no ``=`` follows.

    Raises:
        UserError: for an option that is not ``allowed``.
    """
    match = _OPTIONS.search(spec)
    if match is None:
        return spec, {}
    options = dict(part.split("=", 1) for part in match[1].split("&"))
    for name in options:
        if name not in allowed:
            raise UserError(
                f"Corpus {spec!r} has an unknown option {name!r}; this kind of corpus accepts "
                f"{', '.join(allowed) or 'none'}."
            )
    return spec[: match.start()], options
