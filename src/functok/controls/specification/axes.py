"""Choices that another author might have made: the axes of the specification curve.

==============  ================================================================================
axis            levels
==============  ================================================================================
``sae``         this SAE, and any others of the same model on the same text: of another seed
                (``controls/baselines``), or another of the study, by its name: of another width,
                L0 or layer
``rule``        when a feature is active (``graph/activity.py``); all but ``positive`` need the
                occurrence store
``exclusion``   every feature; without the dense; without those that only name a token
                (kind ``token`` in ``features/kinds.py``)
``definition``  every reading of "function" (``graph/contrasts.py``), and the most frequent tokens
                that cover another share of the positions
``unit``        documents, occurrences
``exposure``    n₀ of the richness
==============  ================================================================================

A rule under which the same activations count as under ``positive`` would be the same choice twice,
and is left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from functok.controls.features.kinds import features
from functok.graph.activity import Rule, incidence
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.contrasts import STUDIED, Sides, by_threshold, readings
from functok.graph.labelled import LabelledGraph

RULES = (
    Rule("positive"),
    Rule("quantile", 0.5),
    Rule("quantile", 0.9),
    Rule("of_max", 0.1),
    Rule("of_max", 0.5),
    Rule("largest", 1.0),
    Rule("largest", 4.0),
)
"""A selection of the rules of ``graph/activity.py``, weaker and stronger ones of each kind."""
COVERAGES = (0.2, 0.6)
"""Of further definitions by frequency."""
DENSE = 0.1
"""Share of the positions above which a feature is dense."""
APART = 0.1
"""Share by which one L0 differs from another that is meant to be the same."""
THIS = "this one"
"""The SAE of the graph itself."""


class Chosen(NamedTuple):
    """A graph under one choice of SAE, rule and exclusion."""

    sae: str
    layer: str
    rule: str
    exclusion: str
    graph: TokenFeatureGraph


def axis_choices(
    subject: LabelledGraph, others: Mapping[str, TokenFeatureGraph]
) -> Iterator[Chosen]:
    """Every choice that the graphs allow; ``others`` are of the same model and text."""
    for sae, graph in {THIS: subject.graph, **others}.items():
        hook = str(graph.meta.get("hook", ""))
        about = features(replace(subject, graph=graph)).features
        exclusions = {
            "every feature": np.zeros(0, np.int64),
            "without dense": np.flatnonzero(graph.activity.sum(0) > DENSE * graph.positions),
            "without token identity": about["feature"].to_numpy()[about["kind"] == "token"],
        }
        active = int(graph.activity.sum())
        for rule in RULES if has_store(graph) else RULES[:1]:
            ruled = incidence(graph, rule)
            if rule.name != "positive" and int(ruled.activity.sum()) == active:
                continue
            for exclusion, left_out in exclusions.items():
                if len(left_out) or exclusion == "every feature":
                    yield Chosen(sae, hook, named(rule), exclusion, ruled.without(left_out))


def named(rule: Rule) -> str:
    """The rule as text."""
    words = {"quantile": "upper {:.0%}", "of_max": "over {:.0%} of its maximum"}
    if rule.name in words:
        return words[rule.name].format(1 - rule.value if rule.name == "quantile" else rule.value)
    return "positive" if rule.name == "positive" else f"{rule.value:.0f} largest"


def has_store(graph: TokenFeatureGraph) -> bool:
    """Whether the activation at each occurrence was kept."""
    return graph.folder is not None and (graph.folder / "occurrences").is_dir()


def definitions(subject: LabelledGraph) -> list[Sides]:
    """The readings, and two more shares of the most frequent tokens after the study's own."""
    sides, occurrences = readings(subject), subject.graph.token_occurrences.sum(0)
    more = [by_threshold(subject.vocabulary, occurrences, share) for share in COVERAGES]
    assert sides[0].reading == STUDIED
    return [sides[0], *more, *sides[1:]]


def other_size(graph: TokenFeatureGraph, other: TokenFeatureGraph) -> bool:
    """Whether ``other`` is of another width or another L0 at the same hook point."""
    same = graph.meta.get("hook") == other.meta.get("hook")
    l0, its = float(graph.meta.get("l0", 0.0)), float(other.meta.get("l0", 0.0))
    return same and (graph.features != other.features or abs(its - l0) > APART * l0)


def missing(
    subject: LabelledGraph, others: Mapping[str, TokenFeatureGraph]
) -> Iterator[tuple[str, str]]:
    """Each axis that could not be varied, or not fully, and the reason."""
    if not others:
        yield "sae", "There is no SAE of another seed; a study trains them (controls.baselines)."
    hooks = {str(graph.meta.get("hook", "")) for graph in (subject.graph, *others.values())}
    if len(hooks) < 2:
        yield "layer", "There is a graph of one layer only; functok graph takes several."
    if not any(other_size(subject.graph, graph) for graph in others.values()):
        yield "sae", "Another width or sparsity would have to be trained."
    if not has_store(subject.graph):
        yield "rule", "Thresholds need the occurrence store; functok graph --occurrences keeps it."
    yield (
        "rule",
        "A feature's contribution relative to the residual norm needs its decoder, and its effect "
        "on the next token a backward pass; a graph holds neither.",
    )
    yield (
        "exclusion",
        "First positions and large norms are excluded while a graph is built, not afterwards.",
    )
