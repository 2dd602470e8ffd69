"""The claims, assembled from the tests alone, each with its control and verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functok.runtime.store import read_frame
from functok.study.health import health_sentences
from functok.study.opening import views
from functok.study.run import Run
from functok.study.step import Step, needs_model

if TYPE_CHECKING:
    from functok.study.step import Shown


def _work(run: Run, key: str) -> None:
    from functok.claims.verdicts import assemble
    from functok.study.health import sae_warning

    others = [seen.folder for seen in views(run)][1:]
    assemble(run.folder, sae_warning(run.folder.judged), others)


def _shows(run: Run) -> Shown:
    """Each claim with its verdict, and what explains the degree of function tokens."""
    import polars as pl

    claims = read_frame(run.folder.claims)
    rows = claims.group_by("claim", maintain_order=True).agg(
        pl.col("statement").first(),
        pl.col("measured").drop_nulls().first(),
        pl.col("control_value").drop_nulls().first().alias("control"),
        (
            pl.col("verdict")
            + pl.when(pl.col("sae_warning").is_null()).then(pl.lit("")).otherwise(pl.lit(" *"))
        )
        .first()
        .alias("verdict"),
    )
    if "sae_others" in claims.columns:
        counts = claims.filter(pl.col("sae_others") > 0).unique("claim")
        alike = pl.format("{} of {}", "sae_alike", "sae_others").alias("on other SAEs")
        rows = rows.join(
            counts.select("claim", alike), on="claim", how="left", maintain_order="left"
        )
    yield rows.drop("claim")
    if claims["sae_warning"].drop_nulls().len():
        yield "* rests on an SAE that is broken"
    if run.study.dictionaries:
        yield from health_sentences(run)
    account, reason = claims.select("explanation", "reason").drop_nulls().row(0)
    yield f"Explanation of the degree: {account}. {reason}"
    yield f"{len(claims)} tests in {run.folder.claims}"


CLAIMS = Step(
    name="claims",
    title="Assembling the claims",
    needs=("losses", "controls", "reactivation", "steer", "patching"),
    settings=lambda run: None,
    work=_work,
    leaves=lambda run: [run.folder.claims],
    excuse=needs_model,
    summary="Assemble the claims, each with its control and verdict.",
    shows=_shows,
)
