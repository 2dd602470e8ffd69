"""The counts of a study's text: of the whole corpus, of a sample, or of the graph's own text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from functok.study.run import Run

if TYPE_CHECKING:
    from functok.corpus import Problems
    from functok.encoding.tokenizer import Encoded
    from functok.tokens.counting.corpus import Counted
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
    return counted, Details.of(encoded, counted.tokens, run.special)
