"""Is it the token's class or its position? Activation patching of the facts that are known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from functok.runtime.errors import UserError
from functok.runtime.store import read_frame
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import Step, write_tables
from functok.study.steps.causal.facts import PROMPT, excuse, facts_part
from functok.study.steps.causal.pairs import (
    EVERY,
    chosen_layers,
    drawn_pairs,
    fact_groups,
    pairs_expected,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from functok.models.language.model import Model
    from functok.retrieval.causal.patching import Patch
    from functok.study.plan.forecast import Forecast
    from functok.study.step import Shown

TABLES = (
    *("patching_positions", "patching_types", "patching_curve", "patching_classes"),
    *("patching_inside", "patching_shift", "patching_effects"),
)
_FILLERS = (
    (" the", " a", " of", " and", "the"),
    (" word", " place", " name", " thing", " city", "word"),
)


def _work(run: Run, key: str) -> None:
    import polars as pl

    from functok.retrieval.causal.inside import (
        filler_patches,
        inside_effect,
        matched_sets,
        shift,
        with_filler,
    )
    from functok.retrieval.causal.onset import onsets
    from functok.retrieval.causal.patching import every_position

    pairs, seed = drawn_pairs(run), run.study.seed
    model = run.model(run.last_trained, exact=True)
    named = facts_part(run).patching.layers
    layers, depth = chosen_layers(model, named, "facts.patching.layers")
    groups = fact_groups(pairs, seed)

    positions = _patched(run, model, pairs, every_position(pairs, layers), "Patching positions")
    last = positions.filter(pl.col("label") == "last", pl.col("direction") == "denoising")
    found = onsets(last, depth, groups, seed)

    sets, without = matched_sets(pairs, run.vocabulary, layers)
    inside = _patched(run, model, pairs, sets, "Patching inside the prompt")
    between = inside_effect(inside, seed)
    run.progress.say(f"  {without} of {len(pairs)} prompts have no function and content positions")

    longer = with_filler(pairs, fillers(run))
    fill = _patched(run, model, longer, filler_patches(longer, layers), "Patching before a filler")
    shares, moves = shift(fill, groups, ("final_class", "filler"))

    effects = pl.DataFrame(
        [
            {"effect": name, "value": one.estimate.value, "low": one.estimate.low}
            | {"high": one.estimate.high, "p_value": one.p_value, "facts": one.facts}
            for name, one in (("inside", between), ("shift", moves))
        ]
    )
    tables = (positions, found.types, found.curve, found.classes, inside, shares, effects)
    write_tables(run.folder, TABLES, tables)
    _evidence(run, found.classes, effects)


def _patched(
    run: Run, model: Model, pairs: pl.DataFrame, patches: Sequence[Patch], name: str
) -> pl.DataFrame:
    """What ``patched`` finds, with each pair's fact, frame and last token."""
    import polars as pl

    from functok.retrieval.causal.patching import DIRECTIONS, patched
    from functok.runtime.progress import ticking

    with run.progress.task(name, 2 * len(patches), "runs") as task, ticking(task):
        found = patched(model, pairs, patches, DIRECTIONS, run.resources.memory)
    about = pairs.with_row_index("row").with_columns(
        end=pl.col("ids").list.len().cast(pl.Int64) - 1
    )
    kept = ("fact", "relation", "frame", "final", "final_class", "filler", "end")
    about = about.select("row", *(column for column in kept if column in about.columns))
    table = found.join(about, on="row", maintain_order="left")
    return table.with_columns(from_end=pl.col("end") - pl.col("position")).drop("end")


def fillers(run: Run) -> Mapping[str, int]:
    """The tokens that are put after the last one.

    Raises:
        UserError: for text that is not one token, or of another class.
    """
    from functok.tokens.counting.function_tokens import CONTENT, FUNCTION

    named = facts_part(run).patching.fillers
    found = {}
    for place, (name, wanted) in enumerate((("function", FUNCTION), ("content", CONTENT))):
        for text in _FILLERS[place] if named is None else (named[place],):
            ids = run.tokenizer(text, add_special_tokens=False)["input_ids"]
            if len(ids) == 1 and run.vocabulary.classes[ids[0]] == wanted:
                found[name] = ids[0]
                break
        else:
            said = "none of the defaults is" if named is None else f"{named[place]!r} is not"
            raise UserError(
                f"facts.patching.fillers: {said} a single {name} token in this vocabulary; name "
                'one of each class, such as [" the", " word"].'
            )
    return found


