"""The paper's Figure 7 where every cell has a right answer: language, entity, and both together.

Prompts of one frame, all in one language, are steered at their last position towards the other
language, towards one entity, and towards both by adding the two vectors. Each is tried with

    own       features of the same prompt with that latent changed, less the prompt's
    shared    one set of features for all prompts: the mean over those of which the value is true,
              less the mean over the others (the SAE's view of a difference of means)
    random    as ``own``, with the activations given to other features, at equal norm

The paper steers with shared features alone, and with one of them at a time.
"""

import numpy as np
import polars as pl
import torch

from functok.calibration.answers import answers_under, shuffled
from functok.calibration.latents import dense
from functok.models.dictionaries import Dictionary
from functok.models.interventions.intervention import Intervention
from functok.models.language.capture import residual_stream
from functok.models.language.model import Model
from functok.world.generator import World
from functok.world.prompts import Prompts, prompts
from functok.world.words import LANGUAGES

SHARED_STRENGTH = 2.0
"""Of ``shared``: a mean over prompts is weaker than what any one of them needs."""


def answers_grid(
    model: Model,
    dictionary: Dictionary,
    layer: int,
    world: World,
    frame: str = "is",
    entity: int = 0,
    seed: int = 0,
) -> pl.DataFrame:
    """Every prompt of ``frame`` in the first language, under every condition.

    Args:
        entity: towards which prompts are steered; those about it are left out.

    Returns:
        Columns prompt (text), fact (number), condition (empty unsteered), direction (``none``,
        ``own``, ``shared``, ``random``), answer and expected (words), right. Rows are left out if
        the condition asks for the answer that the prompt already has.
    """
    every = prompts(world, frame)
    here = np.flatnonzero((every.language == 0) & (every.entity != entity))
    asked = every.take(here)
    stream = residual_stream(model, torch.from_numpy(every.with_separator()), layer)
    z = dense(dictionary, stream[:, -1:])[:, 0]
    goals = {LANGUAGES[1]: {"language": 1}, _name(world, entity): {"entity": entity}}
    alive = (z > 0).any(0)
    W_dec = dictionary.W_dec.float().cpu()
    own, shared, random = {}, {}, {}
    for name, goal in goals.items():
        changed = {key: np.full(len(asked), value) for key, value in goal.items()}
        change = z[asked.row_had(**changed)] - z[here]
        own[name] = change @ W_dec
        other = shuffled(change, alive, seed) @ W_dec
        random[name] = other * (own[name].norm(dim=1) / other.norm(dim=1))[:, None]
        ((latent, value),) = goal.items()
        true = torch.from_numpy(getattr(every, latent) == value)
        contrast = SHARED_STRENGTH * (z[true].mean(0) - z[~true].mean(0))
        shared[name] = (contrast @ W_dec).expand(len(asked), -1)
    tables = [_rows(model, layer, asked, "", "none", {}, None)]
    for together in [[name] for name in goals] + [[*goals]]:
        goal = {key: value for name in together for key, value in goals[name].items()}
        for direction, vectors in (("own", own), ("shared", shared), ("random", random)):
            added = torch.stack([vectors[name] for name in together]).sum(0)
            title = " + ".join(together)
            tables.append(_rows(model, layer, asked, title, direction, goal, added))
    return pl.concat(tables)


def _rows(
    model: Model,
    layer: int,
    asked: Prompts,
    condition: str,
    direction: str,
    goal: dict[str, int],
    added: torch.Tensor | None,
) -> pl.DataFrame:
    ids = torch.from_numpy(asked.with_separator())
    changes = [] if added is None else [Intervention(layer, ids.shape[1] - 1, added)]
    answer = answers_under(model, ids, changes)
    expected = asked.answer_had(**{key: np.full(len(asked), held) for key, held in goal.items()})
    forms = np.array(asked.world.words.forms)
    table = pl.DataFrame(
        {
            "prompt": asked.table()["text"],
            "fact": asked.entity * asked.world.settings.relations + asked.relation,
            "condition": condition,
            "direction": direction,
            "answer": forms[answer],
            "expected": forms[expected],
            "right": answer == expected,
        }
    )
    return table.filter(pl.Series((expected != asked.answer) | (added is None)))


def _name(world: World, entity: int) -> str:
    return " ".join(world.words.forms[word] for word in world.words.names[entity])
