"""The first steps: the tokenizer, and the documents as token ids."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functok.runtime.errors import UserError
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import Step, needs_model

if TYPE_CHECKING:
    from functok.encoding.stored import EncodedWriter
    from functok.study.plan.forecast import Forecast
    from functok.study.settings import Study


def _make_tokenizer(run: Run, key: str) -> dict[str, Any]:
    """Keep the tokenizer in the run folder."""
    from functok.corpus import read_documents
    from functok.encoding.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer
    from functok.runtime.versions import sha256

    part = run.study.tokenizer
    if part.load:
        found = load_tokenizer(part.load)
    else:
        texts = (document.text for document in read_documents(run.corpus))
        found = train_tokenizer(texts, part.vocabulary_size)
    save_tokenizer(found, run.folder.tokenizer)
    return {
        "tokenizer": {"sha256": sha256(run.folder.tokenizer / "tokenizer.json")},
        "excluded": {
            "token_ids": run.special,
            "tokens": run.tokenizer.convert_ids_to_tokens(run.special),
            "from": "counts, function tokens, graph, losses, SAE training",
        },
    }


def _what_tells_its_ids(run: Run) -> Any:
    part = run.study.tokenizer
    return [run.corpus_fingerprint, part.load or part.vocabulary_size]


def _check_tokenizer(run: Run) -> None:
    from functok.encoding.tokenizer import load_tokenizer

    if run.study.tokenizer.load:
        load_tokenizer(run.study.tokenizer.load)


def _encode(run: Run, key: str) -> None:
    """Encode the documents that a model is trained or measured on."""
    if run.study.whole:
        _encode_whole(run)
    else:
        _encode_splits(run)


def _encode_whole(run: Run) -> None:
    """The graph's own text: documents of the corpus drawn by hash, each once."""
    from functok.encoding.documents import encoded_corpus

    part = run.study.graph
    sample = encoded_corpus(run.corpus, run.tokenizer, part.documents, part.tokens)
    if sample.repeated:
        run.progress.say(f"  {sample.repeated} repeated documents are left out")
    run.progress.say(f"  {sample.said}")
    found = sample.encoded
    found.save(run.folder.encoded("graph"))
    graph = {"split": "graph", "documents": len(found), "tokens": len(found.ids)}
    repeated = {"split": "repeated", "documents": sample.repeated, "tokens": None}
    _write_sizes(run, [graph, repeated])


def _encode_splits(run: Run) -> None:
    """Every document once, split by the hash of its text, and written as it is read."""
    from functok.corpus import read_documents
    from functok.corpus.problems import Problems
    from functok.corpus.splits import held_out
    from functok.encoding.stored import SeenKeys, encoded_file
    from functok.encoding.tokenizer import encoded_blocks

    share = run.study.held_out
    assert share is not None
    blank, seen = Problems("skip"), SeenKeys()
    repeated, repeated_tokens = 0, 0
    place = run.folder.encoded
    with encoded_file(place("train")) as train, encoded_file(place("held-out")) as apart:
        parts = {"train": train, "held-out": apart}
        for some in encoded_blocks(read_documents(run.corpus, blank), run.tokenizer):
            # A text that stands twice would be one document in a shard and two across shards.
            once = some.where(seen.first(some.keys))
            repeated += len(some) - len(once)
            repeated_tokens += len(some.ids) - len(once.ids)
            kept_out = held_out(once.keys, share)
            train.add(once.where(~kept_out))
            apart.add(once.where(kept_out))
        for split, part in parts.items():
            if part.tokens == 0:
                raise UserError(
                    f"Corpus {run.corpus.spec!r} is too small: with held_out {share} no "
                    f"document falls into the {split} split; give more documents."
                )
        _check_budgets(run.study, apart)
    for count, what in (
        (blank.total, "documents without any text"),
        (repeated, "repeated documents"),
    ):
        if count:
            run.progress.say(f"  {count} {what} are left out")
    sizes: list[dict[str, Any]] = [
        {"split": split, "documents": len(part.keys), "tokens": part.tokens}
        for split, part in parts.items()
    ]
    sizes.append({"split": "repeated", "documents": repeated, "tokens": repeated_tokens})
    _write_sizes(run, [*sizes, {"split": "blank", "documents": blank.total, "tokens": 0}])


def _check_budgets(study: Study, text: EncodedWriter) -> None:
    """Refuse a budget below one document now, not when hours later its step comes."""
    from functok.encoding.documents import check_budget

    quality = {
        f"dictionaries: quality_tokens of {one.name}": one.quality_tokens or None
        for one in study.dictionaries
    }
    budgets = {
        "graph.tokens": study.graph.tokens,
        "losses.tokens": study.losses.tokens,
        "steer.tokens": study.steer.tokens,
    }
    for key, tokens in {**budgets, **quality}.items():
        check_budget(text.sizes, text.keys, tokens, key)


def _write_sizes(run: Run, rows: list[dict[str, Any]]) -> None:
    """``tokens/documents.parquet``: columns split, documents, tokens (null where not counted)."""
    import pyarrow as pa

    from functok.runtime.store import write_table

    write_table(run.folder.tokens("documents"), pa.Table.from_pylist(rows))


def _size(run: Run) -> int:
    """Bytes of the corpus's files: four to a token id, as there are about four in a token."""
    return sum(path.stat().st_size for path in getattr(run.corpus, "files", ()) if path.exists())


def _what_is_encoded(run: Run) -> Any:
    part = run.study.graph
    how = "a hundredth each at most"
    return [part.documents, part.tokens, how] if run.study.whole else run.study.held_out


def _encoded_files(run: Run) -> Iterable[Path]:
    splits = ("graph",) if run.study.whole else ("train", "held-out")
    return [run.folder.tokens("documents"), *map(run.folder.encoded, splits)]


def _cost_of_training(run: Run, forecast: Forecast) -> Cost:
    """The corpus read once, and a tokenizer trained on it; or one that is loaded twice."""
    if not forecast.known or forecast.quick:
        return Cost()
    made = Cost(seconds=forecast.probe.text.training)
    if run.study.tokenizer.load:
        return made.times(2)
    return forecast.reading(encoded=False) + made


def _cost(run: Run, forecast: Forecast) -> Cost:
    """The corpus read to its end; four bytes a token, as many as it has in files."""
    if not forecast.known:
        bounded = run.study.whole and run.study.graph.tokens is not None
        return Cost(disk=0 if bounded else _size(run))
    kept = forecast.tokens("graph" if run.study.whole else "corpus")
    return forecast.reading() + Cost(disk=4 * kept)


TOKENIZER = Step(
    name="tokenizer",
    title=lambda study: (
        "Loading the tokenizer" if study.tokenizer.load else "Training the tokenizer on the corpus"
    ),
    settings=_what_tells_its_ids,
    work=_make_tokenizer,
    leaves=lambda run: [run.folder.tokenizer],
    check=_check_tokenizer,
    cost=_cost_of_training,
)
DOCUMENTS = Step(
    name="documents",
    title="Encoding the documents",
    needs=("tokenizer",),
    settings=_what_is_encoded,
    work=_encode,
    leaves=_encoded_files,
    excuse=needs_model,
    cost=_cost,
)
