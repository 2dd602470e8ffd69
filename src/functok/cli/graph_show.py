"""What ``functok graph`` says of an SAE before it is used, and of the graph afterwards."""

from pathlib import Path

import polars as pl

from functok.cli.show import print_line, print_table
from functok.models.dictionaries import Sae
from functok.models.dictionaries.verification import Verification
from functok.models.language.hooks import HookPoint
from functok.runtime.store import read_json


def verified_sentence(sae: Sae, hook: HookPoint, found: Verification) -> str:
    """How an SAE behaves on the probe, beside what was published."""
    said = f" (published {found.published_l0:.3g})" if found.published_l0 else ""
    variance = f" (published {found.published_variance:.3f})" if found.published_variance else ""
    return (
        f"SAE {sae.spec} at {hook.name}, on {found.positions:,} positions: "
        f"L0 {found.l0:.3g}{said}, explained variance {found.explained_variance:.3f}{variance}, "
        f"{found.silent:.1%} of {sae.dictionary.features:,} features silent."
    )


def show_graph(place: Path) -> None:
    """Coverage, scaling, and what was left out."""
    meta = read_json(place / "meta.json")
    print_table(
        pl.read_parquet(place / "coverage.parquet").select(
            "rank", "token", "of_active", "of_all", "random", "log_ratio"
        )
    )
    scaling = pl.read_parquet(place / "scaling.parquet")
    print_table(scaling.select("statistic", "value", "low", "high"))
    print_line(
        f"{meta['positions']:,} positions, L0 {meta['l0']:.3g}, {meta['features_active']:,} of "
        f"{meta['features']:,} features active, {len(meta['features_dense'])} dense "
        f"({meta['dense_means']}), {len(meta['features_left_out'])} of them left out, "
        f"{meta['massive_positions_left_out']:,} massive positions left out "
        f"({meta['massive_means']}), special tokens left out."
    )
    if meta["activations_recomputed"]:
        rate = meta["activations_changed"] / max(meta["l0"] * meta["positions"], 1)
        print_line(
            f"{meta['activations_recomputed']:,} activations near their threshold computed again "
            f"in fp32; {meta['activations_changed']:,} changed sides ({rate:.2e} of all)."
        )
    print_line(f"Graph: {place}")
