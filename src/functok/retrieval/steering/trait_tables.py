"""How often a trait is shown: by layer, by the feature found, and over several traits.

The units are test prompts, each answered once; intervals of shares are Wilson's, 95 %. Test prompts
of several traits count alike, whichever trait they belong to.
"""

from typing import Any

import polars as pl

from functok.retrieval.steering.traits import Trait, best_layer
from functok.runtime.errors import UserError
from functok.stats import share_interval

SHARES = ("success", "control")
"""Of test prompts with the trait's direction, and with a random one of its norm."""

FOUND = {
    **{"trait": pl.String, "prompt": pl.String, "prompts": pl.Int64, "plain": pl.Float64},
    **{"best_layer": pl.Int64, "sae": pl.String, "layer": pl.Int64, "feature": pl.Int64},
    **{"strength": pl.Float64, "success": pl.Float64, "control": pl.Float64},
    **{"control_kl": pl.Float64, "failure": pl.String},
}
"""Columns of a table with a row for each trait, but for the intervals: trait (its name), prompt,
prompts (number of test prompts), plain (share that show it unsteered), best_layer, and of the
feature found its SAE, layer, number, strength, and success and control where it is added alone;
failure: why none was found."""


def with_intervals(table: pl.DataFrame) -> pl.DataFrame:
    """``table`` with ``success_low``, ``success_high``, ``control_low`` and ``control_high``.

    Args:
        table: columns success and control (shares, or null) and prompts, their number.
    """
    for name in SHARES:
        found = [
            None if share is None else share_interval(round(share * prompts), prompts)
            for share, prompts in table.select(name, "prompts").iter_rows()
        ]
        ends = {
            f"{name}_low": [None if one is None else one.low for one in found],
            f"{name}_high": [None if one is None else one.high for one in found],
        }
        table = table.with_columns(
            pl.Series(column, values, pl.Float64) for column, values in ends.items()
        )
    return table


def by_layer(scan: pl.DataFrame, prompts: int) -> pl.DataFrame:
    """One trait's success by layer.

    Args:
        scan: see ``traits.scan_layers``.
        prompts: number of test prompts.

    Returns:
        Columns layer, prompts, plain, success, control, control_kl and the intervals.
    """
    plain = scan.filter(pl.col("step") == "plain")["success"].item()
    layers = scan.filter(pl.col("step") == "layer")
    return with_intervals(
        layers.select(
            "layer",
            pl.lit(prompts, pl.Int64).alias("prompts"),
            pl.lit(plain, pl.Float64).alias("plain"),
            *("success", "control", "control_kl"),
        )
    )


def over_traits(layers: pl.DataFrame) -> pl.DataFrame:
    """The same by layer, of the test prompts of all traits together.

    Args:
        layers: ``by_layer`` of several traits, one below the other.

    Returns:
        Its columns, control_kl null.
    """
    hits = [(pl.col(name) * pl.col("prompts")).sum() for name in ("plain", *SHARES)]
    summed = layers.group_by("layer").agg(pl.col("prompts").sum(), *hits).sort("layer")
    shares = [pl.col(name) / pl.col("prompts") for name in ("plain", *SHARES)]
    return with_intervals(
        summed.with_columns(*shares, control_kl=pl.lit(None, pl.Float64)).select(
            "layer", "prompts", "plain", *SHARES, "control_kl"
        )
    )


def outcome(scan: pl.DataFrame, found: Trait | None) -> dict[str, Any]:
    """What ``FOUND`` says of a trait's layers and of the feature found."""
    row: dict[str, Any] = {"plain": scan.filter(pl.col("step") == "plain")["success"].item()}
    try:
        row["best_layer"] = best_layer(scan)
    except UserError:
        row["best_layer"] = None  # none does better than the plain model
    if found is None:
        return row
    alone = found.steps.filter(pl.col("step") == "alone").row(0, named=True)
    return {
        **row,
        **{"layer": found.layer, "feature": found.feature, "strength": found.strength},
        **{name: alone[name] for name in (*SHARES, "control_kl")},
    }


def in_words(traits: pl.DataFrame) -> str:
    """How many traits have a feature, and how often these show them, as a sentence.

    Args:
        traits: columns ``FOUND``.
    """
    found = traits.drop_nulls("feature")
    if not len(found):
        return f"No feature was found for any of {len(traits)} traits."
    tries = int(found["prompts"].sum())
    shares = []
    for name in SHARES:
        share = share_interval(round((found[name] * found["prompts"]).sum()), tries)
        shares.append(f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}]")
    return (
        f"A feature was found for {len(found)} of {len(traits)} traits; added alone, it elicits "
        f"the trait on {shares[0]} of {tries} test prompts, a random direction of its norm on "
        f"{shares[1]}."
    )
