"""Which facts stand before a prompt as examples, and which then cannot be asked.

The examples of a relation are the same before all its facts, in both runs of every pair. Neither
a fact's answer nor its counterfactual's may stand in its prompt, so facts with the answer of an
example are not asked; to lose few, examples are drawn among the facts whose answers fewest share.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from functok.retrieval.causal.facts.fact import Fact
from functok.runtime.store import fingerprint


def random_of(seed: int, *names: str) -> np.random.Generator:
    """Random numbers that follow from a seed and what they are for."""
    return np.random.default_rng(int(fingerprint(seed, *names), 16))


def with_counterfactuals(facts: Sequence[Fact]) -> list[Fact]:
    """Every fact that is asked for: those given, and those about counterfactual subjects."""
    every = [side for fact in facts for side in (fact, fact.counterfactual) if side is not None]
    return list(dict.fromkeys(Fact(one.relation, one.subject, one.answer) for one in every))


def drawn_examples(facts: Sequence[Fact], count: int, seed: int) -> list[Fact]:
    """``count`` facts of one relation with different answers; none where there are too few."""
    every = with_counterfactuals(facts)
    sharing = Counter(fact.answer for fact in every)
    order = random_of(seed, "examples", every[0].relation).permutation(len(every)).tolist()
    chosen: dict[str, Fact] = {}
    for index in sorted(order, key=lambda index: sharing[every[index].answer]):
        fact = every[index]
        subjects = {one.subject for one in chosen.values()}
        if len(chosen) < count and fact.subject not in subjects:
            chosen.setdefault(fact.answer, fact)
    return list(chosen.values()) if len(chosen) == count else []


def names_of(facts: Sequence[Fact]) -> set[str]:
    """Subjects and answers of some facts."""
    return {name for fact in facts for name in (fact.subject, fact.answer)}
