"""The features of a study's own traits: the paper's App. A, on the SAE of the best layer."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functok.runtime.errors import UserError, require
from functok.runtime.store import read_frame, write_table
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import Step, needs_sae
from functok.study.steps.trace import check_chat

if TYPE_CHECKING:
    import polars as pl

    from functok.models.dictionaries import Dictionary
    from functok.retrieval.prompts.subject import Subject
    from functok.retrieval.questions import Search
    from functok.study.plan.forecast import Forecast
    from functok.study.settings import DictionaryPart, Study
    from functok.study.settings.measures import TraitPart
    from functok.study.step import Shown

_SETS = 9
"""Of features that are tried, about: the search halves those that are active."""
_TABLES = ("traits", "traits_by_layer", "traits_search", "traits_answers")


def _work(run: Run, key: str) -> None:
    """Search the feature of every trait; success by layer, each trait's and over all."""
    import polars as pl

    from functok.retrieval.steering.trait_tables import FOUND, outcome, with_intervals
    from functok.retrieval.steering.traits import NotShownError
    from functok.study.asking import subject_of

    subject, parts = subject_of(run), _parts(run)
    saes = {layer: partial(_dictionary, run, subject, part) for layer, part in parts.items()}
    rows: list[dict[str, Any]] = []
    searches: dict[str, Search] = {}
    for trait in run.study.traits:
        run.progress.say(f"  {trait.name}")
        row = {"trait": trait.name, "prompt": trait.prompt, "prompts": len(trait.tests)}
        try:
            search = _searched(run, subject, trait, saes)
        except NotShownError as error:
            rows.append(row | {"failure": str(error)})
            continue
        searches[trait.name] = search
        row |= outcome(search.scan, search.found) | {"failure": search.failure}
        if search.found is not None:
            row["sae"] = parts[search.found.layer].name
        rows.append(row)
    found = pl.DataFrame([dict.fromkeys(FOUND) | row for row in rows], schema=FOUND)
    write_table(run.folder.retrieval("traits"), with_intervals(found).to_arrow())
    _write(run, searches)


def _searched(run: Run, subject: Subject, trait: TraitPart, saes: Any) -> Search:
    """Layers and feature of one trait.

    Raises:
        NotShownError: if the model does not show it on its own prompt.
        UserError: if a prompt or a layer cannot be used.
    """
    from functok.retrieval.prompts.judging import judge
    from functok.retrieval.questions import feature_of_trait

    return feature_of_trait(
        subject,
        trait.prompt,
        trait.tests,
        judge(trait.success, trusted(run)),
        strength=trait.strength,
        threshold=trait.threshold,
        tokens=trait.generated,
        chat=trait.chat,
        layers=sorted(set(trait.layers)) or None,
        saes=saes,
        progress=run.progress,
    )


def _parts(run: Run) -> dict[int, DictionaryPart]:
    """The study's SAEs of the last checkpoint's residual stream, by the layer that each decomposes;
    of several at one layer the first.

    Raises:
        UserError: if there is none.
    """
    from functok.models.dictionaries.sites import residual_layer

    found: dict[int, DictionaryPart] = {}
    for part in run.study.dictionaries:
        if run.last not in run.decomposed(part):
            continue
        try:
            layer = residual_layer(run.hook(part, run.last))
        except UserError:
            continue  # of another site
        found.setdefault(layer, part)
    require(
        bool(found),
        "None of the study's SAEs decomposes the residual stream, where features of traits are "
        "searched for; list one that does under dictionaries, or omit traits.",
    )
    return found


def _dictionary(run: Run, subject: Subject, part: DictionaryPart) -> Dictionary:
    return subject.dictionary if part == run.main else run.sae(part, run.last).dictionary


