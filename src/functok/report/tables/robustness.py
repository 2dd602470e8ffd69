"""Robustness of the answer: other models and texts, other choices, other features.

Three blocks of the section on frequency, each a sentence and its table: the baselines
(``controls/baselines``), the specification curve (``controls/specification``) and the kinds of
features (``controls/features``). A block is left out if its control was not run.
"""

from collections.abc import Callable
from pathlib import Path

import polars as pl

from functok.controls.specification.curve import ALL, SEPARABLE
from functok.figures.plan import read
from functok.report.markup import (
    escaped,
    folded,
    interval,
    number,
    paragraphs,
    percent,
    table,
)
from functok.runtime.store import control_table

_READS = {
    "no gap": "the trained model has no gap between the classes",
    "undecided": "a baseline that is needed to decide is missing",
    "slot": "the gap is explained by the slot, not by the class",
    "architecture or tokeniser": "an untrained model also has the gap",
    "token identity": "the gap remains in shuffled text, so it comes from the tokens themselves",
    "partly learned": "an untrained model has part of the gap; training has changed it",
    "learned": "the gap is learned in training",
}
_EFFECTS = {
    "coverage": "coverage at equal positions",
    "class": "effect of class at equal exposure",
    "total": "effect of class given frequency",
    "direct": "effect of class given context",
}
_DEFINITIONS = {ALL: "all", SEPARABLE: "by form"}
_AXES = {
    "sae": "the SAE",
    "layer": "the layer",
    "rule": "when a feature is active",
    "exclusion": "which features are excluded",
    "definition": "what counts as function",
    "unit": "the unit of exposure",
    "exposure": "the number of exposures",
}


def elsewhere(graph: Path) -> str:
    """The blocks about a graph, as HTML."""

    def control(name: str) -> pl.DataFrame | None:
        return read(control_table(graph, name))

    return learned(control) + choices(control) + kinds(control)


def learned(control: Callable[[str], pl.DataFrame | None]) -> str:
    """The trained model compared with untrained models, shuffled text and frozen SAEs."""
    compared, apart, read_as = map(
        control, ("compared", "baseline_differences", "baseline_readings")
    )
    if compared is None or apart is None or read_as is None:
        return ""
    main = compared["reading"].item()
    said = read_as.filter(reading=main)["explanation"].item()
    rows = apart.filter(pl.col("reading") == main, pl.col("value").is_not_null())
    described = control("baselines")
    if described is not None:
        rows = rows.join(described, on="baseline", how="left", maintain_order="left")
    titles = {"control": "its gap", "value": "difference", "p_value": "p", "l0": "its L0"}
    titles |= {"explained_variance": "explained", "spearman": "ρ of degree"}
    columns = "baseline trained control value low high p_value l0 explained_variance spearman"
    return f"<h3>Is it learned?</h3><p>Taken together: {escaped(_READS[said])}.</p>" + folded(
        "<b>Every baseline in numbers</b>",
        "<p>A gap is the log ratio of features at equal exposure and frequency, function to "
        "content types; each row compares the trained model's gap with that of a baseline. The "
        "last columns describe the baseline: its L0, the variance that its SAE explains, and "
        "Spearman's ρ of degree and frequency.</p>" + table(rows, columns, titles),
    )


def choices(control: Callable[[str], pl.DataFrame | None]) -> str:
    """The specification curve in numbers, its joint test, and what could not be varied."""
    summary, shares = control("specification_summary"), control("specification_axes")
    if summary is None:
        return ""
    shown = summary.filter(pl.col("definition").is_in(list(_DEFINITIONS)))
    columns = "effect definition specifications median lowest highest same_sign above below"
    titles = {"definition": "definitions", "specifications": "choices"}
    titles |= {"above": "above 0", "below": "below 0"}
    formats = {str(name): percent for name in ("same_sign", "above", "below")}
    left = control("specification_missing")
    absent = [] if left is None else left.rows()
    reasons = [f"The same in all of them: {_AXES[axis]}. {reason}" for axis, reason in absent]
    rows = shown.with_columns(
        pl.col("effect").replace(_EFFECTS), pl.col("definition").replace(_DEFINITIONS)
    )
    return (
        "<h3>Under other choices</h3>"
        f"<p>{escaped(' '.join(_said(row, shares) for row in _whole(summary)))}</p>"
        + folded(
            "<b>All choices in numbers</b>",
            "<p>Above and below 0 refer to whole intervals. Specifications share their data, so "
            "these shares are not votes; p comes from one permutation test for the whole curve.</p>"
            + table(rows, f"{columns} p_median p_sign", titles, formats)
            + paragraphs(reasons),
        )
    )


def _whole(summary: pl.DataFrame) -> list[dict]:
    return summary.filter(pl.col("definition") == ALL).to_dicts()


def _said(row: dict, shares: pl.DataFrame | None) -> str:
    sentence = (
        f"{_EFFECTS[row['effect']].capitalize()}: over {row['specifications']:,d} specifications "
        f"the median log ratio is {number(row['median'])}, from {number(row['lowest'])} to "
        f"{number(row['highest'])}; {percent(row['same_sign'])} have the same sign"
    )
    mine = None if shares is None else shares.filter(effect=row["effect"]).sort("share")
    if mine is None or mine.is_empty():
        return sentence + "."
    most = mine.row(-1, named=True)
    share = percent(most["share"])
    return f"{sentence}, and {_AXES[most['axis']]} matters most ({share} of their variance)."


def kinds(control: Callable[[str], pl.DataFrame | None]) -> str:
    """Kinds of features, and the effect of class without single-token features."""
    found, context = control("feature_kinds"), control("context_effects")
    if found is None:
        return ""
    share = {row["kind"]: row for row in found.to_dicts()}
    token = share.get("token")
    said = [] if token is None else [
        f"{percent(token['share'])} of the features that fire only identify a token (95 %: "
        f"{percent(token['share_low'])} to {percent(token['share_high'])}); they account for "
        f"{percent(token['firings'])} of all firings."
    ]  # fmt: skip
    compared = control("compared")
    if context is not None and compared is not None:
        again = context.filter(control="factorial", reading=compared["reading"].item()).to_dicts()
        said += [
            "Without them, the effect of class at equal exposure is "
            f"{interval(row['value'], row['low'], row['high'])}."
            for row in again
        ]
    return f"<h3>Token features and others</h3><p>{escaped(' '.join(said))}</p>" if said else ""
