"""What the checkpoints expect after each token of the study's prompts (paper's Figure 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functok.runtime.store import read_frame
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import ROWS, Step, known, needs_model

if TYPE_CHECKING:
    from functok.study.plan.forecast import Forecast
    from functok.study.settings import Study
    from functok.study.step import Shown

_PROMPT = 32
"""Tokens of a prompt, about."""


def _work(run: Run, key: str) -> None:
    import polars as pl

    from functok.consolidation.tokens.predictions import predictions
    from functok.retrieval.prompts.trace import prompt_ids
    from functok.runtime.store import write_table

    prompts, start = run.study.losses.predictions, run.row_start.id
    read = [prompt_ids(run.tokenizer, text, run.architecture, start) for text in prompts]
    found = []
    with run.progress.task("Predictions", len(run.checkpoints), "checkpoints") as task:
        for checkpoint in run.checkpoints:
            model, step = run.model(checkpoint), pl.lit(checkpoint.step, pl.Int64)
            for number, (text, ids) in enumerate(zip(prompts, read, strict=True)):
                about = {"prompt": pl.lit(number, pl.Int64), "text": pl.lit(text), "step": step}
                found.append(predictions(model, ids, run.vocabulary).select(pl.all(), **about))
            del model  # the next takes its place in memory
            task.advance()
    table = pl.concat(found).sort("prompt", maintain_order=True)
    write_table(run.folder.consolidation("predictions"), table.to_arrow())


def _cost(run: Run, forecast: Forecast) -> Cost:
    """Every checkpoint loaded, and the prompts."""
    count, prompts = len(run.checkpoints), len(run.study.losses.predictions)
    return forecast.loading(count) + forecast.passes(count * _PROMPT * prompts)


def _excuse(study: Study) -> str | None:
    if study.losses.predictions:
        return needs_model(study)
    return (
        f"Study {study.name} names no prompts whose next tokens are predicted; list some under "
        "losses.predictions."
    )


def _shows(run: Run) -> Shown:
    """For each prompt the last checkpoint token by token, and the course of training."""
    import polars as pl

    from functok.consolidation.tokens.predictions import by_checkpoint

    table = read_frame(run.folder.consolidation("predictions"))
    columns = ("token", "class", "predicted", "predicted_class", "probability")
    for part in table.partition_by("prompt", maintain_order=True):
        yield part["text"][0]
        last = part.filter(pl.col("step").eq_missing(run.last_trained.step))
        yield known(last, *columns, "next_probability", "next_rank")
        if len(run.checkpoints) > 1:
            yield (
                "Shares of the predictions that are function tokens and that are the prompt's own "
                "next token, and the median rank of that token"
            )
            yield by_checkpoint(part).tail(ROWS)
    yield f"{len(table)} rows in {run.folder.consolidation('predictions')}"


PREDICTIONS = Step(
    name="predictions",
    title="Predicting the next tokens of prompts",
    needs=("pretrain",),
    settings=lambda run: run.study.losses.predictions,
    work=_work,
    cost=_cost,
    runs_model=True,
    leaves=lambda run: [run.folder.consolidation("predictions")],
    excuse=_excuse,
    figures=("predictions",),
    summary="The most likely next token at each token of prompts, at every checkpoint.",
    shows=_shows,
)
