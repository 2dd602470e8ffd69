"""The shared inputs of the controls: what is compared, at which exposure, and the richness there.

Everything is computed once, and only when a control asks for it. What the graph's folder does not
hold is None, and a control that needs it writes one sentence instead of a table.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl

from functok.controls.baselines.differences import Baselines, baselines
from functok.controls.features.kinds import FeatureSide, features
from functok.controls.occurrences.labelled import Labels
from functok.controls.occurrences.slots import Slots, next_class, next_token, slots
from functok.controls.positions.exposure import Exposure, equal_exposure
from functok.controls.types.contexts import context_table, mean_norms
from functok.controls.types.predictors import predictors
from functok.controls.types.regression import (
    DEGREE,
    RICHNESS,
    Regressions,
    complete,
    regressions,
)
from functok.encoding.tokenizer import Encoded
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.contrasts import Sides, primary, readings
from functok.graph.coverage import token_degrees
from functok.graph.labelled import LabelledGraph
from functok.richness.common_size import SIZE, common_size
from functok.richness.histograms import Histograms
from functok.richness.incidence import Unit, exposures
from functok.richness.outcomes import Outcome, decomposed, log_richness
from functok.stats import Estimate
from functok.stats.design import Predictors
from functok.tokens.grammar.subclasses import CODE

NEXT_TOKEN = "next token"
"""The matching of slots that other controls use."""


@dataclass(frozen=True)
class Inputs:
    """A graph with its classes, and whatever else is available."""

    subject: LabelledGraph
    encoded: Encoded | None = None
    """The documents that the graph was built from."""
    labels: Labels | None = None
    """The use of each occurrence, such as its part of speech."""
    unit: Unit = "documents"
    """What counts as one exposure of a token."""
    asked: int | None = None
    """Exposures at which types are compared; None: 20."""
    baselines: Mapping[str, TokenFeatureGraph] = field(default_factory=dict)
    """Graphs of other models, texts and SAEs, by name (``baselines/build.py``)."""
    alternatives: Mapping[str, TokenFeatureGraph] = field(default_factory=dict)
    """Graphs of the same model and documents by other SAEs, by name."""
    explained: Mapping[str, Estimate] = field(default_factory=dict)
    """Share of the variance that the SAE explains, of ``trained`` and of the baselines."""

    @cached_property
    def occurrences(self) -> np.ndarray:
        """Of every type."""
        return self.subject.graph.token_occurrences.sum(0)

    @cached_property
    def sides(self) -> list[Sides]:
        """Every reading of "function"."""
        return readings(self.subject)

    @cached_property
    def main(self) -> Sides:
        """The reading that the declared tests use."""
        chosen = primary(self.sides, self.occurrences)
        return next(one for one in self.sides if one.reading == chosen)

    @cached_property
    def histograms(self) -> Histograms:
        return Histograms.of(self.subject.graph, self.unit)

    @cached_property
    def exposure(self) -> int | None:
        """n₀; None if no size is reached by two types of each class."""
        if self.asked is not None:
            return self.asked
        return common_size(self.histograms, self.main)

    @cached_property
    def richness(self) -> Outcome | None:
        """log S(n₀) of every type, with and without each hash group of documents."""
        return None if self.exposure is None else log_richness(self.histograms, self.exposure)

    @cached_property
    def hill_2(self) -> Outcome | None:
        """log of the Hill number of order 2, of the types that have a richness."""
        if self.richness is None:
            return None
        parts = decomposed(self.histograms, self.richness)
        return next(one for one in parts if one.name == "hill_2")

    @cached_property
    def slots(self) -> Slots | None:
        """Types before the same next token, or the same kind; None without an occurrence store."""
        store = self.subject.occurrences
        if store is None:
            return None
        codes = np.array([CODE[name] for name in self.subject.vocabulary.subclasses])
        return slots(
            store,
            self.subject.graph.features,
            {NEXT_TOKEN: next_token, "next sub-class": next_class(codes)},
            self.main,
            self.subject.vocabulary.shown,
            self.subject.seed,
        )

    @cached_property
    def feature_side(self) -> FeatureSide:
        """What each feature is about."""
        return features(self.subject)

    @cached_property
    def predictors(self) -> Predictors:
        """What may explain a type's richness other than its class."""
        contexts = None
        if self.encoded is not None and self.exposure is not None:
            vocabulary, seed = self.subject.graph.vocabulary, self.subject.seed
            contexts = context_table(self.encoded, vocabulary, self.exposure, seed)
        return predictors(self.subject, contexts, mean_norms(self.subject))

    @cached_property
    def population(self) -> np.ndarray:
        """Which types take part in P2, P3 and P4: those with a richness and every predictor."""
        if self.richness is None:
            return np.zeros(self.subject.graph.vocabulary, bool)
        return complete(self.richness.values, self.predictors)

    @cached_property
    def positions(self) -> Exposure:
        """Coverage of the same number of positions."""
        return equal_exposure(self.subject)

    @cached_property
    def regressed(self) -> Regressions | None:
        """Class given frequency, and given context; None without a common exposure."""
        if self.richness is None or self.hill_2 is None:
            return None
        degree = token_degrees(self.subject.graph).astype(float)
        outcomes = {
            RICHNESS: self.richness.values,
            "log Hill-2": self.hill_2.values,
            DEGREE: np.log(np.where(degree > 0, degree, np.nan)),
        }
        sides = [one.among(self.population) for one in self.sides]
        chosen, seed = self.main.reading, self.subject.seed
        return regressions(outcomes, self.predictors, sides, chosen, seed, self.richness.left_out)

    @cached_property
    def differences(self) -> Baselines | None:
        """The trained model against every baseline; None where there is none."""
        if not self.baselines:
            return None
        size = self.exposure or SIZE
        slot, some = self._given_slot, self.population
        return baselines(self.subject, self.baselines, slot, self.unit, size, some)

    @property
    def _given_slot(self) -> dict[str, Estimate]:
        """The gap before the same next token, measured under the primary reading only."""
        if self.slots is None:
            return {}
        gap = self.slots.effects.row(by_predicate=pl.col("matching") == NEXT_TOKEN, named=True)
        return {self.main.reading: Estimate.of(gap)} if math.isfinite(gap["low"]) else {}

    def compared(self) -> pl.DataFrame:
        """What is compared.

        Columns: reading (of "function", primary), separation (P(a function type is more frequent
        than a content type) as the study has them), unit, exposure (n₀; null where there is none),
        function and content (types that reach it, under the primary reading).
        """
        known = np.isfinite(self.richness.values) if self.richness else self.occurrences < 0
        here = self.main.among(known)
        return pl.DataFrame(
            {
                "reading": [self.main.reading],
                "separation": [self.sides[0].separation(self.occurrences)],
                "unit": [self.unit],
                "exposure": pl.Series([self.exposure], dtype=pl.Int64),
                "function": [int(here.function.sum())],
                "content": [int(here.content.sum())],
            }
        )

    @property
    def too_short(self) -> str:
        """Why there is no common exposure."""
        common = (exposures(self.subject.graph, self.unit) >= SIZE).sum()
        return (
            f"The graph holds {common:,d} token types in {SIZE} or more {self.unit}, but not two "
            f"of each class ({self.main.reading}); it needs more text."
        )