def _write(run: Run, searches: dict[str, Search]) -> None:
    """The tables of all traits below each other; with several traits also their layers together."""
    import polars as pl

    from functok.retrieval.steering.trait_tables import by_layer, over_traits, with_intervals

    sizes = {trait.name: len(trait.tests) for trait in run.study.traits}
    tables: dict[str, list[pl.DataFrame]] = {name: [] for name in _TABLES[1:]}
    for name, search in searches.items():
        named = pl.lit(name).alias("trait")
        tables["traits_by_layer"].append(by_layer(search.scan, sizes[name]).select(named, pl.all()))
        tables["traits_answers"].append(search.answers.select(named, pl.all()))
        if search.found is not None:
            prompts = pl.lit(sizes[name], pl.Int64).alias("prompts")
            steps = search.found.steps.select(named, prompts, pl.all())
            tables["traits_search"].append(with_intervals(steps))
    layers = tables["traits_by_layer"]
    if len(layers) > 1:
        together = pl.lit(None, pl.String).alias("trait")
        layers.append(over_traits(pl.concat(layers)).select(together, pl.all()))
    for name, parts in tables.items():
        if parts:
            write_table(run.folder.retrieval(name), pl.concat(parts).to_arrow())


def _check(run: Run) -> None:
    """Refuse what cannot be searched, or judged, before anything is computed."""
    traits, part = run.study.traits, run.model_part
    check_rules(run, [trait.success for trait in traits])
    for trait in traits:
        if trait.chat:
            check_chat(run, [trait.prompt, *trait.tests])
    named = {layer for trait in traits for layer in trait.layers}
    if not named:
        return
    from functok.models.language.model import decoder_layers

    count = len(decoder_layers(run.architecture)) if part.load else part.shape.layers
    beyond = sorted(layer for layer in named if layer >= count)
    require(
        not beyond,
        f"traits: there is no layer {(beyond or [0])[0]}; the model has layers 0 to {count - 1}.",
    )


def check_rules(run: Run, rules: Iterable[str]) -> None:
    """Refuse a rule of success that says nothing, or that runs Python which nobody allowed.

    Raises:
        UserError: for the first of them.
    """
    from functok.retrieval.prompts.judging import judge

    for rule in rules:
        judge(rule, trusted(run))


def trusted(run: Run) -> list[Path]:
    """The Python files that the user allowed the study to run."""
    return [Path(file) for file in run.resources.python]


def _cost(run: Run, forecast: Forecast) -> Cost:
    """Of each trait: answers to its test prompts at each layer, and for some sets of features, with
    the vector and with a random one."""
    cost, layers = forecast.loading(), forecast.probe.shape.layers
    for trait in run.study.traits:
        tried = 1 + 2 * (len(set(trait.layers)) or layers) + 2 * _SETS
        cost += forecast.generating(tried * trait.generated, len(trait.tests))
    return cost


def _excuse(study: Study) -> str | None:
    if study.traits:
        return needs_sae(study)
    return f"Study {study.name} names no traits; list some under traits."


def _shows(run: Run) -> Shown:
    """The feature of each trait, why none was found, and how often they show their traits."""
    import polars as pl

    from functok.retrieval.steering.trait_tables import in_words

    path = run.folder.retrieval("traits")
    table = read_frame(path)
    shown = ("trait", "plain", "best_layer", "sae", "layer", "feature", "strength")
    yield table.select(*shown, "success", "control")
    for row in table.filter(pl.col("failure").is_not_null()).iter_rows(named=True):
        yield f"{row['trait']}: {row['failure']}"
    yield in_words(table)
    yield f"Features of the study's traits: {path}"


TRAITS = Step(
    name="traits",
    title="Searching for features of traits",
    needs=("graph",),
    settings=lambda run: [trait.model_dump() for trait in run.study.traits],
    work=_work,
    runs_model=True,
    check=_check,
    tables=_TABLES,
    cost=_cost,
    excuse=_excuse,
    figures=("trait-layers",),
    summary="Find the features of the study's own traits, on the SAE of the best layer.",
    shows=_shows,
)
