"""The tiny world's own facts: those that its text states, with the frames of its sentences."""

from collections.abc import Sequence

from functok.retrieval.causal.facts.fact import CLASSES, SLOT, Fact, FactSet, Frame
from functok.world.generator import World
from functok.world.grammar import FRAMES
from functok.world.prompts import final_class, prompts
from functok.world.words import LANGUAGES


def world_facts(world: World, frames: Sequence[str] = FRAMES) -> FactSet:
    """Every fact of ``world`` in both languages; a relation is a relation noun of one of them.

    The world's sentences hold their own frames, so its model is asked without examples.

    Args:
        frames: of ``world.grammar.FRAMES``.

    Raises:
        UserError: for a frame that there is not.
    """
    facts: list[Fact] = []
    texts: list[Frame] = []
    for frame in frames:
        says = final_class(world, frame)
        table = prompts(world, frame).table()
        for row in table.iter_rows(named=True):
            relation = f"{row['relation']} ({LANGUAGES[row['language']]})"
            text = row["text"].replace(row["entity"], SLOT)
            facts.append(Fact(relation, row["entity"], row["answer"]))
            texts.append(Frame(relation, text, says if says in CLASSES else "content"))
    return FactSet(tuple(dict.fromkeys(facts)), tuple(dict.fromkeys(texts)))
