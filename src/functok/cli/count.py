"""``functok tokens CORPUS``: count a corpus, write the tables, show what was found."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from functok.cli.console import ConsoleProgress
from functok.cli.describe import (
    counted_before,
    marked,
    overlap,
    show_description,
    treebanks,
    write_description,
)
from functok.cli.show import print_line, print_table
from functok.cli.work import engine as local
from functok.corpora import open_corpus
from functok.corpus import Corpus
from functok.corpus.files import FileCorpus
from functok.corpus.problems import OnError
from functok.encoding.bytes import token_bytes
from functok.encoding.tokenizer import (
    Tokenizer,
    load_tokenizer,
    save_tokenizer,
    shown_tokens,
    special_ids,
)
from functok.runtime.engine import Engine
from functok.runtime.errors import UserError, require
from functok.runtime.store import RunFolder, write_json, write_table
from functok.runtime.versions import commit, package_version, sha256
from functok.tokens.counting.corpus import Counted, count_corpus
from functok.tokens.counting.function_tokens import ARROWS, Boundary, count_table
from functok.tokens.definitions import describe
from functok.tokens.grammar.lexicon import lexicon
from functok.tokens.grammar.subclasses import subclass_names
from functok.tokens.spread.details import detail_corpus

_ROWS = 20
_PACKAGES = ("functok", "tokenizers", "gigatoken", "transformers", "numpy", "pyarrow")


def is_run(target: str, tokenizer: str | None) -> bool:
    """Whether ``target`` is a run folder or a study file rather than a corpus.

    Raises:
        UserError: if it is a corpus, and no tokenizer is named.
    """
    if target.endswith((".yaml", ".yml")) or RunFolder(Path(target)).study.is_file():
        require(tokenizer is None, f"{target} is a run or a study, which has its own tokenizer.")
        return True
    if tokenizer is None:
        raise UserError(
            f"{target} holds no run; to count it as a corpus, name a tokenizer with --tokenizer."
        )
    return False


@dataclass(frozen=True)
class Request:
    """What the user asked for beside corpus and tokenizer."""

    output: Path | None
    coverage: float
    boundary: Boundary
    on_error: OnError
    engine: Engine
    absolute: bool
    """Whether other machines read the corpus, whose folders differ."""
    plain: bool
    """Counts alone."""
    treebanks: Sequence[Path]
    languages: Sequence[str]
    beside: Sequence[Path]


def count(spec: str, tokenizer: str, request: Request) -> None:
    """Count the corpus ``spec`` into a run folder, and show its function tokens."""
    require(request.coverage > 0, "--coverage 0 asks for no token at all; ask for more.")
    banks, others = treebanks(request.treebanks), counted_before(request.beside)
    words = lexicon(request.languages)
    progress = ConsoleProgress()
    loaded = load_tokenizer(tokenizer)
    corpus = open_corpus(spec)
    if request.absolute and isinstance(corpus, FileCorpus):
        corpus = FileCorpus(spec, absolute=True)
    folder = RunFolder((request.output or Path("runs") / _name(spec, tokenizer)).resolve())
    special, classes = special_ids(loaded), subclass_names(loaded, words)
    where: dict[str, Any] = {"on_error": request.on_error, "engine": request.engine}
    with folder.opened():
        save_tokenizer(loaded, folder.tokenizer)
        file = folder.tokenizer / "tokenizer.json"
        found = count_corpus(
            corpus,
            file,
            special,
            folder.partials("counts"),
            coverage=request.coverage,
            boundary=request.boundary,
            progress=progress,
            **where,
        )
        write_counts(folder, found, loaded, classes)
        _write_provenance(folder, found, corpus, loaded, request)
        tables = {}
        if request.plain and folder.tokens("dispersion").exists():
            progress.say("The other tables in this folder are of an earlier count; see their dates")
        if not request.plain:
            details = detail_corpus(
                corpus, file, special, found, folder.partials("details"), progress=progress, **where
            )
            progress.say("Describing the function tokens, drawing the figures")
            tables = describe(
                found.tokens, details, loaded, banks, request.languages, request.coverage
            )
            if others:
                function = pl.read_parquet(folder.tokens("function_tokens"))
                tables["overlap"] = overlap(marked(loaded, function), others)
            write_description(folder, tables)
    _show(folder, found, request)
    if tables:
        show_description(folder, tables)


def write_counts(
    folder: RunFolder, found: Counted, tokenizer: Tokenizer, classes: Sequence[str]
) -> None:
    """``tokens/counts``, ``function_tokens``, ``transitions`` and ``problems``.

    Columns of ``transitions``: group (ff, fc, cf, cc), share, pairs (counted in all groups).
    """
    shown, spelled = shown_tokens(tokenizer), token_bytes(tokenizer)
    table = count_table(found.tokens, special_ids(tokenizer), shown, spelled, classes)
    write_table(folder.tokens("counts"), table)
    write_table(folder.tokens("function_tokens"), table.slice(0, len(found.function.ids)))
    groups = list(ARROWS)
    shares = {
        "group": groups,
        "share": [getattr(found.shares, group) for group in groups],
        "pairs": [found.shares.pairs] * len(groups),
    }
    write_table(folder.tokens("transitions"), shares)
    write_table(folder.tokens("problems"), found.problems.table())


def _write_provenance(
    folder: RunFolder,
    found: Counted,
    corpus: Corpus,
    tokenizer: Tokenizer,
    request: Request,
) -> None:
    special = special_ids(tokenizer)
    write_json(
        folder.provenance,
        {
            "versions": {name: package_version(name) for name in _PACKAGES},
            "commit": commit(),
            "corpus": {"spec": corpus.spec, "fingerprint": corpus.fingerprint},
            "tokenizer": {"sha256": sha256(folder.tokenizer / "tokenizer.json")},
            "encoded_by": {"library": found.path.library, "why": found.path.why},
            "excluded": {
                "token_ids": special,
                "tokens": tokenizer.convert_ids_to_tokens(special),
                "from": "function tokens, fractions, transition shares",
            },
            "function_tokens": {"coverage": request.coverage, "boundary": request.boundary},
            "problems": {
                "on_error": request.on_error,
                "total": found.problems.total,
                "by_kind": found.problems.by_kind(),
            },
        },
    )


def _show(folder: RunFolder, found: Counted, request: Request) -> None:
    table = pl.read_parquet(folder.tokens("function_tokens"))
    columns = ("rank", "token", "subclass", "fraction", "cumulative", "document_coverage")
    print_table(table.head(_ROWS).select(columns))
    print_line(
        f"{len(table)} function tokens cover {found.function.reached:.2%} of "
        f"{int(found.tokens.occurrences.sum()):,} tokens in {found.tokens.corpus_documents:,} "
        f"documents (coverage {request.coverage:g}, boundary {request.boundary!r}, "
        "special tokens left out)."
    )
    shares = ", ".join(f"{ARROWS[name]} {getattr(found.shares, name):.3f}" for name in ARROWS)
    print_line(f"Transitions: {shares}.")
    print_line(f"Encoded by {found.path.library}: {found.path.why}.")
    if found.problems.total:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in found.problems.by_kind().items())
        print_line(f"Left out: {kinds}; where, in {folder.tokens('problems')}")
    print_line(f"All tokens: {folder.tokens('counts')}")


def engine_of(name: str, address: str | None, workers: int) -> Engine:
    """Where shards are counted."""
    if name == "local":
        require(address is None, "--address belongs to --engine ray.")
        return local(workers)
    from functok.runtime.ray import RayCluster

    return RayCluster(address, None if workers == 1 else workers)


def _name(spec: str, tokenizer: str) -> str:
    """A folder name for a corpus under a tokenizer."""
    path = Path(tokenizer)
    which = path.parent.name if path.name == "tokenizer.json" else path.name
    stem = Path(spec.split("?")[0]).name.split(".")[0]
    return re.sub(r"[^\w-]+", "-", f"tokens-{stem}-{which}").strip("-")
