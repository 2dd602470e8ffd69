"""The counts of a study's text: of the whole corpus, of a sample, or of the graph's own text; and
function tokens that were counted in other text.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from functok.runtime.errors import UserError, require
from functok.runtime.paths import user_path
from functok.runtime.store import RunFolder, read_frame
from functok.runtime.versions import sha256
from functok.study.run import Run

if TYPE_CHECKING:
    import polars as pl

    from functok.corpus import Problems
    from functok.encoding.tokenizer import Encoded
    from functok.tokens.counting.corpus import Counted
    from functok.tokens.counting.counts import TokenCounts
    from functok.tokens.counting.function_tokens import FunctionTokens
    from functok.tokens.spread.details import Details


def corpus_counts(run: Run, choose: Any) -> tuple[Counted, Details | None]:
    """The counts of the whole corpus, shard by shard, and their details unless they are plain.

    Args:
        run: the study's run.
        choose: gives the function tokens of some counts.
    """
    from functok.tokens.counting.corpus import count_corpus
    from functok.tokens.spread.details import detail_corpus

    part, special = run.study.tokens, run.special
    # With a model, encoding has stopped at all but blank documents, which are left out.
    on_error = part.on_error if run.study.model is None else "skip"
    file, partials = run.folder.tokenizer / "tokenizer.json", run.folder.partials
    how: dict[str, Any] = {
        "on_error": on_error,
        "engine": run.engine,
        "progress": run.progress,
    }
    place = (run.corpus, file, special)
    counted = count_corpus(*place, partials("counts"), choose=choose, **how)
    if part.plain:
        return counted, None
    how["named"] = named_tokens(run)
    return counted, detail_corpus(*place, counted, partials("details"), **how)


def sample_counts(run: Run, choose: Any) -> tuple[Counted, Details | None]:
    """The same of a sample of the corpus, within the study's budget of documents and tokens."""
    from functok.corpus import Problems
    from functok.encoding.documents import encoded_corpus

    part = run.study.tokens
    problems = Problems(part.on_error if run.study.model is None else "skip")
    sample = encoded_corpus(run.corpus, run.tokenizer, part.documents, part.tokens, problems)
    run.progress.say(f"  Counting {sample.said}")
    return text_counts(run, choose, sample.encoded, problems)


def text_counts(
    run: Run, choose: Any, encoded: Encoded, problems: Problems
) -> tuple[Counted, Details | None]:
    """The same of documents that are encoded already."""
    from functok.encoding.tokenizer import vocabulary_size
    from functok.tokens.counting.corpus import count_text
    from functok.tokens.spread.details import Details

    counted = count_text(encoded, vocabulary_size(run.tokenizer), choose, problems)
    if run.study.tokens.plain:
        return counted, None
    return counted, Details.of(encoded, counted.tokens, run.special, named_tokens(run))


def named_tokens(run: Run) -> list[int]:
    """Ids of the tokens whose places in the text the study wants to see.

    Raises:
        UserError: for text that is not one token.
    """
    from functok.encoding.tokenizer import token_called

    return [token_called(run.tokenizer, text, "tokens.named") for text in run.study.tokens.named]


def elsewhere(run: Run) -> RunFolder:
    """The folder whose function tokens the study takes; studies that count their own do not get
    here."""
    source = run.study.tokens.source
    assert source is not None
    return RunFolder(user_path(source))


def fingerprint_elsewhere(run: Run) -> str | None:
    """Those function tokens by their content: as they are; where they are gone or the run was
    opened by its folder, as they were when it read them. None where the study counts its own.

    Raises:
        UserError: if they are gone and were never read.
    """
    if run.study.tokens.source is None:
        return None
    folder, known = elsewhere(run), run.known.get("function_tokens")
    if isinstance(known, str) and (run.reopened or not folder.tokens("function_tokens").is_file()):
        return known
    from functok.tokens.counting.function_tokens import COUNT_COLUMNS, counted_table

    counted_table(folder, COUNT_COLUMNS)  # refuses what is none
    return sha256(folder.tokens("function_tokens"))


def check_elsewhere(run: Run) -> None:
    """Refuse function tokens of another tokenizer, as far as the study's is there already.

    Raises:
        UserError: for these, and where the folder is the run's own.
    """
    source, load = run.study.tokens.source, run.study.tokenizer.load
    if source is None:
        return
    require(
        elsewhere(run).root.resolve() != run.folder.root.resolve(),
        f"tokens.from names the run folder itself, {source}; name another, or choose another "
        "folder with -o.",
    )
    if load is not None:
        from functok.encoding.tokenizer import load_tokenizer
        from functok.tokens.counting.function_tokens import FunctionTokens

        FunctionTokens.counted_in(elsewhere(run).root, load_tokenizer(load))


def counted_elsewhere(run: Run, counts: TokenCounts) -> FunctionTokens:
    """The function tokens of the other folder, with the share of this text that they cover.

    Raises:
        UserError: if they are another tokenizer's, or have changed since the run read them.
    """
    import numpy as np

    from functok.tokens.counting.function_tokens import FunctionTokens, ranked

    folder = elsewhere(run)
    found = FunctionTokens.counted_in(folder.root, run.tokenizer)
    require(
        sha256(folder.tokens("function_tokens")) == fingerprint_elsewhere(run),
        run.changed(f"The table of function tokens in {folder.root}"),
    )
    order, shares = ranked(counts, run.special)
    return replace(found, reached=float(shares[np.isin(order, found.ids)].sum()))


def compared(run: Run) -> dict[str, list[str]]:
    """The strings of the function tokens of other runs, by their folders' names.

    Raises:
        UserError: for a folder without any.
    """
    from functok.encoding.tokenizer import load_tokenizer

    found = {}
    for root in run.study.tokens.compare:
        folder = RunFolder(user_path(root))
        path = folder.tokens("function_tokens")
        if not path.is_file():
            raise UserError(
                f"{root} contains no function tokens; count them with functok tokens -o {root}."
            )
        found[root] = _marked(load_tokenizer(str(folder.tokenizer)), read_frame(path))
    return found


def overlap(run: Run, others: dict[str, list[str]]) -> pl.DataFrame:
    """``tokens/overlap.parquet``: this set and others (see ``overlap_table``)."""

    from functok.tokens.spread.thresholds import overlap_table

    function = read_frame(run.folder.tokens("function_tokens"))
    return overlap_table({"here": _marked(run.tokenizer, function), **others})


def _marked(tokenizer: Any, function: pl.DataFrame) -> list[str]:
    """The strings of some tokens, comparable across tokenizers."""
    from functok.encoding.surfaces import surfaces

    strings = surfaces(tokenizer).marked()
    return [strings[index] for index in function["token_id"]]
