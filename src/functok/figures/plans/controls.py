"""Figures of the section on frequency: what is left of the graph's claims at equal exposure."""

from functools import partial
from pathlib import Path

import polars as pl

from functok.controls.effects import effect_table
from functok.figures.charts import exposures, features, frequency, specifications
from functok.figures.plan import Plan, last_step, made_from
from functok.runtime.store import RunFolder

_ABSENT = "The controls of frequency were not run (functok controls), or the graph is too small."


def _of(name: str, folder: RunFolder) -> Path:
    return folder.control(last_step(folder) or 0, name)


def _effects(folder: RunFolder, most: int) -> list[pl.DataFrame]:
    found = effect_table(folder.graph(last_step(folder) or 0))
    return [frequency.effects(found)] if len(found) else []


_CURVES = {
    "coverage": (
        "Coverage under other choices",
        "as many positions anywhere reach",
    ),
    "class": ("What class adds, under other choices", "content types of like frequency reach"),
    "direct": (
        "What class adds beside context, under other choices",
        "content types of equal frequency, neighbours and dispersion reach",
    ),
}


def _curve(effect: str) -> Plan:
    title, reference = _CURVES[effect]
    return Plan(
        name=f"specifications-{effect}",
        section="controls",
        title=title,
        reading="A finding that is no accident of one choice has one sign along the whole curve; "
        "ticks that gather on one side of a row name the choice that decides.",
        control=f"Each effect is a log ratio to what {reference} under the same choices; 0 is what "
        "frequency alone would give.",
        absent=_ABSENT,
        tables=made_from(
            partial(specifications.specification_rows, effect=effect),
            partial(_of, "specifications"),
        ),
        chart=partial(specifications.specification_curve, title),
    )


PLANS = (
    Plan(
        name="class-effects",
        section="controls",
        title="What class adds, control by control",
        reading="Each line names what is held equal; a point right of 0 means that function types "
        "then still meet more features than content types, left of 0 fewer.",
        control="Every row is a control; the dashed line is what frequency alone would give.",
        absent=_ABSENT,
        tables=_effects,
        chart=frequency.class_effects,
    ),
    Plan(
        name="frequency-by-class",
        section="controls",
        title="Frequency and class at once",
        reading="The gap between the colours is what class adds, the slope what frequency does; "
        "as studied, function tokens are the frequent ones by definition, so a cell may be empty.",
        control="Content types of the same level of frequency, at equal exposure.",
        absent=_ABSENT,
        tables=made_from(frequency.cells, partial(_of, "factorial_cells")),
        chart=frequency.frequency_by_class,
    ),
    Plan(
        name="matched-pairs",
        section="controls",
        title="Pairs of equal frequency",
        reading="Above 0 the function type of the pair meets more features than its partner at "
        "equal exposure; the pairs furthest from 0 are named, function first.",
        control="The other half of each pair: a content type of like frequency, length and form.",
        absent=_ABSENT,
        tables=made_from(frequency.pair_points, partial(_of, "pairs")),
        chart=frequency.matched_pairs,
    ),
    Plan(
        name="common-frequencies",
        section="controls",
        title="Do both classes have the frequency?",
        reading="Where only one colour is drawn, nothing but a model's extrapolation says what the "
        "other class would do at that frequency.",
        control="None is needed: it shows how far a comparison at equal frequency can reach.",
        absent=_ABSENT,
        tables=made_from(frequency.frequencies, partial(_of, "overlap")),
        chart=frequency.common_frequencies,
    ),
    Plan(
        name="exposure-curve",
        section="controls",
        title="Coverage over k, at equal exposure",
        reading="Where the orange curve lies below another, the k most frequent tokens reach fewer "
        "features than as many positions of that kind.",
        control="As many positions anywhere, of other tokens, and with as many active features: "
        "expectations in closed form. Where every position has as many active features, the last "
        "is the first, and its line covers it.",
        absent=_ABSENT,
        tables=made_from(exposures.coverage_curve, partial(_of, "exposure_curve")),
        chart=exposures.exposure_curve,
    ),
    Plan(
        name="exposure-references",
        section="controls",
        title="As many positions of other kinds",
        reading="A point left of 0 means that the set reaches fewer features than as many "
        "positions of the kind that heads the panel; sub-classes stand below the whole classes.",
        control="Each panel is a kind of position that a set is held against.",
        absent=_ABSENT,
        tables=made_from(exposures.references, partial(_of, "exposure")),
        chart=exposures.exposure_references,
    ),
    Plan(
        name="accumulation",
        section="controls",
        title="Features by exposures",
        reading="Of two curves the higher one belongs to the richer types, at every number of "
        "exposures; a curve that only starts higher has more features at once, one that grows "
        "faster renews them.",
        control="Open-class words at as many exposures: the blue curve, the same in every panel.",
        absent=_ABSENT,
        tables=made_from(exposures.paths, partial(_of, "richness_paths")),
        chart=exposures.accumulation,
    ),
    *(_curve(effect) for effect in _CURVES),
    Plan(
        name="feature-kinds",
        section="controls",
        title="What features are about",
        reading="Green says how many features are of a kind, grey how much of the activity is "
        "theirs; a token with features of its own has a higher degree for that alone.",
        control="What as many random positions would show is taken off before a feature counts as "
        "about anything; each effect is also given without the features of one token.",
        absent=_ABSENT,
        tables=made_from(features.kind_rows, partial(_of, "feature_kinds")),
        chart=features.feature_kinds,
    ),
)
