"""``functok tokens CORPUS``: count a corpus, write the tables, show what was found."""

import re
from pathlib import Path

import polars as pl

from functok.cli.console import ConsoleProgress
from functok.cli.show import print_line, print_table
from functok.cli.work import engine as local
from functok.corpus import Corpus, open_corpus
from functok.corpus.files import FileCorpus
from functok.corpus.problems import OnError
from functok.engine import Engine
from functok.errors import UserError, require
from functok.store import RunFolder, write_json, write_table
from functok.tokens.bytes import token_bytes
from functok.tokens.classes import ARROWS, Boundary, count_table
from functok.tokens.counting import Counted, count_corpus
from functok.tokens.encode import (
    Tokenizer,
    load_tokenizer,
    save_tokenizer,
    shown_tokens,
    special_ids,
)
from functok.versions import commit, package_version, sha256

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


def count(
    spec: str,
    tokenizer: str | None,
    output: Path | None,
    *,
    coverage: float,
    boundary: Boundary,
    on_error: OnError,
    engine: str,
    address: str | None,
    workers: int,
) -> None:
    """Count the corpus ``spec`` into a run folder, and show its function tokens."""
    assert tokenizer is not None, "is_run has asked for one"
    progress = ConsoleProgress()
    loaded = load_tokenizer(tokenizer)
    corpus = open_corpus(spec)
    if engine == "ray" and isinstance(corpus, FileCorpus):
        corpus = FileCorpus(spec, absolute=True)
    folder = RunFolder((output or Path("runs") / _name(spec, tokenizer)).resolve())
    with folder.opened():
        save_tokenizer(loaded, folder.tokenizer)
        found = count_corpus(
            corpus,
            folder.tokenizer / "tokenizer.json",
            special_ids(loaded),
            folder.partials("counts"),
            coverage=coverage,
            boundary=boundary,
            on_error=on_error,
            engine=chosen_engine(engine, address, workers),
            progress=progress,
        )
        write_counts(folder, found, loaded)
        _write_provenance(folder, found, corpus, loaded, coverage, boundary, on_error)
    _show(folder, found, coverage, boundary)


def write_counts(folder: RunFolder, found: Counted, tokenizer: Tokenizer) -> None:
    """``tokens/counts``, ``function_tokens``, ``transitions`` and ``problems``.

    Columns of ``transitions``: group (ff, fc, cf, cc), share, pairs (counted in all groups).
    """
    size = len(found.tokens.occurrences)
    shown, spelled = shown_tokens(tokenizer), token_bytes(tokenizer)
    shown += [f"⟨{index}⟩" for index in range(len(shown), size)]
    spelled += [b""] * (size - len(spelled))
    table = count_table(found.tokens, special_ids(tokenizer), shown, spelled)
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
    coverage: float,
    boundary: Boundary,
    on_error: OnError,
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
            "function_tokens": {"coverage": coverage, "boundary": boundary},
            "problems": {
                "on_error": on_error,
                "total": found.problems.total,
                "by_kind": found.problems.by_kind(),
            },
        },
    )


def _show(folder: RunFolder, found: Counted, coverage: float, boundary: Boundary) -> None:
    table = pl.read_parquet(folder.tokens("function_tokens"))
    columns = ("rank", "token", "fraction", "cumulative", "document_coverage")
    print_table(table.head(_ROWS).select(columns))
    print_line(
        f"{len(table)} function tokens cover {found.function.reached:.2%} of "
        f"{int(found.tokens.occurrences.sum()):,} tokens in {found.tokens.corpus_documents:,} "
        f"documents (coverage {coverage:g}, boundary {boundary!r}, special tokens left out)."
    )
    shares = ", ".join(f"{ARROWS[name]} {getattr(found.shares, name):.3f}" for name in ARROWS)
    print_line(f"Transitions: {shares}.")
    print_line(f"Encoded by {found.path.library}: {found.path.why}.")
    if found.problems.total:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in found.problems.by_kind().items())
        print_line(f"Left out: {kinds}; where, in {folder.tokens('problems')}")
    print_line(f"All tokens: {folder.tokens('counts')}")


def chosen_engine(name: str, address: str | None, workers: int) -> Engine:
    if name == "local":
        require(address is None, "--address belongs to --engine ray.")
        return local(workers)
    from functok.engine_ray import RayCluster

    return RayCluster(address, None if workers == 1 else workers)


def _name(spec: str, tokenizer: str) -> str:
    """A folder name for a corpus under a tokenizer."""
    path = Path(tokenizer)
    which = path.parent.name if path.name == "tokenizer.json" else path.name
    stem = Path(spec.split("?")[0]).name.split(".")[0]
    return re.sub(r"[^\w-]+", "-", f"tokens-{stem}-{which}").strip("-")