def _evidence(run: Run, classes: pl.DataFrame, effects: pl.DataFrame) -> None:
    """P5, by the onset; P6, by the less favourable of its two effects."""
    import numpy as np
    import polars as pl

    from functok.claims.evidence import Evidence

    onset = classes.row(
        by_predicate=(pl.col("measure") == "onset") & (pl.col("other") == "function"), named=True
    )
    types = read_frame(run.folder.retrieval("patching_types"))
    means = dict(types.group_by("final_class").agg(pl.col("onset").drop_nans().mean()).iter_rows())
    facts = onset["facts"]
    unit = f"facts ({facts}) × last-token types"
    if not math.isfinite(onset["low"]):
        there = types.filter(pl.col("onset").is_finite())["final_class"].to_list()
        unit += (
            f" (no interval: {there.count('function')} function and {there.count('content')} "
            "content types ever hold half of the answer, and two of each are needed)"
        )
    Evidence(
        test="P5",
        statistic="depth at which half of the answer stands at the last position, content types",
        measured=means.get("content", float("nan")),
        control="function types, same facts",
        control_value=means.get("function", float("nan")),
        effect_name="difference, share of the model's depth",
        effect=onset["difference"],
        effect_low=onset["low"],
        effect_high=onset["high"],
        p_value=onset["p_value"],
        unit=unit,
        units=onset["types"],
        seed=run.study.seed,
    ).write(run.folder, facts)
    # one without an interval first: the claim needs both
    worst = effects.sort(pl.col("low").is_finite(), "low").row(0, named=True)
    Evidence(
        test="P6",
        statistic="share of the answer at function positions inside the prompt, and the share that "
        "stays at a function token when a filler follows: the less favourable of the two, here "
        f"{worst['effect']}",
        measured=worst["value"],
        control="content positions of the same number, distance and norm; content tokens",
        control_value=0.0,
        effect_name="difference, share of the total effect",
        effect=worst["value"],
        effect_low=worst["low"],
        effect_high=worst["high"],
        p_value=float(np.max(effects["p_value"].to_numpy())),
        unit="facts" if math.isfinite(worst["low"]) else _no_interval(worst),
        units=worst["facts"],
        seed=run.study.seed,
    ).write(run.folder, worst["facts"])


def _no_interval(effect: dict[str, Any]) -> str:
    """The unit of an effect that two facts were not enough for."""
    what = {
        "inside": "prompts with function and content positions of like norm between subject and "
        "last token",
        "shift": "prompts of either class whose answer moves with the subject",
    }
    return f"facts (no interval: more {what[effect['effect']]} are needed)"


def _cost(run: Run, forecast: Forecast) -> Cost:
    """Each patch runs what follows it, about half of a question through half of the layers."""
    layers = len(set(facts_part(run).patching.layers)) or forecast.probe.shape.layers // EVERY + 1
    patches = 2 * pairs_expected(run) * layers * (PROMPT + 2 + 2 * 2)
    return forecast.loading() + forecast.passes(patches * PROMPT / 4)


def _settings(run: Run) -> Any:
    part = facts_part(run)
    return part.patched, part.patching.model_dump()


def _shows(run: Run) -> Shown:
    """Onsets by class, what stands inside the prompt, and what moves on to a filler."""
    import polars as pl

    types = read_frame(run.folder.retrieval("patching_types"))
    yield "Depth at which half of the answer has reached the last position (share of layers)"
    yield types.group_by("final_class", maintain_order=True).agg(
        pl.len().alias("types"),
        pl.col("facts").sum().alias("prompts"),
        pl.col("onset").drop_nans().mean(),
    )
    yield read_frame(run.folder.retrieval("patching_classes"))
    yield "\nFunction minus content: inside the prompt, and what stays when a filler follows"
    yield read_frame(run.folder.retrieval("patching_effects"))
    yield f"Every position and layer: {run.folder.retrieval('patching_positions')}"


PATCHING = Step(
    name="patching",
    title="Patching activations",
    needs=("facts",),
    settings=_settings,
    work=_work,
    runs_model=True,
    tables=TABLES,
    cost=_cost,
    excuse=excuse,
    evidence=("P5", "P6"),
    figures=("patching",),
    summary="Is it the last token's class or its position? Activation patching on facts.",
    shows=_shows,
)
