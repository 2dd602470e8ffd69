"""The controls that decide no declared test: the tables of each."""

from functok.controls.control import NO_STORE, Result
from functok.controls.inputs import Inputs
from functok.controls.nulls.hubs import hubs
from functok.controls.nulls.permutation import permuted
from functok.controls.nulls.poisson import poisson
from functok.controls.occurrences.homographs import homographs
from functok.controls.specification.curve import curve
from functok.controls.types.matching import matched
from functok.richness.curves import path_table
from functok.richness.tables import richness


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


def equally_frequent(given: Inputs) -> Result:
    richness = given.richness
    if richness is None or given.exposure is None:
        return Result(absent=given.too_short)
    subject = given.subject
    found = matched(
        subject.graph,
        richness.values,
        given.exposure,
        given.unit,
        given.sides,
        subject.vocabulary.subclasses,
        subject.vocabulary.shown,
        subject.seed,
    )
    return Result({"pairs": found.pairs, "pair_effects": found.effects})


def same_slot(given: Inputs) -> Result:
    found = given.slots
    if found is None:
        return Result(absent=NO_STORE)
    return Result({"slot_cells": found.cells, "slot_effects": found.effects})


def same_string(given: Inputs) -> Result:
    subject, store = given.subject, given.subject.occurrences
    if store is None:
        return Result(absent=NO_STORE)
    if given.labels is None:
        return Result(
            absent="The uses of one token cannot be distinguished; build the graph from a "
            "treebank's text and pass it with functok controls --treebank."
        )
    if not given.labels.occur_in(store):
        return Result(
            absent="No occurrence in the graph is one of the treebank's words; build the graph "
            "from the treebank's own text."
        )
    found = homographs(
        store, subject.graph.features, given.labels, subject.vocabulary.shown, subject.seed
    )
    return Result({"uses": found.uses, "use_pairs": found.pairs, "use_effects": found.effects})


def every_choice(given: Inputs) -> Result:
    """Every effect under every admissible choice, a summary, and what was not varied."""
    found = curve(given)
    return Result(
        {
            "specifications": found.specifications,
            "specification_summary": found.summary,
            "specification_axes": found.axes,
            "specification_missing": found.missing,
        }
    )
