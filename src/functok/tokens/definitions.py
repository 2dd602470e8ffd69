"""Does it matter how "function token" is defined? All definitions compared.

``definition_sets`` returns a ``FunctionTokens`` per definition, so any later analysis can be run
once per row. ``describe`` collects the tables that answer the question for one corpus and one
tokenizer; it writes nothing. docs/function-tokens.md discusses them.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

import numpy as np
import polars as pl

from functok.encoding.surfaces import surfaces
from functok.encoding.tokenizer import Tokenizer, shown_tokens, special_ids
from functok.runtime.errors import UserError
from functok.tokens.counting.counts import TokenCounts
from functok.tokens.counting.function_tokens import FUNCTION, FunctionTokens
from functok.tokens.grammar.agreement import agreement_table, confusion, ranking_table
from functok.tokens.grammar.alignment import align
from functok.tokens.grammar.closed_class import (
    ClosedClass,
    by_subclass,
    by_treebank,
    function_occurrences,
    homograph_table,
    type_table,
)
from functok.tokens.grammar.disagreement import disagreement_table, disagreement_tokens
from functok.tokens.grammar.lexicon import lexicon
from functok.tokens.grammar.subclasses import SUBCLASSES, subclasses
from functok.tokens.grammar.treebanks import Treebank
from functok.tokens.spread.details import Details
from functok.tokens.spread.dispersion import SCORES, dispersion_table, sets_by_score
from functok.tokens.spread.neighbours import neighbour_table
from functok.tokens.spread.order import ordered_bins
from functok.tokens.spread.partitions import bins_table
from functok.tokens.spread.thresholds import (
    composition_table,
    level_codes,
    membership,
    stability_table,
    sweep_sets,
    sweep_table,
)
from functok.tokens.spread.zipf import zipf_table

_SWITCHES = {
    "": ClosedClass(),
    " + punctuation": ClosedClass(punctuation=True),
    " + punctuation, digits, whitespace": ClosedClass(True, True, True),
}


def definition_sets(
    counts: TokenCounts,
    dispersion: pl.DataFrame,
    special: Sequence[int],
    by_text: np.ndarray,
    types: Mapping[str, pl.DataFrame],
    coverage: float = 0.40,
) -> dict[str, FunctionTokens]:
    """A set per definition: the rows of every robustness table.

    Names: ``frequency 40%`` (the paper's, first) and the other thresholds; ``documents (same
    size)`` … for each dispersion score at the same number of tokens and at the same share of
    positions; ``lexicon`` and ``treebank NAME``, each with and without punctuation and numbers. A
    definition by which no token of the corpus is function is left out.

    Args:
        dispersion: of ``dispersion_table``.
        by_text: sub-class codes of ``subclasses``.
        types: treebank's name → its ``type_table``.
    """
    paper = FunctionTokens.by_coverage(counts, special, coverage)
    sets = {f"frequency {coverage:.0%}": paper}
    for threshold, found in sweep_sets(counts, special).items():
        sets.setdefault(f"frequency {threshold:.0%}", found)
    vocabulary, floor = len(counts.occurrences), max(counts.corpus_documents, 1)
    for same in ("size", "share"):
        found = sets_by_score(dispersion, special, vocabulary, paper, floor, same)
        sets |= {
            f"{score} (same {same})": found[score]
            for score in SCORES
            if score != "occurrences" and len(found[score].ids)
        }
    for suffix, closed in _SWITCHES.items():
        made = {f"lexicon{suffix}": partial(by_subclass, by_text)}
        made |= {f"treebank {name}{suffix}": partial(by_treebank, types[name]) for name in types}
        for name, make in made.items():
            with suppress(UserError):  # a lexicon or treebank of another language finds none
                sets[name] = make(counts, special, closed)
    return sets


def definitions_table(sets: Mapping[str, FunctionTokens], counts: TokenCounts) -> pl.DataFrame:
    """Every definition against the first.

    Columns: definition, tokens, reached (share of the corpus's positions), jaccard (of token
    ids), jaccard_positions (positions in both sets / in either).
    """
    first = next(iter(sets.values()))
    inside = first.classes == FUNCTION
    rows = []
    for name, found in sets.items():
        here = found.classes == FUNCTION
        both, either = inside & here, inside | here
        rows.append(
            {
                "definition": name,
                "tokens": len(found.ids),
                "reached": found.reached,
                "jaccard": float(both.sum() / either.sum()),
                "jaccard_positions": float(
                    counts.occurrences[both].sum() / counts.occurrences[either].sum()
                ),
            }
        )
    return pl.DataFrame(rows)


def describe(
    counts: TokenCounts,
    details: Details,
    tokenizer: Tokenizer,
    treebanks: Mapping[str, Treebank] | None = None,
    languages: str | Sequence[str] = "en",
    coverage: float = 0.40,
    seed: int = 0,
    named: Sequence[int] = (),
) -> dict[str, pl.DataFrame]:
    """Every table about the definition, for one corpus and one tokenizer.

    Keys: ``dispersion`` (with columns subclass, membership, and those of ``neighbour_table``),
    ``zipf``, ``bins``, ``sweep``, ``composition``, ``stability``, ``definitions``; with named
    tokens also ``named_bins``; with treebanks also ``types``, ``agreement``, ``ranking``,
    ``disagreement``, ``disagreement_tokens``, ``homographs``, each with a column treebank. The
    schemas are documented at the functions that make them.

    Args:
        counts: of the corpus.
        details: of the corpus.
        tokenizer: the one it was counted with.
        treebanks: name → treebank, in the corpus's language or in others.
        languages: of the lexicon that gives the sub-classes.
        coverage: of the definition by frequency that the others are compared with.
        seed: of the bootstraps.
        named: ids of the tokens whose places are in ``details``.
    """
    size, special = len(counts.occurrences), special_ids(tokenizer)
    shown = shown_tokens(tokenizer)
    codes = subclasses(surfaces(tokenizer), lexicon(languages))
    dispersion = _with_subclass(dispersion_table(counts, details.spread, special, shown), codes)
    dispersion = dispersion.join(
        neighbour_table(details.neighbours), on="token_id", how="left", maintain_order="left"
    )
    parts = details.spread.parts.without(special)
    kept = membership(parts, special, coverage, seed=seed)[dispersion["token_id"].to_numpy()]
    dispersion = dispersion.with_columns(membership=kept)
    swept = sweep_sets(counts, special)
    aligned = {name: align(one, tokenizer) for name, one in (treebanks or {}).items()}
    types = {name: type_table(one, shown) for name, one in aligned.items()}
    sets = definition_sets(counts, dispersion, special, codes, types, coverage)
    tables = {
        "dispersion": dispersion,
        "zipf": zipf_table(parts),
        "bins": bins_table(parts, steady_and_bursty(dispersion), shown),
        "sweep": sweep_table(swept, details.pairs, level_codes(swept, special, size)),
        "composition": composition_table(counts, swept, codes),
        "stability": stability_table(parts, special, seed=seed),
        "definitions": definitions_table(sets, counts),
    }
    if named:
        tables["named_bins"] = ordered_bins(details.order, named, shown)
    found: dict[str, list[pl.DataFrame]] = {}
    for name, one in aligned.items():
        compared = compare(one, types[name], sets, dispersion, shown, size, seed)
        for key, table in compared.items():
            found.setdefault(key, []).append(table.select(pl.lit(name).alias("treebank"), pl.all()))
    return tables | {key: pl.concat(some) for key, some in found.items()}


def _with_subclass(table: pl.DataFrame, codes: np.ndarray) -> pl.DataFrame:
    names = np.array(SUBCLASSES)[codes[table["token_id"].to_numpy()]]
    return table.with_columns(subclass=pl.Series(names.tolist(), dtype=pl.String))


def compare(
    aligned: pl.DataFrame,
    types: pl.DataFrame,
    sets: Mapping[str, FunctionTokens],
    dispersion: pl.DataFrame,
    shown: Sequence[str],
    vocabulary: int,
    seed: int = 0,
) -> dict[str, pl.DataFrame]:
    """Definitions against one treebank: ``types``, ``agreement``, ``ranking``, …

    ``agreement`` has columns definition, truth (``closed class``; for the first definition also
    ``closed class + punctuation`` …) and weight (``tokens``, ``types``) before those of
    ``agreement_table``. The definition by the same treebank is the most that any set of token
    ids can reach: what it lacks are homographs. ``disagreement`` is of the first definition.
    Scores in ``ranking`` are the corpus's; a token of the treebank that the corpus lacks ranks
    last.
    """
    token, document = aligned["token_id"].to_numpy(), aligned["document"].to_numpy()
    kinds = types["token_id"].to_numpy()
    first = next(iter(sets))
    agreed = []
    for suffix, closed in _SWITCHES.items():
        true = function_occurrences(aligned, closed)
        majority = types["klass"].is_in(list(closed.tags)).to_numpy()
        for name, chosen in sets.items():
            if suffix and name != first:
                continue
            predicted = chosen.classes == FUNCTION
            for weight, cells in (
                ("tokens", confusion(predicted[token], true, document)),
                ("types", confusion(predicted[kinds], majority)),
            ):
                labels = {"definition": name, "truth": f"closed class{suffix}", "weight": weight}
                named = [pl.lit(value).alias(key) for key, value in labels.items()]
                agreed.append(agreement_table(cells, seed=seed).select(*named, pl.all()))
    place = np.zeros(vocabulary, np.int64)
    place[kinds] = np.arange(len(kinds))
    tokens = disagreement_tokens(aligned, sets[first].ids, shown)
    return {
        "types": types,
        "agreement": pl.concat(agreed),
        "ranking": ranking_table(
            {name: _score(dispersion, name, vocabulary)[kinds] for name in SCORES},
            function_occurrences(aligned),
            place[token],
            document,
            types["klass"].is_in(list(ClosedClass().tags)).to_numpy(),
            seed=seed,
        ),
        "disagreement": disagreement_table(tokens),
        "disagreement_tokens": tokens,
        "homographs": homograph_table(aligned, shown),
    }


def _score(dispersion: pl.DataFrame, name: str, vocabulary: int) -> np.ndarray:
    """A score over the vocabulary, high for function; −∞ where the corpus does not give it."""
    score, known = np.full(vocabulary, -np.inf), dispersion.filter(pl.col(name).is_not_null())
    score[known["token_id"].to_numpy()] = SCORES[name] * known[name].to_numpy()
    return score


def steady_and_bursty(dispersion: pl.DataFrame) -> list[int]:
    """The commonest ADP (the paper shows ``␣of``) and the burstiest of the 1,000 commonest tokens.

    If the corpus has no ADP of the lexicon, the most common token replaces it.
    """
    steady = pl.concat([dispersion.filter(pl.col("subclass") == "ADP").head(1), dispersion.head(1)])
    bursty = dispersion.head(1000).sort("burstiness", "rank").head(1)
    picked = pl.concat([steady.head(1), bursty])["token_id"].to_list()
    return list(dict.fromkeys(picked))
