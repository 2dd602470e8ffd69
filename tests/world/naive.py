"""The oracle's oracle: every sentence enumerated, nothing shared with ``world/reader.py``."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import product

from functok.world.generator import World
from functok.world.grammar import Template
from functok.world.words import FILLERS, LIKES, LINKS, VERBS

Event = tuple[int, int, int]
Weighted = Iterator[tuple[tuple[int, ...], float, Event | None]]


def sentences(
    world: World, language: int, topic: int, events: list[Event], after: bool
) -> Weighted:
    """Every sentence that may come next, its probability, and the fact that it changes."""
    grammar = world.grammar
    weights = grammar.first(after)
    for template, weight in zip(grammar.templates, weights / weights.sum(), strict=True):
        if not weight:
            continue
        if not (template.states or template.changes):
            yield from _filled(world, template, float(weight), (language, topic, 0, 0, 0))
            continue
        for entity, relation, share in _asked(world, events if template.states else []):
            value = int(world.facts[entity, relation])
            for e, r, v in events:
                value = v if (e, r) == (entity, relation) else value
            others = [other for other in range(world.settings.values) if other != value]
            for told in others if template.changes else [value]:
                part = float(weight) * share / (len(others) if template.changes else 1)
                change = (entity, relation, told) if template.changes else None
                latents = (language, topic, entity, relation, told)
                for words, mass, _ in _filled(world, template, part, latents):
                    yield words, mass, change


def _asked(world: World, events: list[Event]) -> Iterator[tuple[int, int, float]]:
    settings, frequencies = world.settings, world.frequencies / world.frequencies.sum()
    afresh = 0.5 if events else 1.0
    for entity, relation in product(range(settings.entities), range(settings.relations)):
        again = sum((e, r) == (entity, relation) for e, r, _ in events) / max(len(events), 1)
        share = afresh * frequencies[entity] / settings.relations + (1 - afresh) * again
        yield entity, relation, float(share)


def _filled(world: World, template: Template, weight: float, latents: tuple[int, ...]) -> Weighted:
    """The template with its free slots filled in every way."""
    language, topic, entity, relation, value = latents
    words = world.words

    def choices(slot: str) -> list[tuple[int, float]]:
        table = {"LINK": LINKS, "LIKE": LIKES, "VERB": dict.fromkeys(VERBS, 1)}
        table |= {kind.upper(): dict.fromkeys(forms, 1) for kind, forms in FILLERS.items()}
        if slot in table:
            whole = sum(table[slot].values())
            return [(words.id(form), share / whole) for form, share in table[slot].items()]
        if slot == "NOUN":
            return [(int(noun), 1 / len(words.nouns[topic])) for noun in words.nouns[topic]]
        known = {
            "RELATION": words.relations[language, relation],
            "ENTITY": words.names[entity, 0],
            "FAMILY": words.names[entity, -1],
            "ANSWER": words.values[language, relation, value],
            "NEWS": words.values[language, relation, value],
        }
        return [(int(known[slot]) if slot in known else words.id(slot), 1.0)]

    for filling in product(*(choices(slot) for slot in template.slots)):
        mass = weight
        for _, share in filling:
            mass *= share
        yield tuple(word for word, _ in filling), mass, None


def following(world: World, words: list[int]) -> list[dict[int, float]]:
    """P(next word | words so far), before every word of a document and after the last."""
    settings = world.settings
    # P(latents, sentences so far)
    hypotheses = dict.fromkeys(product(range(2), range(settings.topics)), 1.0)
    found, prefix, events, after = [], (), [], False
    possible = {h: list(sentences(world, *h, events, after)) for h in hypotheses}
    for word in [*words, None]:
        masses: dict[int, float] = defaultdict(float)
        for latents, weight in hypotheses.items():
            for sentence, mass, _ in possible[latents]:
                if sentence[: len(prefix)] == prefix:
                    masses[sentence[len(prefix)]] += weight * mass
        whole = sum(masses.values())
        found.append({key: mass / whole for key, mass in masses.items()})
        if word is None:
            break
        prefix = (*prefix, word)
        whole_ones = {
            h: [(m, change) for s, m, change in possible[h] if s == prefix] for h in hypotheses
        }
        if any(whole_ones.values()):
            changes = {change for ones in whole_ones.values() for _, change in ones}
            events = events + [change for change in changes if change]
            hypotheses = {
                h: weight * sum(m for m, _ in whole_ones[h]) for h, weight in hypotheses.items()
            }
            after = world.words.forms[prefix[-1]] == "."
            prefix = ()
            possible = {h: list(sentences(world, *h, events, after)) for h in hypotheses}
    return found
