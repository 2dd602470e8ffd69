"""Two runs that differ in the subject alone: each kept fact, and the counterfactual's prompts.

The source of a fact is another kept fact of its relation, so that both are answered in every
frame. Their prompts correspond position by position: in each frame they have the same number of
tokens, with the subject in the same places.
"""

from typing import NamedTuple

import polars as pl

from functok.retrieval.causal.facts.examples import random_of
from functok.retrieval.causal.facts.knowing import Known
from functok.runtime.errors import require


class Pairs(NamedTuple):
    """Pairs of prompts, and the kept facts that have none."""

    prompts: pl.DataFrame
    """A row per fact and frame: columns fact, relation, subject, answer, counterfactual_fact,
    counterfactual_subject, counterfactual_answer, frame, final, final_class, distance,
    subject_first, subject_last, examples, ids, counterfactual_ids, answer_id,
    counterfactual_answer_id."""
    left_out: pl.DataFrame
    """Columns relation, subject, answer, why."""


def pairs(known: Known, seed: int = 0) -> Pairs:
    """Each kept fact with its counterfactual: the one that is given, or else a kept fact.

    Args:
        seed: of which; every fact serves as source about once.

    Raises:
        UserError: if no fact has one.
    """
    kept = known.prompts.filter("kept")
    given = kept.filter(pl.col("side") == "counterfactual")["fact"].unique().to_list()
    sources = {fact: (fact, "counterfactual") for fact in given}
    free = kept.filter((pl.col("side") == "fact") & ~pl.col("fact").is_in(given))
    for (relation,), part in free.group_by("relation", maintain_order=True):
        sources |= _among(part, seed, str(relation))
    facts = known.facts
    lonely = facts.filter(~pl.col("fact").is_in(list(sources)))
    why = "no other kept fact has subjects of as many tokens and another answer"
    require(
        bool(sources),
        f"None of the {facts.height} kept facts has a counterfactual: {why}; give more facts.",
    )
    mapping = pl.DataFrame(
        [(fact, *source) for fact, source in sources.items()],
        schema={"fact": pl.Int64, "counterfactual_fact": pl.Int64, "source": pl.String},
        orient="row",
    )
    named = ("subject", "answer", "ids", "answer_id")
    source = kept.select(
        *("frame", pl.col("fact").alias("counterfactual_fact"), pl.col("side").alias("source")),
        *(pl.col(name).alias(f"counterfactual_{name}") for name in named),
    )
    table = (
        kept.filter(pl.col("side") == "fact")
        .with_row_index("row")
        .join(mapping, on="fact")
        .join(source, on=["counterfactual_fact", "source", "frame"])
        .sort("row")
    )
    missing = lonely.select("relation", "subject", "answer").with_columns(why=pl.lit(why))
    return Pairs(table.select(_COLUMNS), missing)


_COLUMNS = (
    *("fact", "relation", "subject", "answer", "counterfactual_fact", "counterfactual_subject"),
    *("counterfactual_answer", "frame", "final", "final_class", "distance", "subject_first"),
    *("subject_last", "examples", "ids", "counterfactual_ids", "answer_id"),
    "counterfactual_answer_id",
)


def _among(kept: pl.DataFrame, seed: int, relation: str) -> dict[int, tuple[int, str]]:
    """A source for each fact of one relation, walking round a random circle of its like."""
    shape = pl.struct(pl.col("ids").list.len(), "subject_first", "subject_last")
    facts = kept.group_by("fact", maintain_order=True).agg(shape.alias("shape"), "answer_id")
    circles: dict[str, list[tuple[int, list[int]]]] = {}
    for fact, shapes, answers in facts.iter_rows():
        circles.setdefault(str(shapes), []).append((fact, answers))
    found = {}
    for number, members in enumerate(circles.values()):
        order = random_of(seed, "pairs", relation, str(number)).permutation(len(members))
        circle = [members[index] for index in order.tolist()]
        for place, (fact, answers) in enumerate(circle):
            others = circle[place + 1 :] + circle[:place]
            fits = (
                other
                for other, theirs in others
                if all(one != two for one, two in zip(answers, theirs, strict=True))
            )
            source = next(fits, None)
            if source is not None:
                found[fact] = (source, "fact")
    return found
