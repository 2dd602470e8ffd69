"""Which facts a model knows, and how that depends on the class of a prompt's last token.

Only facts that are answered in *all* of their frames can be compared between frames. That selects:
a class of frames in which fewer are answered costs more facts, so drop-out is part of the result.
"""

from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor

from functok.models.interventions.prefixes import run_continuations
from functok.models.language.capture import longest_row
from functok.models.language.model import Model, numbers
from functok.retrieval.causal.facts.asking import Asked
from functok.runtime.errors import check_name, require
from functok.runtime.progress import tick

RULES = ("top", "best")
"""When a prompt is answered: if the right token is the top of the vocabulary, or the best of its
relation's answers."""


@dataclass(frozen=True)
class Known:
    """What a model answers to prompts, and which facts it keeps."""

    prompts: pl.DataFrame
    """The columns of ``Asked.prompts`` with log_probability (nats), probability and rank (from 1)
    of the right token in the vocabulary, rank_among the relation's answers, right (by the rule)
    and kept (whether the fact is right in all frames, on both sides)."""
    rule: str

    @property
    def facts(self) -> pl.DataFrame:
        """The kept facts: fact, relation, subject, answer."""
        kept = self.prompts.filter(pl.col("kept") & (pl.col("side") == "fact"))
        return kept.select("fact", "relation", "subject", "answer").unique(maintain_order=True)

    def by_frame(self) -> pl.DataFrame:
        """Drop-out by frame.

        Returns:
            Columns relation, frame, final, final_class, facts, right, dropped (share of the facts
            not answered in this frame), alone (facts that this frame alone drops), kept.
        """
        return _dropped(self._wrong(), ["relation", "frame", "final", "final_class"])

    def by_class(self) -> pl.DataFrame:
        """Drop-out by class of the last token: all of a class's frames must be answered.

        Returns:
            Columns final_class, facts, right, dropped, alone (facts that this class alone drops),
            kept.
        """
        return _dropped(self._wrong(), ["final_class"])

    def _wrong(self) -> pl.DataFrame:
        """A row per fact and frame: both sides must be right."""
        by = ["fact", "relation", "frame"]
        ends = [pl.col("final").first(), pl.col("final_class").first()]
        sides = [pl.col("right").all(), pl.col("kept").first()]
        return self.prompts.group_by(by, maintain_order=True).agg(*ends, *sides)


@torch.no_grad()
def know(model: Model, asked: Asked, rule: str = "top", memory: int = 1 << 30) -> Known:
    """Ask ``model`` everything: one pass, in which what prompts begin with is shared.

    Args:
        rule: one of ``RULES``.
        memory: bytes that a batch may take.

    Raises:
        UserError: if a prompt is longer than the model takes, or no fact is answered in all of its
            frames.
    """
    check_name("rule", rule, RULES)
    longest, most = longest_row(model), max(map(len, asked.prompts["ids"].to_list()))
    require(
        longest is None or most <= longest,
        f"A prompt has {most} tokens but the model accepts at most {longest}; ask with fewer "
        "examples.",
    )
    found: dict[int, tuple[float, int, int]] = {}
    table = asked.prompts.with_row_index("row")
    for _, part in table.group_by("relation", "frame", maintain_order=True):
        texts = part["ids"].to_list()
        rows, answers = part["row"].to_list(), part["answer_id"].to_list()
        rivals = part["rivals"].to_list()
        for members, logits in run_continuations(model, texts, memory):
            said = numbers(logits, "logits", model.dtype).float().log_softmax(-1)
            for member, scores in zip(members, said, strict=True):
                found[rows[member]] = _judged(scores, answers[member], rivals[member])
            tick(sum(len(texts[member]) for member in members))
    scores = [found[row] for row in range(table.height)]
    names = {"log_probability": pl.Float64, "rank": pl.Int64, "rank_among": pl.Int64}
    judged = asked.prompts.hstack(pl.DataFrame(scores, schema=names, orient="row"))
    right = pl.col("rank" if rule == "top" else "rank_among") == 1
    judged = judged.with_columns(probability=pl.col("log_probability").exp(), right=right)
    judged = judged.with_columns(kept=pl.col("right").all().over("fact"))
    known = Known(judged, rule)
    best = known.by_frame().sort("right", descending=True).row(0, named=True)
    require(
        bool(judged["kept"].any()),
        f"The model answers none of the {judged['fact'].n_unique()} facts in all of their frames "
        f"(at best {best['right']} of {best['facts']}, in {best['frame']!r}); give a larger model, "
        "easier facts or fewer frames" + ("." if rule == "best" else ", or the rule 'best'."),
    )
    return known


def _judged(scores: Tensor, answer: int, rivals: list[int]) -> tuple[float, int, int]:
    """Log-probability and ranks of an answer; of equal scores the lower id comes first."""
    own = scores[answer]
    rank = 1 + int((scores > own).sum()) + int((scores[:answer] == own).sum())
    others = scores[torch.tensor(rivals, dtype=torch.long, device=scores.device)]
    before = sum(rival < answer for rival in rivals)  # they ascend
    among = 1 + int((others > own).sum()) + int((others[:before] == own).sum())
    return float(own), rank, among


def _dropped(wrong: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Per cell of ``by``, the facts that it drops, and those that no other cell does."""
    cells = wrong.group_by(["fact", *by], maintain_order=True).agg(
        pl.col("right").all(), pl.col("kept").first()
    )
    failing = (~pl.col("right")).sum().over("fact")
    cells = cells.with_columns(alone=~pl.col("right") & (failing == 1))
    return (
        cells.group_by(by, maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("facts"),
            pl.col("right", "alone", "kept").sum().cast(pl.Int64),
        )
        .with_columns(dropped=1 - pl.col("right") / pl.col("facts"))
        .select(*by, "facts", "right", "dropped", "alone", "kept")
    )
