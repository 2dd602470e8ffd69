"""Settings that may be lowered where a study does not fit on a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from functok.runtime.progress import Silent
from functok.study.plan.probe import Probe
from functok.study.plan.words import size
from functok.study.resources import LEAST_MEMORY
from functok.study.run import Run

_LEAST = {"activations": 1000, "width": 64, "batch": 32, "tokens": 1000}


@dataclass(frozen=True)
class Change:
    """A setting that decides how much is needed."""

    key: str
    now: int
    least: int
    made: Callable[[int], Run]
    """The run with another value."""
    shown: Callable[[int], str] = "{:,}".format

    def said(self, value: int) -> str:
        """``graph.tokens 20,000 (now 60,000)``."""
        return f"{self.key} {self.shown(value)} (now {self.shown(self.now)})"


def changes(run: Run, probe: Probe) -> Iterator[Change]:
    """What may be lowered in a study, or where it runs."""
    resources, study = run.resources, run.study

    def with_memory(value: int) -> Run:
        return _like(run, resources=replace(resources, memory=value))

    yield Change("--memory", resources.memory, LEAST_MEMORY, with_memory, size)
    yield from _recipes(run, probe)
    if (tokens := study.graph.tokens) is not None:

        def with_tokens(value: int) -> Run:
            return _with(run, graph=study.graph.model_copy(update={"tokens": value}))

        yield Change("graph.tokens", tokens, _LEAST["tokens"], with_tokens)
    model = study.model
    if model is None:
        return
    if model.load is not None and run.placement.dtype not in ("bfloat16", "float16"):

        def with_dtype(value: int) -> Run:
            halved = model.model_copy(update={"dtype": "bfloat16"})
            return _with(run, model=halved) if value < 2 else _like(run)

        yield Change("model.dtype", 2, 1, with_dtype, ("", "bfloat16", "float32").__getitem__)
    elif model.load is None and not model.training.gradient_checkpointing:

        def with_checkpoints(value: int) -> Run:
            training = replace(model.training, gradient_checkpointing=value < 2)
            return _with(run, model=model.model_copy(update={"training": training}))

        key = "model.training.gradient_checkpointing"
        yield Change(key, 2, 1, with_checkpoints, ("", "true", "false").__getitem__)


def _recipes(run: Run, probe: Probe) -> Iterator[Change]:
    """The sizes of SAEs that are trained here, all of them at most so large."""
    parts = run.study.dictionaries
    recipes = {part.name: probe.recipe(part) for part in parts if part.load is None}
    for name in ("activations", "width", "batch") if recipes else ():

        def with_recipes(value: int, name: str = name) -> Run:
            smaller = {}
            for part, recipe in recipes.items():
                sizes = {name: min(getattr(recipe, name), value)}
                if name == "width":
                    sizes["k"] = min(recipe.k, value)
                smaller[part] = replace(recipe, **sizes)
            changed = (
                part.model_copy(update={"recipe": smaller.get(part.name, part.recipe)})
                for part in parts
            )
            return _with(run, dictionaries=tuple(changed))

        now = max(getattr(recipe, name) for recipe in recipes.values())
        yield Change(f"dictionaries.recipe.{name}", now, _LEAST[name], with_recipes)


def _with(run: Run, **settings: Any) -> Run:
    """A run of a study with other settings."""
    return _like(run, study=run.study.model_copy(update=settings))


def _like(run: Run, **changed: Any) -> Run:
    """A run of which nothing is said."""
    kept = {"study": run.study, "folder": run.folder, "resources": run.resources}
    return Run(**{**kept, **changed}, progress=Silent())
