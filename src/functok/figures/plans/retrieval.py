"""Figures of the section on retrieval, and the ways to read traces that the tiny world shares."""

from collections.abc import Callable

import polars as pl

from functok.figures.charts import reactivation, steering, trace_pairs, traces
from functok.figures.plan import Plan, made_from, read
from functok.runtime.store import RunFolder


def each_trace(name: str) -> Callable[[RunFolder, int], list[pl.DataFrame]]:
    """Each prompt's trace by itself."""

    def tables(folder: RunFolder, features: int) -> list[pl.DataFrame]:
        found = read(folder.retrieval(name))
        parts = [] if found is None else found.partition_by("prompt", maintain_order=True)
        return [traces.traced(part, features) for part in parts]

    return tables


def first_against_others(name: str) -> Callable[[RunFolder, int], list[pl.DataFrame]]:
    """The first prompt's trace set against each other's."""

    def tables(folder: RunFolder, features: int) -> list[pl.DataFrame]:
        found = read(folder.retrieval(name))
        return [] if found is None else trace_pairs.set_against(found, features)

    return tables


PLANS = (
    Plan(
        name="trace",
        section="retrieval",
        title="Which token switches on which feature",
        reading="Columns are the prompt's positions, rows the features with the highest peaks in "
        "the order in which they first fire (green edge); cells to the right in the same row are "
        "re-activations.",
        control="None was run: a trace illustrates. Rows that fire under orange and blue tokens "
        "alike speak against a special role of function tokens.",
        absent="No prompt was traced.",
        tables=each_trace("traces"),
        chart=traces.trace_heat_map,
    ),
    Plan(
        name="trace-difference",
        section="retrieval",
        title="What sets two prompts apart",
        reading="Columns are the two prompts' tokens paired off; a cell is green where the second "
        "prompt has more of the feature and purple where the first has. Colour right of the words "
        "that differ is context carried on.",
        control="Columns with equal tokens left of the first difference are the control: nothing "
        "can differ there.",
        absent="Fewer than two prompts were traced, so none were set against each other.",
        tables=first_against_others("traces"),
        chart=trace_pairs.trace_difference,
    ),
    Plan(
        name="reactivation",
        section="retrieval",
        title="Where features come back",
        reading="Every point is a feature; above the dashes, one that had been active is likelier "
        "to be active again at a function token than at a content token. The paper shows three.",
        control="Grey are the same features with their activity in each document shifted around "
        "it: how often and how long they are active stays, the tie to the tokens is cut.",
        absent="Whether features come back at function tokens was not counted.",
        tables=made_from(
            reactivation.rates_by_class, lambda folder: folder.retrieval("reactivation")
        ),
        chart=reactivation.reactivation_rates,
    ),
    Plan(
        name="reactivation-odds",
        section="retrieval",
        title="Do features come back at function tokens?",
        reading="Right of the dashes, the odds of coming back are higher at function tokens, with "
        "features as strata; adjusted, at the same lag, place in the document, rate of the feature "
        "and number of other features active.",
        control="Grey is the same for activity shifted around its document.",
        absent="No odds of coming back were estimated.",
        tables=made_from(
            reactivation.odds_in_words, lambda folder: folder.retrieval("reactivation_odds")
        ),
        chart=reactivation.reactivation_odds,
    ),
    Plan(
        name="steering-gain",
        section="retrieval",
        title="Does the model follow the feature?",
        reading="Further right means that the tokens which follow the feature in text became "
        "likelier when its direction was added at the last function token.",
        control="Grey is a random direction of the same norm at the same place: what any push "
        "of that size does.",
        absent="No feature was steered.",
        tables=made_from(steering.gains, lambda folder: folder.retrieval("steering")),
        chart=steering.steering_gain,
    ),
)
