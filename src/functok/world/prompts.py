"""Questions with their right answers: every fact, in every frame, in both languages.

A prompt is a fact's sentence up to its answer. All frames have equally many words, so prompts of
any frames stack; with ``Frame.fillers`` the answer is asked one or two words later.
"""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from jaxtyping import Int

from functok.runtime.errors import require
from functok.tokens.counting.function_tokens import FUNCTION
from functok.world.generator import Passages, World
from functok.world.grammar import FRAMES
from functok.world.text import texts
from functok.world.words import FILLERS, LINKS

LATENTS = ("entity", "relation", "language")
"""What a prompt asks about, in the order of ``prompts``."""


@dataclass(frozen=True)
class Prompts:
    """Questions, one per row."""

    world: World
    ids: Int[np.ndarray, "prompts position"]
    """Words, without the separator that a model is given before them."""
    entity: Int[np.ndarray, " prompts"]
    relation: Int[np.ndarray, " prompts"]
    language: Int[np.ndarray, " prompts"]
    frame: Int[np.ndarray, " prompts"]
    """Index into ``FRAMES``."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def answer(self) -> Int[np.ndarray, " prompts"]:
        """The right next word: what the oracle is certain of."""
        return self.world.answer(self.entity, self.relation, self.language)

    def answer_had(self, **changed: Int[np.ndarray, " prompts"]) -> Int[np.ndarray, " prompts"]:
        """The right next word under do(latent = value): the truth of an intervention.

        Args:
            changed: values of ``entity``, ``relation`` or ``language``.
        """
        return self.world.answer(**{name: getattr(self, name) for name in LATENTS} | changed)

    def row_had(self, **changed: Int[np.ndarray, " prompts"]) -> Int[np.ndarray, " prompts"]:
        """The row, in ``prompts`` of the same frame, that asks the same but for ``changed``."""
        told = {name: getattr(self, name) for name in LATENTS} | changed
        settings = self.world.settings
        shape = (settings.entities, settings.relations, 2)
        return np.asarray(np.ravel_multi_index(tuple(told.values()), shape))

    def with_separator(self) -> Int[np.ndarray, "prompts position_and_one"]:
        """The rows as a model reads them: the separator (id 0) first."""
        return np.pad(self.ids, ((0, 0), (1, 0)))

    def take(self, rows: np.ndarray) -> "Prompts":
        """Some of the prompts."""
        names = ("ids", "entity", "relation", "language", "frame")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def table(self) -> pl.DataFrame:
        """Readable: text, answer, frame, entity, relation, language."""
        bounds = np.arange(len(self.ids) + 1) * self.ids.shape[1]
        flat = np.zeros(self.ids.size, np.int64)
        none = (flat, flat, flat, flat, flat, flat, flat, flat)
        passages = Passages(self.ids.ravel(), bounds, *none, self.language, self.language)
        forms = self.world.words.forms
        names = self.world.words.names[self.entity]
        return pl.DataFrame(
            {
                "text": texts(self.world.words, passages),
                "answer": [forms[word] for word in self.answer],
                "frame": [FRAMES[frame] for frame in self.frame],
                "entity": [" ".join(forms[word] for word in name) for name in names],
                "relation": [forms[word] for word in self.world.words.relations[0, self.relation]],
                "language": self.language,
            }
        )


def prompts(world: World, frame: str, fillers: tuple[str, ...] = ()) -> Prompts:
    """Every fact of the world in both languages, asked in one frame.

    Args:
        world: what is asked about.
        frame: one of ``FRAMES``.
        fillers: words between the last word of the frame and the answer (see ``FILLERS``), for
            a world whose settings have any.

    Raises:
        UserError: for a frame or a filler that there is not.
    """
    require(frame in FRAMES, f"There is no frame {frame!r}; there are {', '.join(FRAMES)}.")
    known = [word for kind in FILLERS.values() for word in kind]
    require(
        not fillers or (world.settings.fillers > 0 and set(fillers) <= set(known)),
        f"This world has no fillers {', '.join(fillers)}; set fillers above 0, and take some of "
        f"{', '.join(known)}.",
    )
    settings, words = world.settings, world.words
    every = np.indices((settings.entities, settings.relations, 2)).reshape(3, -1)
    entity, relation, language = every
    name = "link" if frame in LINKS else frame
    template = next(found for found in world.grammar.templates if found.name == name)
    columns = []
    for slot in (*template.slots[: template.slots.index("ANSWER")], *fillers):
        match slot:
            case "RELATION":
                columns.append(words.relations[language, relation])
            case "ENTITY" | "FAMILY":
                columns.append(words.names[entity, int(slot == "FAMILY")])
            case "LINK":
                columns.append(np.full(len(entity), words.id(frame)))
            case _:
                columns.append(np.full(len(entity), words.id(slot)))
    asked = np.full(len(entity), FRAMES.index(frame))
    return Prompts(world, np.stack(columns, 1), entity, relation, language, asked)


def final_class(world: World, frame: str) -> str:
    """The kind of word before the answer: ``function``, ``punctuation``, ``content``, ``relation``
    or ``entity``."""
    if frame == ",":
        return "punctuation"
    if frame in ("bare", "entity"):
        return {"bare": "relation", "entity": "entity"}[frame]
    return "function" if world.words.classes[world.words.id(frame)] == FUNCTION else "content"
