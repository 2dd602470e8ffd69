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
            absent="Nothing tells the uses of one token apart; a graph of a treebank's own text "
            "does, with functok controls --treebank."
        )
    if not given.labels.meet(store):
        return Result(
            absent="No occurrence in the graph is one of the treebank's words; the graph must be "
            "built from the treebank's own text."
        )
    found = homographs(store, subject.graph.features, given.labels, subject.shown, subject.seed)
    return Result({"uses": found.uses, "use_pairs": found.pairs, "use_effects": found.effects})
