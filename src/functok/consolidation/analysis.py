"""What follows from the losses at each token of held-out text: tables, and rows of claims."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from jaxtyping import Bool

from functok.claims.evidence import Evidence
from functok.consolidation.decomposition import (
    best_floor,
    class_effects,
    effects_at_fixed_target,
    shares,
)
from functok.consolidation.dominance import Dominance
from functok.consolidation.floors import (
    BIGRAM,
    ORDER_5,
    Floor,
    KneserNeyBigram,
    refusal,
    unlearned,
)
from functok.consolidation.kneser_ney import KneserNey
from functok.consolidation.learning import CHECKPOINTS, Curves, learned_first, sides_by_frequency
from functok.consolidation.losses import GroupedLoss, Losses, subclass_table, target_table
from functok.corpus.splits import half
from functok.encoding.contexts import RowFormat
from functok.encoding.documents import drawn
from functok.encoding.tokenizer import Encoded
from functok.stats import Estimate
from functok.tokens.vocabulary import Vocabulary

FITTED = 10_000_000
"""Tokens of training text that all models of n-grams but the bigram are fitted to, at most."""
DECOMPOSED = ("decomposition", "class_effects", "target_effects")
"""Tables under each floor."""


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """The losses of a model's checkpoints on held-out text."""

    train: Encoded
    """What floors are fitted to."""
    text: Encoded
    """The held-out text."""
    row_format: RowFormat
    vocabulary: Vocabulary
    left_out: Bool[np.ndarray, " tokens"]
    """Tokens of the text at which no loss counts, in addition to special ones."""
    losses: Mapping[int | None, Losses]
    """Of each checkpoint, by step in order; read several times."""

    @cached_property
    def tables(self) -> dict[str, pl.DataFrame]:
        """Shares at every checkpoint and effects at the last, under two floors; and the loss at the
        last by sub-class."""
        return self._decomposed[0] | {
            "loss_subclasses": subclass_table(
                self._last, self.text, self._classes, self.vocabulary.subclasses, self.left_out
            )
        }

    def tests(self, called: Mapping[int | None, str], seed: int) -> list[Evidence]:
        """The rows of the claims.

        Args:
            called: what sentences call the checkpoint of each step.
            seed: of the study.
        """
        steps = [*self.losses]
        grouped, last = self._grouped, self._grouped[steps[-1]]
        unigram = KneserNey.fit(self._fitted, self._classes, order=1)
        why = unlearned(last, self._of(unigram.losses(self.text, self.row_format)))
        best, _ = best_floor(self.tables["decomposition"])
        of_target = self.tables["target_effects"].filter(outcome="loss", targets="content")
        trained = [step for step in steps if step]
        first = trained[0] if len(trained) > 1 else None
        rows = Dominance(
            last=last,
            called=called[steps[-1]],
            unlearned=why,
            floor=next(floor for floor in self._decomposed[1] if floor.name == best),
            same_target=Estimate.of(of_target.row(0, named=True)),
            first=grouped[first] if first else None,
            first_called=called[first] if first else "",
            seed=seed,
        ).tests()
        learned = self._learned_first(seed)
        if learned is not None:
            rows.append(learned if why is None else learned.undecided(why))
        return rows

    def _learned_first(self, seed: int) -> Evidence | None:
        steps = [step for step in self.losses if step is not None]
        if len(steps) < CHECKPOINTS:
            return None
        known = self._classes
        occurrences = np.bincount(self.train.ids, minlength=len(known))
        sides = sides_by_frequency(known, self.vocabulary.subclasses, occurrences)
        counted = (self.text, known, self.left_out)
        curves = Curves.of({step: target_table(self.losses[step], *counted) for step in steps})
        return learned_first(curves, sides, occurrences, seed)

    @cached_property
    def _decomposed(self) -> tuple[dict[str, pl.DataFrame], list[Floor]]:
        counted = (self.text, self._classes, self.left_out)
        last = self._grouped[[*self.losses][-1]]
        parts: dict[str, list[pl.DataFrame]] = {name: [] for name in DECOMPOSED}
        floors = []
        for name, fit, text in (
            (BIGRAM, KneserNeyBigram.fit, self.train),
            (ORDER_5, KneserNey.fit, self._fitted),
        ):
            whole, less = (
                [*fit(some, self._classes).losses(self.text, self.row_format)]
                for some in (text, text.where(half(text.keys)))
            )
            loss = self._of(whole)
            floor = Floor(name, loss, refusal(loss, self._of(less), last))
            floors.append(floor)
            by_step = [
                shares(one, loss, None if one is last else last).select(
                    pl.lit(step, pl.Int64).alias("step"), pl.all()
                )
                for step, one in self._grouped.items()
            ]
            targets = (target_table(one, *counted) for one in (self._last, whole))
            tables = (
                pl.concat(by_step),
                class_effects(last, loss),
                effects_at_fixed_target(*targets),
            )
            refused = pl.lit(floor.refused, pl.String)
            about = (pl.lit(name).alias("floor"), refused.alias("refused"))
            for some, table in zip(parts.values(), tables, strict=True):
                some.append(table.select(*about, pl.all()))
        return {name: pl.concat(some) for name, some in parts.items()}, floors

    @cached_property
    def _grouped(self) -> dict[int | None, GroupedLoss]:
        return {step: self._of(found) for step, found in self.losses.items()}

    @cached_property
    def _fitted(self) -> Encoded:
        return self.train if len(self.train.ids) <= FITTED else drawn(self.train, FITTED)

    def _of(self, losses: Losses) -> GroupedLoss:
        return GroupedLoss.of(losses, self.text, self._classes, self.left_out)

    @property
    def _last(self) -> Losses:
        return self.losses[[*self.losses][-1]]

    @property
    def _classes(self) -> np.ndarray:
        return self.vocabulary.classes
