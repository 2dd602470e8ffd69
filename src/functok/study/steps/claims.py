"""The claims, assembled from the tests alone, each with its verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from functok.runtime.store import read_frame
from functok.study.health import health_sentences
from functok.study.opening import views
from functok.study.run import Run
from functok.study.step import Step, needs_model

if TYPE_CHECKING:
    import polars as pl

    from functok.study.step import Shown


def _work(run: Run, key: str) -> None:
    from functok.claims.verdicts import assemble
    from functok.study.health import sae_warning

    others = [seen.folder for seen in views(run)][1:]
    assemble(run.folder, sae_warning(run.folder.judged), others)


def _shows(run: Run) -> Shown:
    """The verdict on each claim, the rows behind it, and what explains the degree."""

    claims = read_frame(run.folder.claims)
    yield _verdicts(claims)
    if claims["sae_warning"].drop_nulls().len():
        yield "* depends on a broken SAE"
    if run.study.dictionaries:
        yield from health_sentences(run)
    account, reason = claims.select("explanation", "reason").drop_nulls().row(0)
    yield f"Explanation of the degree: {account}. {reason}"
    yield from _lines(claims)
    yield f"{len(claims)} rows in {run.folder.claims}"


def answers(run: Run, tests: Sequence[str]) -> Iterator[str]:
    """What some declared tests say so far, whether the claims are assembled or not."""
    import polars as pl

    from functok.claims.verdicts import claim_rows

    return _lines(claim_rows(run.folder).filter(pl.col("test").is_in(tests)))


def _lines(claims: pl.DataFrame) -> Iterator[str]:
    """The answer of each row that was run, and which were not."""
    ran = claims["effect"].is_not_null()
    yield from map(_line, claims.filter(ran).to_dicts())
    if missing := claims.filter(~ran)["test"].to_list():
        yield f"Not run: {', '.join(missing)}."


def _line(row: dict[str, Any]) -> str:
    """What was asked, answered and measured in one row, and what it is short of.

    An effect is counted from its row's bound, so the bound is added to it again.
    """
    value, low, high = (row[f"effect{end}"] + row["bound"] for end in ("", "_low", "_high"))
    ends = f" [{low:.3g}, {high:.3g}]" if math.isfinite(low) and math.isfinite(high) else ""
    above = f" (bound: {row['bound']:g})" if row["bound"] else ""
    short = f"; {row['size']}" if row["size"] else ""
    effect = f"{value:.3g}{ends} {row['effect_unit']}{above}"
    return f"{row['test']}: {row['asks']}? {row['answer'].capitalize()}: {effect}{short}"


def _verdicts(claims: pl.DataFrame) -> pl.DataFrame:
    """One row per claim: statement, verdict, and on how many other SAEs it holds."""
    import polars as pl

    first = claims.unique("claim", keep="first", maintain_order=True)
    broken = pl.when(pl.col("sae_warning").is_null()).then(pl.lit("")).otherwise(pl.lit(" *"))
    columns = [pl.col("statement"), (pl.col("sentence") + broken).alias("verdict")]
    if "sae_others" in claims.columns:
        alike = pl.format("{} of {}", "sae_alike", "sae_others")
        columns.append(pl.when(pl.col("sae_others") > 0).then(alike).alias("on other SAEs"))
    return first.select(columns)


CLAIMS = Step(
    name="claims",
    title="Assembling the claims",
    needs=(
        *("losses", "gradients", "counterfactual", "controls", "reactivation", "steer"),
        *("placement", "patching"),
    ),
    work=_work,
    leaves=lambda run: [run.folder.claims],
    number=2,
    figures=("claims", "effects-by-layer"),
    excuse=needs_model,
    summary="Assemble the claims, each with its control and verdict.",
    shows=_shows,
)
