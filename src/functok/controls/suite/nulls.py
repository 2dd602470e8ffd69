"""The null models of degree: permuted labels, and independent tokens and features."""

from functok.controls.control import NO_STORE, Result
from functok.controls.inputs import Inputs
from functok.controls.nulls.hubs import hubs
from functok.controls.nulls.permutation import permuted
from functok.controls.nulls.poisson import poisson


def shuffled_labels(given: Inputs) -> Result:
    """Hub index of every token, labels permuted over the whole corpus."""
    found = hubs(given.subject)
    return Result({"hubs": found.tokens, "hub_gaps": found.gaps})


def shuffled_within(given: Inputs) -> Result:
    """The same within each document, and within each tenth of a document."""
    document, place = permuted(given.subject, "document"), permuted(given.subject, "place")
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
    """Observed edges, and those expected if tokens and features were independent."""
    found = poisson(given.subject, given.unit)
    return Result(
        {
            "poisson_tokens": found.tokens,
            "poisson_sides": found.sides,
            "specific_edges": found.specific,
        }
    )
