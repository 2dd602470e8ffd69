"""Figures of the section on retrieval."""

import polars as pl

from functok.figures import steering, traces
from functok.figures.plan import Plan, made_from, read
from functok.store import RunFolder


def _traces(folder: RunFolder, features: int) -> list[pl.DataFrame]:
    found = read(folder.retrieval("traces"))
    if found is None:
        return []
    parts = found.partition_by("prompt", maintain_order=True)
    return [traces.traced(part, features) for part in parts]


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
        tables=_traces,
        chart=traces.trace_heat_map,
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
