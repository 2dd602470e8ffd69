"""A real model that has learned nothing, with features in random directions.

Its losses differ between transition groups by the chance of its weights, and its features name
tokens. Neither says anything of memory: every row on losses and re-activation must stay undecided.
"""

import numpy as np
import torch

from functok.calibration.planted import Row, World, rows_of
from functok.calibration.rows.text import DOCUMENTS, FORMAT, LENGTH, TYPES, Text, drawn_text
from functok.consolidation.analysis import Analysis
from functok.consolidation.losses import model_losses
from functok.consolidation.measured import Measured
from functok.corpus.splits import document_groups
from functok.graph.contrasts import declared_sides
from functok.models.dictionaries import Dictionary
from functok.models.language.model import Model
from functok.models.training import LlamaShape, new_llama
from functok.retrieval.reactivation.design import designed, following
from functok.retrieval.reactivation.effects import effects
from functok.retrieval.reactivation.odds import among
from functok.retrieval.reactivation.rows import TESTS, rows
from functok.retrieval.reactivation.screen import screened
from functok.retrieval.reactivation.trains import active_trains

WIDTH, FEATURES, ACTIVE = 32, 64, 4
SHAPE = LlamaShape(hidden_size=WIDTH, layers=1, heads=2, key_value_heads=2, intermediate_size=48)
WINDOW = 32
LOSSES = ("O-loss-hardest", "O-loss-share", "E-loss", "E-loss-target")
NAME = "untrained model"


def _said(seed: int) -> list[Row]:
    text = drawn_text(seed)
    model = new_llama(SHAPE, TYPES, LENGTH + 1, seed).eval()
    return _losses(text, model, seed) + _reactivation(text, model, seed)


def _losses(text: Text, model: Model, seed: int) -> list[Row]:
    """Half of the text stands for the training text, which floors are fitted to."""
    held_out = text.part(DOCUMENTS // 2, DOCUMENTS)
    measured = Measured(
        train=text.part(0, DOCUMENTS // 2).encoded,
        text=held_out.encoded,
        row_format=FORMAT,
        classes=text.vocabulary.classes,
        left_out=held_out.nothing,
        losses={None: [*model_losses(model, held_out.encoded, FORMAT)]},
    )
    tests = Analysis(measured=measured, vocabulary=text.vocabulary).tests({None: NAME}, seed)
    return rows_of(NAME, seed, tests)


def _reactivation(text: Text, model: Model, seed: int) -> list[Row]:
    """Features are screened on half of the documents, and compared on the others."""
    directions = torch.randn(FEATURES, WIDTH, generator=torch.Generator().manual_seed(seed))
    directions /= directions.norm(dim=1, keepdim=True)
    nothing = torch.zeros(FEATURES), torch.zeros(WIDTH)
    sae = Dictionary(directions.T.contiguous(), nothing[0], directions, nothing[1], "topk", ACTIVE)
    encoded, classes = text.encoded, text.vocabulary.classes
    trains = active_trains(model, sae, encoded, 0, FORMAT, classes)
    screening = np.arange(DOCUMENTS) < DOCUMENTS // 2
    after = following(trains, encoded, classes)
    after[~screening[encoded.document_of()]] = -1
    every = np.unique(trains.feature)
    screen = screened(model, sae, among(trains, screening), after, every, TYPES)
    features = screen.filter("predicts")["feature"].to_numpy()
    sides = declared_sides(text.vocabulary, np.bincount(encoded.ids, minlength=TYPES))
    design = designed(trains, encoded, ~screening, text.vocabulary, sides, seed)
    groups = document_groups(encoded.keys)
    place = (design.columns, design.contrasts, features, groups, WINDOW, seed)
    found = effects(among(trains, ~screening), *place)
    return rows_of(NAME, seed, rows(design, found, "features", len(features), seed))


WORLDS = (World(NAME, "it has learned nothing", _said, nothing=(*LOSSES, *TESTS)),)
