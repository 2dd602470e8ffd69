"""The tables behind the report's blocks on baselines, choices and features, small and by hand."""

import polars as pl

from figures.hostile import save
from functok.controls.specification.curve import ALL, SEPARABLE
from functok.runtime.store import RunFolder, control_table


def write_robustness(folder: RunFolder, step: int) -> None:
    apart = {"reading": "closed class", "size": 20, "function": 30, "content": 60}
    apart |= {"trained": 0.4, "trained_low": 0.3, "trained_high": 0.5}
    apart |= {"control": 0.1, "control_low": 0.05, "control_high": 0.2, "note": None}
    apart |= {"value": 0.3, "low": 0.1, "high": 0.4, "p_value": 0.02}
    rows = [apart | {"baseline": name} for name in ("reinitialised", "shuffled-document")]
    rows.append(rows[0] | {"baseline": "frozen-decoder", "value": None, "note": "too few"})
    rows.append(rows[0] | {"reading": "DET", "value": 9.0})
    save(control_table(folder.graph("main", step), "baseline_differences"), pl.DataFrame(rows))
    readings = [("closed class", "partly learned"), ("DET", "learned")]
    save(
        control_table(folder.graph("main", step), "baseline_readings"),
        pl.DataFrame(readings, ["reading", "explanation"], orient="row"),
    )
    found = {
        "baseline": "reinitialised",
        "positions": 90,
        "features": 40,
        "l0": 8.5,
        "spearman": 0.8,
    }
    save(
        control_table(folder.graph("main", step), "baselines"),
        pl.DataFrame([found | {"explained_variance": 0.75}]),
    )

    summary = {"specifications": 12, "median": -0.2, "lowest": -0.4, "highest": 0.1}
    summary |= {"same_sign": 0.75, "above": 0.0, "below": 0.5, "p_median": 0.03, "p_sign": None}
    save(
        control_table(folder.graph("main", step), "specification_summary"),
        pl.DataFrame(
            [
                {"effect": effect, "definition": definition} | summary
                for effect in ("coverage", "class", "total", "direct")
                for definition in (ALL, SEPARABLE, "DET")
            ]
        ),
    )
    axes = [("class", "rule", 7, 0.6), ("class", "unit", 2, 0.1), ("coverage", "sae", 2, 0.3)]
    save(
        control_table(folder.graph("main", step), "specification_axes"),
        pl.DataFrame(axes, ["effect", "axis", "levels", "share"], orient="row"),
    )
    missing = [("layer", "Only one layer was read.")]
    save(
        control_table(folder.graph("main", step), "specification_missing"),
        pl.DataFrame(missing, ["axis", "reason"], orient="row"),
    )

    kinds = [
        {"kind": kind, "features": count, "share": count / 40, "firings": firings}
        | {"share_low": count / 50, "share_high": count / 30}
        for kind, count, firings in (("token", 10, 0.1), ("context", 25, 0.9), ("rare", 5, 0.0))
    ]
    save(control_table(folder.graph("main", step), "feature_kinds"), pl.DataFrame(kinds))
    effect = {"control": "factorial", "effect": "2×2", "reading": "closed class", "value": -0.15}
    effect |= {"low": -0.25, "high": -0.05, "p_value": 0.01, "types": 90, "features_left_out": 10}
    save(
        control_table(folder.graph("main", step), "context_effects"),
        pl.DataFrame([effect, effect | {"reading": "DET", "value": 7.0}]),
    )
