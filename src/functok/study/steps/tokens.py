"""Counting the corpus, choosing the function tokens, and describing the choice."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functok.runtime.errors import require
from functok.runtime.paths import user_path
from functok.runtime.store import read_frame, write_json, write_table
from functok.study.counting import (
    check_elsewhere,
    compared,
    corpus_counts,
    counted_elsewhere,
    elsewhere,
    fingerprint_elsewhere,
    named_tokens,
    overlap,
    sample_counts,
    text_counts,
)
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.settling import treebank_fingerprints
from functok.study.step import ROWS, Step, without

if TYPE_CHECKING:
    from functok.study.plan.forecast import Forecast
    from functok.study.settings import Study
    from functok.study.step import Shown
    from functok.tokens.counting.corpus import Counted
    from functok.tokens.counting.counts import TokenCounts
    from functok.tokens.counting.function_tokens import FunctionTokens
    from functok.tokens.grammar.treebanks import Treebank

_COUNTED = ("counts", "function_tokens", "transitions", "problems")
_DESCRIBED = (
    *(
        "dispersion",
        "zipf",
        "bins",
        "named_bins",
        "sweep",
        "composition",
        "stability",
        "definitions",
    ),
    *("types", "agreement", "ranking", "disagreement", "disagreement_tokens", "homographs"),
    "overlap",
)


def _count(run: Run, key: str) -> dict[str, Any]:
    """Count tokens, choose the function tokens, and describe the choice.

    The whole corpus is counted, shard by shard, or a sample if there is a budget; in a study that
    measures a loaded model on the whole corpus, the graph's own text is, as in the paper.
    """
    from functok.corpus import Problems
    from functok.tokens.counting.function_tokens import ARROWS
    from functok.tokens.definitions import describe

    part, banks = run.study.tokens, _treebanks(run)
    others = compared(run)
    named_tokens(run)  # text that is not one token is refused before anything is counted
    choose = partial(_function_tokens, run, banks)
    if run.study.whole:
        counted, details = text_counts(run, choose, run.encoded("graph"), Problems())
    elif part.tokens is None and part.documents is None:
        counted, details = corpus_counts(run, choose)
    else:
        counted, details = sample_counts(run, choose)
    write_table(run.folder.tokens("counts"), _table(run, counted.tokens))
    _write_function_tokens(run, counted)
    groups = list(ARROWS)
    shares = {
        "group": groups,
        "share": [getattr(counted.shares, group) for group in groups],
        "pairs": [counted.shares.pairs] * len(groups),
    }
    write_table(run.folder.tokens("transitions"), shares)
    write_table(run.folder.tokens("problems"), counted.problems.table())
    if details is not None:
        run.progress.say("  Describing the function tokens")
        tables = describe(
            *(counted.tokens, details, run.tokenizer, banks, part.languages, part.coverage),
            *(run.study.seed, named_tokens(run)),
        )
        if others:
            tables["overlap"] = overlap(run, others)
        for name, found in tables.items():
            write_table(run.folder.tokens(name), found.to_arrow())
    left_out = counted.problems.by_kind()
    documents, tokens = counted.tokens.corpus_documents, int(counted.tokens.occurrences.sum())
    found = {"documents": documents, "tokens": tokens, "left_out": left_out}
    write_json(run.folder.counted, found)
    encoded_by = None if counted.path is None else counted.path._asdict()
    rule = part.model_dump(mode="json", by_alias=True)
    if part.source is not None:
        rule["from_sha256"] = fingerprint_elsewhere(run)
    return {
        "encoded_by": encoded_by,
        "function_tokens": rule,
        "problems": {
            "on_error": part.on_error,
            "total": counted.problems.total,
            "by_kind": left_out,
        },
        "counted": {
            "documents": documents,
            "tokens": tokens,
            "reached": counted.function.reached,
        },
    }


def _table(run: Run, counts: TokenCounts) -> Any:
    from functok.encoding.bytes import token_bytes
    from functok.encoding.tokenizer import shown_tokens
    from functok.tokens.counting.function_tokens import count_table
    from functok.tokens.grammar.lexicon import lexicon
    from functok.tokens.grammar.subclasses import subclass_names

    tokenizer = run.tokenizer
    named = subclass_names(tokenizer, lexicon(run.study.tokens.languages))
    return count_table(counts, run.special, shown_tokens(tokenizer), token_bytes(tokenizer), named)


def _write_function_tokens(run: Run, counted: Counted) -> None:
    """This text's own rows of the counts; or, counted elsewhere, the table as it is there."""
    from functok.tokens.counting.function_tokens import COUNT_COLUMNS, counted_table

    if run.study.tokens.source is not None:
        table = counted_table(elsewhere(run), COUNT_COLUMNS).select(COUNT_COLUMNS)
        write_table(run.folder.tokens("function_tokens"), table.to_arrow())
        return
    table, chosen = _table(run, counted.tokens), set(counted.function.ids.tolist())
    function = table.filter([index in chosen for index in table["token_id"].to_pylist()])
    write_table(run.folder.tokens("function_tokens"), function)


