"""What follows from the losses at each token of held-out text: tables, and rows of claims."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl

from functok.claims.definitions import repeats, repeats_table
from functok.claims.evidence import Evidence
from functok.consolidation.decomposition import (
    class_effects,
    effect_at_fixed_target,
    effects_at_fixed_target,
    shares,
)
from functok.consolidation.dominance import Dominance
from functok.consolidation.floors import Floor, refusal, unlearned
from functok.consolidation.learning import learned_first
from functok.consolidation.losses import GroupedLoss, Losses, subclass_table, target_table
from functok.consolidation.measured import Measured
from functok.consolidation.tokens.targets import loss_by_target
from functok.encoding.tokenizer import Encoded
from functok.graph.contrasts import Sides, declared_sides, definitions
from functok.tokens.vocabulary import Vocabulary

DECOMPOSED = ("decomposition", "class_effects", "target_effects")
"""Tables under each floor."""
LEARNED = "E-learned-first"
_NOT_LEARNED = "too few function and content types of one frequency were predicted and learned"


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """The losses of a model's checkpoints, with what counts as function."""

    measured: Measured
    vocabulary: Vocabulary
    sides: Sides | None = None
    """Types that are compared in when they are learned; None: the study's own, or those by form
    where these are frequency under another name."""

    @cached_property
    def tables(self) -> dict[str, pl.DataFrame]:
        """Shares at every checkpoint and effects at the last, under two floors; and the loss at the
        last by sub-class."""
        text, classes, left_out = self._counted
        kinds = self.vocabulary.subclasses
        by_kind = subclass_table(self.measured.last, text, classes, kinds, left_out)
        return self._decomposed | {"loss_subclasses": by_kind}

    def tests(self, called: Mapping[int | None, str], seed: int) -> list[Evidence]:
        """The rows of the claims.

        Args:
            called: what sentences call the checkpoint of each step.
            seed: of the study.
        """
        steps, trained = [*self.measured.losses], [step for step in self.measured.losses if step]
        first = trained[0] if len(trained) > 1 else None
        why = unlearned(self._last, self._of(self.measured.unigram))
        by_target = target_table(self.measured.last, *self._counted)
        rows = Dominance(
            last=self._last,
            called=called[steps[-1]],
            unlearned=why,
            floor=min(self._floors, key=lambda one: (one.refused is not None, one.mean)),
            same_target=effect_at_fixed_target(by_target, "content"),
            first=None if first is None else self._of(self.measured.losses[first]),
            first_called=called[first] if first else "",
            seed=seed,
        ).tests()
        learned = self._learned_first(seed)
        if learned is not None:
            rows.append(learned if why is None else learned.undecided(why))
        return rows

    def by_definition(self, called: Mapping[int | None, str], seed: int) -> pl.DataFrame:
        """The same rows under each definition of "function" (``claims/definitions.py``).

        As current and next tokens all that is not function is content; when types are learned is
        compared between both sides of the definition.
        """
        rows = []
        for one in definitions(self.vocabulary, self.measured.occurrences):
            classes = one.as_classes(self.vocabulary.classes)
            vocabulary = replace(self.vocabulary, classes=classes)
            found = replace(self, vocabulary=vocabulary, sides=one).tests(called, seed)
            tests = () if self.measured.curves is None else (LEARNED,)
            rows += repeats(one.reading, found, tests, _NOT_LEARNED)
        return repeats_table(rows, len(self.measured.text))

    def by_target(self, named: Mapping[int, str]) -> pl.DataFrame:
        """The loss by what is predicted, at every checkpoint (see ``loss_by_target``).

        Args:
            named: ids of single tokens, with what they are called.
        """
        losses, counted = self.measured.losses, self._counted
        tables = {step: target_table(found, *counted) for step, found in losses.items()}
        return loss_by_target(tables, named, self.measured.occurrences)

    def _learned_first(self, seed: int) -> Evidence | None:
        curves, occurrences = self.measured.curves, self.measured.occurrences
        if curves is None:
            return None
        sides = self.sides or declared_sides(self.vocabulary, occurrences)
        return learned_first(curves, sides, occurrences, seed)

    @cached_property
    def _decomposed(self) -> dict[str, pl.DataFrame]:
        measured, parts = self.measured, {name: list[pl.DataFrame]() for name in DECOMPOSED}
        by_step = {step: self._of(found) for step, found in measured.losses.items()}
        *_, last = by_step
        by_step[last] = self._last
        for floor in self._floors:
            found = [
                shares(one, floor.loss, None if step == last else self._last).select(
                    pl.lit(step, pl.Int64).alias("step"), pl.all()
                )
                for step, one in by_step.items()
            ]
            targets = [
                target_table(one, *self._counted)
                for one in (measured.last, measured.floors[floor.name].whole)
            ]
            tables = (
                pl.concat(found),
                class_effects(self._last, floor.loss),
                effects_at_fixed_target(*targets),
            )
            refused = pl.lit(floor.refused, pl.String)
            about = (pl.lit(floor.name).alias("floor"), refused.alias("refused"))
            for some, table in zip(parts.values(), tables, strict=True):
                some.append(table.select(*about, pl.all()))
        return {name: pl.concat(some) for name, some in parts.items()}

    @cached_property
    def _floors(self) -> list[Floor]:
        found = []
        for name, (whole, halved) in self.measured.floors.items():
            loss = self._of(whole)
            found.append(Floor(name, loss, refusal(loss, self._of(halved), self._last)))
        return found

    @cached_property
    def _last(self) -> GroupedLoss:
        return self._of(self.measured.last)

    def _of(self, losses: Losses) -> GroupedLoss:
        return GroupedLoss.of(losses, *self._counted)

    @property
    def _counted(self) -> tuple[Encoded, np.ndarray, np.ndarray]:
        return self.measured.text, self.vocabulary.classes, self.measured.left_out
