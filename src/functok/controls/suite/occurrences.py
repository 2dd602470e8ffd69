"""The controls that compare occurrences: equal slots, and words of two classes."""

from functok.controls.control import NO_STORE, Result
from functok.controls.inputs import Inputs
from functok.controls.occurrences.homographs import homographs


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