def _function_tokens(run: Run, banks: dict[str, Treebank], counts: TokenCounts) -> FunctionTokens:
    """The function tokens by the study's definition."""
    from functok.encoding.surfaces import surfaces
    from functok.encoding.tokenizer import shown_tokens
    from functok.tokens.counting.function_tokens import FunctionTokens
    from functok.tokens.grammar.alignment import align
    from functok.tokens.grammar.closed_class import (
        ClosedClass,
        by_subclass,
        by_treebank,
        type_table,
    )
    from functok.tokens.grammar.lexicon import lexicon
    from functok.tokens.grammar.subclasses import subclasses

    part = run.study.tokens
    if part.source is not None:
        return counted_elsewhere(run, counts)
    if part.definition == "frequency":
        return FunctionTokens.by_coverage(counts, run.special, part.coverage, part.boundary)
    closed = ClosedClass(*(name in part.also for name in ("punctuation", "numbers", "whitespace")))
    if part.definition == "lexicon":
        codes = subclasses(surfaces(run.tokenizer), lexicon(part.languages))
        return by_subclass(codes, counts, run.special, closed)
    aligned = align(next(iter(banks.values())), run.tokenizer)
    return by_treebank(
        type_table(aligned, shown_tokens(run.tokenizer)), counts, run.special, closed
    )


def _treebanks(run: Run) -> dict[str, Treebank]:
    """The study's treebanks, by the name of their file or folder."""
    from functok.tokens.grammar.treebanks import read_treebank

    found = {}
    for place in run.study.tokens.treebanks:
        path = user_path(place)
        name = path.resolve().name.removesuffix(".conllu")
        require(name not in found, f"Two treebanks are called {name!r}; rename one.")
        found[name] = read_treebank(path)
    return found


def _check(run: Run) -> None:
    from functok.tokens.grammar.lexicon import lexicon

    lexicon(run.study.tokens.languages)
    _treebanks(run)
    compared(run)
    check_elsewhere(run)


def _shows(run: Run) -> Shown:
    from functok.tokens.counting.function_tokens import ARROWS

    folder, part, facts = run.folder, run.study.tokens, run.facts("tokens")
    table, counted = read_frame(folder.tokens("function_tokens")), facts["counted"]
    yield table.head(ROWS).select(
        "rank", "token", "subclass", "fraction", "cumulative", "document_coverage"
    )
    rule = f"coverage {part.coverage:g}, boundary {part.boundary!r}"
    if part.source is not None:
        rule = f"taken from {part.source}, as are the ranks and shares above"
    elif part.definition != "frequency":
        rule = f"by {part.definition}"
    yield (
        f"{len(table)} function tokens cover {counted['reached']:.2%} of "
        f"{counted['tokens']:,} tokens in {counted['documents']:,} documents "
        f"({rule}, special tokens left out)."
    )
    shares = dict(read_frame(folder.tokens("transitions")).select("group", "share").rows())
    yield f"Transitions: {', '.join(f'{ARROWS[name]} {shares[name]:.3f}' for name in ARROWS)}."
    if facts["encoded_by"]:
        yield f"Encoded by {facts['encoded_by']['library']}: {facts['encoded_by']['why']}."
    if facts["problems"]["total"]:
        kinds = ", ".join(
            f"{count:,} {kind}" for kind, count in facts["problems"]["by_kind"].items()
        )
        yield f"Left out: {kinds}; listed in {folder.tokens('problems')}"
    if not part.plain:
        from functok.tokens.summary import described

        found = {name: folder.tokens(name) for name in _DESCRIBED}
        yield from described(
            {name: read_frame(path) for name, path in found.items() if path.exists()}
        )
    yield f"All function tokens: {folder.tokens('function_tokens')}"


_DESCRIBING, _TOKEN, _PER_SHARD = 6.0, 1.4e-4, 3 << 19
"""Seconds of ``Forecast.work`` for the tables on the choice, the same for each id; and bytes that
counting keeps of a shard: two hash tables of pairs and the neighbours of tokens."""


def _cost(run: Run, forecast: Forecast) -> Cost:
    """The corpus is read once for the counts and once for the rest, or the graph's text is."""
    part, whole = run.study.tokens, run.study.whole
    cost = forecast.work(0 if part.plain else _DESCRIBING + _TOKEN * forecast.vocabulary)
    if whole:
        return cost
    sampled = part.tokens is not None or part.documents is not None
    readings = 1 if part.plain or sampled else 2
    cost += forecast.reading().times(readings / run.resources.workers)
    return cost + Cost(disk=_PER_SHARD * len(run.corpus.shards()))


def _settings(run: Run) -> Any:
    part = without(run.study.tokens.model_dump(exclude={"source"}), named=())
    taken = fingerprint_elsewhere(run)
    return [part, treebank_fingerprints(run), *([taken] if taken else [])]


def _files(run: Run) -> Iterable[Path]:
    yield run.folder.counted
    yield from map(run.folder.tokens, (*_COUNTED, *_DESCRIBED))


def _needs(study: Study) -> tuple[str, ...]:
    return ("tokenizer", "documents") if study.whole else ("tokenizer",)


TOKENS = Step(
    name="tokens",
    title="Counting tokens, finding the function tokens",
    needs=_needs,
    settings=_settings,
    work=_count,
    leaves=_files,
    check=_check,
    cost=_cost,
    figures=(
        "token-frequency",
        "token-bins",
        "token-order",
        "document-coverage",
        "threshold-sweep",
    ),
    summary="Count tokens and find the function tokens of a corpus or a run.",
    shows=_shows,
)
