"""Results as tables on standard output."""

from collections.abc import Sequence

import polars as pl
from rich.console import Console
from rich.table import Table

from functok.report.findings import learned
from functok.retrieval.prompts.trace import strongest
from functok.study.run import Run

_FILES: dict[str, tuple[str, Sequence[str]]] = {
    "tokens": (
        "tokens/function_tokens.parquet",
        ("rank", "token", "subclass", "fraction", "cumulative", "document_coverage"),
    ),
    "pretrain": ("consolidation/training.parquet", ("step", "group", "loss_sum", "count")),
    "losses": (
        "consolidation/loss_summary.parquet",
        ("step", "group", "mean", "mean_low", "mean_high", "share_of_tokens", "share_of_loss"),
    ),
    "dictionaries": (
        "consolidation/dictionaries.parquet",
        ("step", "l0", "explained_variance", "ce_recovered"),
    ),
    "graph": (
        "consolidation/growth.parquet",
        ("step", "positions", "features", "features_low", "features_high", "width"),
    ),
    "coverage": (
        "graph/{last}/coverage.parquet",
        ("rank", "token", "of_active", "random", "log_ratio", "log_ratio_low", "log_ratio_high"),
    ),
    "reactivation": (
        "retrieval/reactivation_odds.parquet",
        ("trains", "estimate", "odds_ratio", "odds_ratio_low", "odds_ratio_high"),
    ),
    "claims": (
        "claims.parquet",
        ("claim", "test", "measured", "control_value", "effect_low", "effect_high", "verdict"),
    ),
    "steer": ("retrieval/steered_text.parquet", ("direction", "at", "answer")),
}
_ROWS = 20
"""Most rows shown of a long table, its last."""


def show_link(run: Run, link: str) -> None:
    """What a link left, the last rows of it, and where the whole of it lies."""
    if link == "trace":
        traces = pl.read_parquet(run.folder.retrieval("traces"))
        for (text,), table in traces.group_by("text", maintain_order=True):
            print_line(str(text))
            show_trace(table, run.study.trace.features)
        return
    if link not in _FILES:
        print_line(str(run.folder.report))
        return
    name, columns = _FILES[link]
    path = run.folder.root / name.format(last=f"step-{run.decomposed[-1].step:06d}")
    table = pl.read_parquet(path)
    first = link in ("tokens", "coverage", "claims")
    print_table((table.head(_ROWS) if first else table.tail(_ROWS)).select(columns))
    print_line(f"{len(table)} rows in {path}")


def show_trace(table: pl.DataFrame, features: int, chosen: Sequence[int] = ()) -> None:
    """For each of the strongest features, or of the chosen: the token that first fires it, and
    those after."""
    rows = []
    for feature in chosen or strongest(table, features):
        fired = table.filter(pl.col("feature") == feature).sort("position")
        again = fired.filter(~pl.col("first"))
        rows.append(
            {
                "feature": feature,
                "peak": fired["activation"].max(),
                "first at": _places(fired.filter("first")),
                "again at function tokens": _places(again.filter(pl.col("class") == "function")),
                "again at content tokens": _places(again.filter(pl.col("class") == "content")),
            }
        )
    print_table(pl.DataFrame(rows))


def show_activations(table: pl.DataFrame, features: Sequence[int]) -> None:
    """Token by token the activation of each feature, nothing where it does not fire."""
    shown = table.unique("position").sort("position").select("position", "token", "class")
    for feature in features:
        one = table.filter(pl.col("feature") == feature)
        one = one.select("position", pl.col("activation").alias(str(feature)))
        shown = shown.join(one, on="position", how="left", maintain_order="left")
    print_table(shown)


def _places(fired: pl.DataFrame) -> str:
    pairs = zip(fired["token"], fired["position"], strict=True)
    return " ".join(f"{token}@{position}" for token, position in pairs)


def show_findings(run: Run) -> None:
    """The claims with their verdicts, what explains the degree of function tokens, whether the
    model learned, and the report's path."""
    claims = pl.read_parquet(run.folder.claims)
    rows = claims.group_by("claim", maintain_order=True).agg(
        pl.col("statement").first(),
        pl.col("measured").drop_nulls().first(),
        pl.col("control_value").drop_nulls().first().alias("control"),
        pl.col("verdict").first(),
    )
    print_table(rows.drop("claim"), blank="not run")
    account, reason = claims.select("explanation", "reason").drop_nulls().row(0)
    print_line(f"Explanation of the degree: {account}. {reason}")
    print_line(learned(run.folder))
    print_line(f"Report: {run.folder.report}")


def print_table(table: pl.DataFrame, blank: str = "") -> None:
    """Any table; numbers in four digits."""
    drawn = Table(*table.columns, box=None, header_style="bold", pad_edge=False)
    for name, kind in table.schema.items():
        if kind.is_numeric():
            drawn.columns[table.columns.index(name)].justify = "right"
    for row in table.iter_rows():
        drawn.add_row(*(_cell(value, blank) for value in row))
    Console(markup=False, highlight=False, emoji=False).print(drawn)


def print_line(text: str) -> None:
    """One line of text, nothing in it interpreted."""
    Console(markup=False, highlight=False, emoji=False, soft_wrap=True).print(text)


def _cell(value: object, blank: str) -> str:
    if value is None:
        return blank
    return f"{value:.4g}" if isinstance(value, float) else str(value)
