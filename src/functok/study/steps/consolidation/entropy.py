"""Which class holds the high-entropy positions and the massive ones, at the last checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functok.runtime.store import read_frame
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import Step, needs_held_out
from functok.study.steps.consolidation.losses import massive_limit, massive_point

if TYPE_CHECKING:
    from functok.study.plan.forecast import Forecast
    from functok.study.settings import Study
    from functok.study.step import Shown


def _work(run: Run, key: str) -> None:
    from functok.claims.evidence import with_intervals
    from functok.consolidation.tokens.entropy import entropies, held_by_class, massive_positions
    from functok.encoding.documents import drawn, sample_sentence
    from functok.runtime.progress import ticking
    from functok.runtime.store import write_table

    whole, classes, rows = run.encoded("held-out"), run.vocabulary.classes, run.row_format
    text = drawn(whole, run.study.losses.entropy)
    run.progress.say(f"  {sample_sentence(text, whole)}")
    point, model, massive = massive_point(run), run.model(run.last_trained), None
    limit = massive_limit(run, model, text, point)
    passes = 1 if point is None else 2
    with run.progress.task("Entropy", passes * len(text.ids), "tokens") as task, ticking(task):
        found = entropies(model, text, rows, run.resources.memory)
        if point is not None:
            massive = massive_positions(model, text, rows, point, limit)
    table = with_intervals(held_by_class(text, classes, found, massive).to_arrow(), len(text))
    write_table(run.folder.consolidation("entropy"), table)


def _cost(run: Run, forecast: Forecast) -> Cost:
    """The last checkpoint to its end, and again to the place of massive activations."""
    tokens = forecast.tokens("held-out", run.study.losses.entropy)
    deepest = forecast.probe.deepest
    cost = forecast.loading() + forecast.passes(tokens)
    return cost + forecast.passes(tokens, deepest) + forecast.probing(deepest)


def _excuse(study: Study) -> str | None:
    if study.losses.entropy is not None:
        return needs_held_out(study)
    return (
        f"Study {study.name} measures no entropy; give it held-out tokens for losses.entropy, such "
        "as 20000."
    )


def _shows(run: Run) -> Shown:
    """The shares of the high-entropy and of the massive positions, by class."""
    yield "Shares of the fifth of positions with the highest entropy, and of massive positions"
    yield read_frame(run.folder.consolidation("entropy"))


ENTROPY = Step(
    name="entropy",
    title="Measuring where the model is uncertain",
    needs=("losses",),
    settings=lambda run: run.study.losses.entropy,
    work=_work,
    cost=_cost,
    runs_model=True,
    leaves=lambda run: [run.folder.consolidation("entropy")],
    excuse=_excuse,
    summary="Which class holds the high-entropy positions and the massive activations.",
    shows=_shows,
)
