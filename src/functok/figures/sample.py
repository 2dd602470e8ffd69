"""What stands behind a figure: how many tokens, documents, prompts, features, models and SAEs.

One place for all figures. What varies within a figure is counted in the table that is drawn, the
text in what the run folder says of it.
"""

from collections.abc import Callable

import polars as pl

from functok.figures.catalogue import Figure
from functok.figures.plan import read
from functok.figures.style import ALL_TOKENS
from functok.runtime.store import RunFolder
from functok.runtime.store.records import read_record
from functok.runtime.store.yaml_file import read_yaml

_LARGEST, _DISTINCT = pl.Expr.max, pl.Expr.n_unique
_COLUMNS: dict[str, tuple[str, Callable[[pl.Expr], pl.Expr]]] = {
    "prompts": ("prompt", _LARGEST),
    "prompt": ("prompt", _DISTINCT),
    "documents": ("document", _LARGEST),
    "feature": ("feature", _DISTINCT),
    "sae": ("SAE", _DISTINCT),
}
"""Columns that say how many there are of something: its name, and how it is counted."""
_OF_SAE = ("graph", "controls", "retrieval")


def sample(figure: Figure, folder: RunFolder) -> str:
    """One sentence; empty where nothing is known.

    Args:
        figure: of the run in ``folder``, or of one of its SAEs.
    """
    plan, table = figure.plan, figure.table
    text = _OF_PLAN.get(plan.name, _OF_SECTION.get(plan.section))
    parts = [] if text is None else text(folder, table)
    for column, (name, count) in _COLUMNS.items():
        if column in table.columns:
            found = table.select(count(pl.col(column).drop_nulls())).item()
            parts += [_many(int(found), name)] if found else []
    if plan.section in _OF_SAE and "sae" not in table.columns:
        parts.append("1 SAE")
    return f"{', '.join(parts)}." if parts else ""


def _many(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _counted(folder: RunFolder, table: pl.DataFrame) -> list[str]:
    """The text in which tokens were counted."""
    return _text(read_record(folder.counted), "tokens", "token")


def _of_graph(folder: RunFolder, table: pl.DataFrame) -> list[str]:
    """The text of the graph."""
    meta = {} if folder.judged is None else read_record(folder.judged / "meta.json")
    documents = meta.get("corpus", {}).get("documents", 0)
    return _text({"positions": meta.get("positions", 0), "documents": documents}, "positions")


def _text(found: dict, key: str, name: str = "position") -> list[str]:
    known = ((found.get(key), name), (found.get("documents"), "document"))
    said = " in ".join(_many(count, called) for count, called in known if count)
    return [said] if said else []


def _held_out(folder: RunFolder, table: pl.DataFrame) -> list[str]:
    """The held-out tokens at which losses were measured, and the checkpoints."""
    losses = read(folder.consolidation("losses"))
    if losses is None:
        return []
    last = losses.filter(pl.col("step").eq_missing(losses["step"].max()))
    tokens = f"{last['count'].sum():,} predicted tokens of held-out text"
    return [tokens, *_along(folder, losses)]


def _batches(folder: RunFolder, table: pl.DataFrame) -> list[str]:
    """The tokens of training batches."""
    tokens = table.filter(pl.col("transition") == ALL_TOKENS)["count"].sum()
    return [f"{tokens:,} predicted tokens of training batches", *_training(folder)]


def _gradients(folder: RunFolder, table: pl.DataFrame) -> list[str]:
    part = _study(folder).get("losses", {}).get("gradients")
    return [] if part is None else [f"at most {part:,} tokens of held-out text", *_training(folder)]


def _quality(folder: RunFolder, table: pl.DataFrame) -> list[str]:
    """The positions at which SAEs were measured."""
    for name in ("dictionaries", "growth"):
        found = read(folder.consolidation(name))
        if found is not None and {"positions", "step"} <= {*found.columns}:
            return [_many(int(found["positions"][-1]), "position"), *_along(folder, table)]
    return _along(folder, table)


def _along(folder: RunFolder, table: pl.DataFrame) -> list[str]:
    """How many checkpoints of how many training runs."""
    steps = table["step"].drop_nulls().n_unique() if "step" in table.columns else 0
    return [_many(steps, "checkpoint") if steps else "1 model", *_training(folder)]


def _training(folder: RunFolder) -> list[str]:
    """That a model was trained here from one seed."""
    model = _study(folder).get("model") or {}
    return ["1 training seed"] if model and model.get("load") is None else []


def _predicted(folder: RunFolder, table: pl.DataFrame) -> list[str]:
    return ["1 prompt", *_along(folder, table)]


def _pairs(folder: RunFolder, table: pl.DataFrame) -> list[str]:
    """The facts that were patched."""
    found = read(folder.retrieval("fact_pairs"))
    return [] if found is None else [f"{_many(len(found), 'prompt')} about facts"]


def _effects(folder: RunFolder, table: pl.DataFrame) -> list[str]:
    return [f"{_many(len(table), 'effect')}; the rows of each claim give their units and number"]


def _study(folder: RunFolder) -> dict:
    found = read_yaml(folder.study) if folder.study.exists() else None
    return found if isinstance(found, dict) else {}


_Text = Callable[[RunFolder, pl.DataFrame], list[str]]
_OF_SECTION: dict[str, _Text] = {
    "findings": _effects,
    "tokens": _counted,
    "graph": _of_graph,
    "controls": _of_graph,
    "consolidation": _held_out,
}
_OF_PLAN: dict[str, _Text] = {
    **dict.fromkeys(("reactivation", "reactivation-odds"), _of_graph),
    **dict.fromkeys(("patching", "knockout"), _pairs),
    **dict.fromkeys(("sae-quality", "features-firing"), _quality),
    **{"training-loss": _batches, "gradient-share": _gradients, "predictions": _predicted},
}
"""Of figures whose text is not that of their section."""
