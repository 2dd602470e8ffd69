"""The controls of degree and richness as the suite runs them: from counts, and by draws."""

from functok.claims.evidence import Evidence, as_columns
from functok.controls.control import NO_STORE, Result
from functok.controls.inputs import Inputs
from functok.controls.nulls.hubs import hubs
from functok.controls.nulls.permutation import dealt
from functok.controls.nulls.poisson import poisson
from functok.controls.positions.exposure import equal_exposure, exposure_effect
from functok.richness.curves import path_table
from functok.richness.tables import richness


def equal_positions(given: Inputs) -> Result:
    """Coverage of function positions beside as many positions of each reference; P1."""
    found = equal_exposure(given.subject)
    tables = {"exposure": found.coverage, "exposure_curve": found.curve}
    effect = exposure_effect(found, given.main.reading)
    if effect is None:
        return Result(tables)
    documents = int(given.subject.graph.token_occurrences.any(1).sum())
    test = Evidence(
        test="P1",
        statistic=f"share of the active features that function positions ({effect.reading}) reach",
        measured=effect.covered,
        measured_low=float("nan"),
        measured_high=float("nan"),
        control="as many random positions of each document",
        control_value=effect.expected,
        effect_name="log ratio of the two",
        **as_columns("effect", effect.effect),
        p_value=effect.p_value,
        unit="hash groups of documents",
        units=documents,
        seed=given.subject.seed,
    )
    return Result(tables, (test,))


def accumulated(given: Inputs) -> Result:
    """Richness of every token at equal exposure and at equal sample coverage."""
    found = richness(given.subject)
    paths = {}
    if given.exposure is not None:
        paths["richness_paths"] = path_table(given.histograms, given.sides, given.exposure)
    return Result(
        {
            **paths,
            "richness": found.tokens,
            "richness_curves": found.curves,
            "richness_groups": found.groups,
            "richness_differences": found.differences,
        }
    )


def shuffled_labels(given: Inputs) -> Result:
    """Hub index of every token, its label dealt out over the whole corpus."""
    found = hubs(given.subject)
    return Result({"hubs": found.tokens, "hub_gaps": found.gaps})


def shuffled_within(given: Inputs) -> Result:
    """The same within each document, and within each tenth of a document."""
    document, place = dealt(given.subject, "document"), dealt(given.subject, "place")
    if document is None or place is None:
        return Result(absent=NO_STORE)
    return Result(
        {
            "hubs_in_document": document.tokens,
            "hub_gaps_in_document": document.gaps,
            "hubs_in_place": place.tokens,
            "hub_gaps_in_place": place.gaps,
        }
    )


def independent(given: Inputs) -> Result:
    """Edges beside those that tokens and features independent of one another would have."""
    found = poisson(given.subject, given.unit)
    return Result(
        {
            "poisson_tokens": found.tokens,
            "poisson_sides": found.sides,
            "specific_edges": found.specific,
        }
    )
