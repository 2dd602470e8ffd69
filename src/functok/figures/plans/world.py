"""Figures of the section on the tiny world."""

from functok.figures.charts import answers, trace_pairs, traces
from functok.figures.plan import Plan, made_from
from functok.figures.plans.retrieval import each_trace, first_against_others

_ABSENT = (
    "The study has no tiny world, so nothing was traced or steered where the right answer is known."
)

PLANS = (
    Plan(
        name="world-trace",
        section="world",
        title="Which token switches on which feature",
        reading="Columns are the prompt's positions, rows the features with the highest peaks in "
        "the order in which they first fire; the two prompts differ in one word, the entity that "
        "they ask about.",
        control="None was run: a trace illustrates.",
        absent=_ABSENT,
        tables=each_trace("world_traces"),
        chart=traces.trace_heat_map,
    ),
    Plan(
        name="world-trace-difference",
        section="world",
        title="What sets two prompts apart",
        reading="Green where the second prompt has more of a feature, purple where the first has: "
        "the entity's own column, and whatever carries it to the right of there.",
        control="Columns left of the entity are the control: nothing can differ there.",
        absent=_ABSENT,
        tables=first_against_others("world_traces"),
        chart=trace_pairs.trace_difference,
    ),
    Plan(
        name="world-swaps",
        section="world",
        title="Which swap changes the answer",
        reading="Each prompt's entity or language is exchanged for another's, at the tokens named "
        "on the left; a point at 100 % means that every answer became the right one of the other "
        "prompt. Where function tokens help only when they are last, it is the place that counts.",
        control="Grey adds as many random features at equal norm; dashes are the rate at which a "
        "random answer to the same question would be right.",
        absent=_ABSENT,
        tables=made_from(answers.swaps_by_place, lambda folder: folder.retrieval("world_swaps")),
        chart=answers.swap_success,
    ),
)
