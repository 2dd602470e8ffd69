"""The faces of the features that results name: what the report shows wherever it names one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from functok.runtime.store import RunFolder, read_frame, remove_file, write_table
from functok.study.opening import views
from functok.study.run import Run
from functok.study.step import Step, needs_sae


def _work(run: Run, key: str) -> None:
    from functok.models.dictionaries.sites import placed
    from functok.retrieval.faces import faces

    models = {}
    for seen in views(run):
        tables, features = _tables(seen), _named(seen)
        if not features:
            for place in tables:
                remove_file(place)  # of other settings
            continue
        if seen.last not in models:
            models[seen.last] = seen.model(seen.last)
        sae, model = seen.sae(seen.main, seen.last), models[seen.last]
        hook = placed(sae, seen.main.layer, model, seen.main.site)
        found = faces(seen.judged, sae.dictionary, model, hook, features, run.vocabulary.shown)
        for place, table in zip(tables, found, strict=True):
            write_table(place, table.to_arrow())


def _named(seen: Run) -> list[int]:
    """The features that the results of one SAE name, ascending."""
    from functok.retrieval.prompts.trace import rows_shown
    from functok.retrieval.prompts.trace_pairs import paired

    found: set[int] = set()
    shown, place = seen.study.trace.features, seen.folder.retrieval
    if place("traces").exists():
        first, *others = read_frame(place("traces")).partition_by("prompt", maintain_order=True)
        found |= {one for trace in (first, *others) for one in rows_shown(trace, shown)}
        for other in others:
            found |= {*paired(first, other, shown)["feature"].drop_nulls()}
    if place("steering").exists():
        found |= {*read_frame(place("steering"))["feature"]}
    traits = RunFolder(seen.folder.root).retrieval("traits")
    if traits.exists():  # of all SAEs
        found |= {*read_frame(traits).drop_nulls("feature").filter(sae=seen.main.name)["feature"]}
    if place("grid").exists():
        found |= {one for part in seen.study.steer.grid.conditions for one in part.features}
    return sorted(found)


def _tables(seen: Run) -> tuple[Path, Path]:
    return seen.folder.retrieval("features"), seen.folder.retrieval("feature_contexts")


def _leaves(run: Run) -> Iterable[Path]:
    return (place for seen in views(run) for place in _tables(seen))


FEATURES = Step(
    name="features",
    title="Describing the features that results name",
    needs=("trace", "steer", "traits"),
    settings=lambda run: run.study.trace.features,
    work=_work,
    runs_model=True,
    leaves=_leaves,
    excuse=needs_sae,
)
