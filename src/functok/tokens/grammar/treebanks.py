"""Universal Dependencies treebanks as text with tagged spans: gold part-of-speech tags.

Reads CoNLL-U (universaldependencies.org/format). The text is rebuilt from the words and their
``SpaceAfter=No``, so spans are exact by construction. Sentences of one document are joined by a
blank (none where the last word says ``SpaceAfter=No``), paragraphs by an empty line, so tokens
have the contexts they have in running text.

What would surprise: a *multiword token* (``don't`` = ``do`` + ``n't``, French ``du`` = ``de`` +
``le``) is one stretch of text with several words. Where the words' letters add up to the text,
each gets its own span; where they do not (``du``), the whole stretch is one span with the first
word's tag. *Empty nodes* (``8.1``) have no text and are left out.

Only a treebank with words and universal tags is a gold standard. Some are released without their
words, for copyright (``_`` in their place), some without UPOS (``_`` or ``X`` throughout) or with a
language's own tags there; these are refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from functok.runtime.errors import UserError
from functok.runtime.store import fingerprint
from functok.runtime.versions import sha256

UPOS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN",
    "PUNCT", "SCONJ", "SYM", "VERB", "X",
)  # fmt: skip
"""The 17 universal part-of-speech tags."""

_UNTAGGED = ("X", "PUNCT", "SYM", "NUM")
"""What an untagged treebank may hold: the placeholder, and what a rule can tell."""
_COLUMNS = 10
_NUMBER = re.compile(r"[1-9][0-9]*(-[1-9][0-9]*)?|[0-9]+\.[1-9][0-9]*")
"""A word, a multiword token, an empty node."""
_WITHHELD = re.compile("_+")
_SCHEMA = {name: pl.Int64() for name in ("document", "sentence", "start", "stop")}
_SCHEMA |= {name: pl.String() for name in ("form", "upos")}


@dataclass(frozen=True)
class Treebank:
    """Documents and their tagged words."""

    texts: tuple[str, ...]
    """One per document."""
    words: pl.DataFrame
    """One row per word, in order of the text: document (index into ``texts``), sentence (counted
    over the whole treebank), start, stop (characters in the document's text), form, upos."""

    def __add__(self, other: "Treebank") -> "Treebank":
        """Both, the other's documents and sentences counted on."""
        sentences = 0 if self.words.is_empty() else self.words["sentence"].item(-1) + 1
        moved = other.words.with_columns(
            pl.col("document") + len(self.texts), pl.col("sentence") + sentences
        )
        return Treebank(self.texts + other.texts, pl.concat([self.words, moved]))


@dataclass
class _Document:
    """A document while it is read."""

    text: str = ""
    gap: str = ""
    rows: list[tuple[int, int, int, str, str]] = field(default_factory=list)
    withheld: list[int] = field(default_factory=list)
    """Lines with underscores for a word; as punctuation or a symbol they may be one."""

    def add(self, surface: str, words: list[tuple[str, str]], sentence: int) -> None:
        """Append ``surface``, which stands for ``words`` (form, tag), after the open gap."""
        if self.text:
            self.text += self.gap
        start = len(self.text)
        self.text += surface
        if "".join(form for form, _ in words).lower() != surface.lower():
            words = [(surface, words[0][1])]
        for form, upos in words:
            self.rows.append((sentence, start, start + len(form), form, upos))
            start += len(form)


def read_treebank(path: Path) -> Treebank:
    """The treebank in a ``.conllu`` file, or in all of a folder in order of name.

    Documents are those that ``# newdoc`` marks; a file without the mark is one document.

    Raises:
        UserError: if nothing is there, a line is not CoNLL-U, a tag is not one of ``UPOS``, no word
            has one but ``X``, or the words of a document are withheld.
    """
    files = _files(path)
    texts: list[str] = []
    rows: list[tuple[int, int, int, int, str, str]] = []
    sentence = 0
    for file in files:
        document = _Document()
        for comments, lines in _sentences(file):
            if any(comment.startswith("# newdoc") for comment in comments) and document.text:
                _close(document, texts, rows, file)
                document = _Document()
            if any(comment.startswith("# newpar") for comment in comments):
                document.gap = "\n\n"
            _add_sentence(document, lines, sentence, file)
            sentence += 1
        _close(document, texts, rows, file)
    words = pl.DataFrame(rows, schema=pl.Schema(_SCHEMA), orient="row")
    if words.is_empty():
        raise UserError(f"There is no word in {path}; give a treebank with some.")
    if words["upos"].is_in(_UNTAGGED).all():
        found = " and ".join(sorted(words["upos"].unique()))
        raise UserError(
            f"{path} has {found} for every universal tag (UPOS), so none of its words is tagged; "
            "give a tagged treebank."
        )
    return Treebank(tuple(texts), words)


def treebank_fingerprint(path: Path) -> str:
    """20 hex digits of the names and contents of the files that ``read_treebank`` reads.

    Raises:
        UserError: if nothing is there.
    """
    return fingerprint([(file.name, sha256(file)) for file in _files(path)])


def _files(path: Path) -> list[Path]:
    files = sorted(path.glob("*.conllu")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise UserError(f"There is no .conllu file at {path}; give a treebank's file or folder.")
    return files


def _close(document: _Document, texts: list[str], rows: list, file: Path) -> None:
    if 2 * len(document.withheld) > len(document.rows):
        raise _withheld(file, document.withheld[0])
    if document.text:
        rows += [(len(texts), *row) for row in document.rows]
        texts.append(document.text)


def _sentences(file: Path) -> Iterator[tuple[list[str], list[tuple[int, list[str]]]]]:
    """Comments, and (line number, columns), of each sentence."""
    comments: list[str] = []
    lines: list[tuple[int, list[str]]] = []
    with file.open("rb") as stream:
        for number, raw in enumerate(stream, 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise UserError(f"{file}, line {number} is not UTF-8; convert it.") from error
            if line.startswith("#"):
                comments.append(line)
            elif line.strip():
                columns = line.split("\t")
                if len(columns) != _COLUMNS or not _NUMBER.fullmatch(columns[0]):
                    raise UserError(
                        f"{file}, line {number} is not CoNLL-U: it has {len(columns)} columns "
                        f"where {_COLUMNS} belong, the first a word's number; give a treebank in "
                        "the format of Universal Dependencies."
                    )
                if columns[0].isdigit() and columns[3] not in UPOS:
                    raise UserError(
                        f"{file}, line {number} has {columns[3]!r} where a universal tag (UPOS) "
                        f"belongs; give a treebank with the tags {UPOS[0]}, {UPOS[1]} … {UPOS[-1]}."
                    )
                if not columns[1].strip():
                    raise UserError(f"{file}, line {number} has no word in column 2; fix it.")
                lines.append((number, columns))
            elif lines:
                yield comments, lines
                comments, lines = [], []
    if lines:
        yield comments, lines


def _add_sentence(
    document: _Document, lines: list[tuple[int, list[str]]], sentence: int, file: Path
) -> None:
    """Add one sentence's words; leaves the gap that is to follow it open."""
    words = {
        int(columns[0]): (columns[1], columns[3]) for _, columns in lines if columns[0].isdigit()
    }
    withheld = [
        number
        for number, columns in lines
        if columns[0].isdigit()
        and _WITHHELD.fullmatch(columns[1])
        and columns[3] not in ("PUNCT", "SYM")
    ]
    if len(withheld) > 1 and 2 * len(withheld) > len(words):
        raise _withheld(file, withheld[0])
    document.withheld += withheld
    covered = 0  # the last word of the multiword token that was just added
    follows = 1
    for number, columns in lines:
        identity, surface, misc = columns[0], columns[1], columns[9]
        if "." in identity:
            continue
        first, _, last = identity.partition("-")
        if int(first) != follows:
            raise UserError(
                f"{file}, line {number} has number {identity} where word {follows} of the sentence "
                "belongs; number the words, with an empty line after each sentence."
            )
        follows += not last
        if not last and int(first) <= covered:
            continue
        inside = range(int(first), int(last or first) + 1)
        if not inside or int(first) <= covered or any(word not in words for word in inside):
            raise UserError(f"{file}, line {number} spans words that do not follow it; fix it.")
        document.add(surface, [words[word] for word in inside], sentence)
        covered = inside[-1]
        document.gap = "" if "SpaceAfter=No" in misc.split("|") else " "


def _withheld(file: Path, line: int) -> UserError:
    return UserError(
        f"{file}, line {line} has '_' for a word, as have most words around it: the words are "
        "withheld; merge them in as the treebank's README says, or leave these sentences out."
    )
