"""Is it frequency? The results of the controls in words, before their figures.

The sentences are generated from the tables, by the same rule for every run: an interval above 0 is
"more", below 0 "fewer", and anything else "indistinguishable". None of them says more than the row
that it is generated from.
"""

import math

import polars as pl

from functok.claims.explanation import SEPARATED
from functok.controls.effects import effect_table
from functok.figures.plan import of_control, read
from functok.graph.contrasts import GRAMMAR, STUDIED
from functok.report.markup import (
    escaped,
    folded,
    interval,
    number,
    paragraphs,
    percent,
    table,
)
from functok.report.tables.robustness import elsewhere
from functok.runtime.store import RunFolder, read_json

WORDS = {
    STUDIED: "the study's function tokens",
    GRAMMAR: "closed-class words",
    "with punctuation": "closed-class words and punctuation",
    "part of speech": "a string's function uses",
}
"""Readings of "function" within a sentence."""


def frequency(folder: RunFolder) -> str:
    """The start of the section: the result, what was compared, every effect, and what was not run;
    empty if no control was run."""
    place = folder.judged
    compared, ran = (read(of_control(name)(folder)) for name in ("compared", "ran"))
    if place is None or compared is None or ran is None:
        return ""
    effects = effect_table(place)
    first, *others = verdict(folder, effects)
    absent = [
        f"{row['title']}: {row['absent']}"
        for row in ran.filter(pl.col("absent").is_not_null()).iter_rows(named=True)
    ]
    if folder.provenance.exists():
        unmade = read_json(folder.provenance).get("baselines_missing", {})
        absent += [f"Baseline {name}: {reason}" for name, reason in unmade.items()]
    missing = (
        folded(f"<b>Controls that could not be run.</b> {len(absent)}", paragraphs(absent))
        if absent
        else ""
    )
    return (
        f'<p class="lead"><b>{escaped(first)}</b> {escaped(" ".join(others))}</p>'
        f"<p>{escaped(basis(compared.row(0, named=True)))}</p>{_effects(effects)}"
        f"{_accounts(folder)}{elsewhere(place)}{missing}"
    )


def verdict(folder: RunFolder, effects: pl.DataFrame) -> list[str]:
    """Sentences on coverage, richness, the direct effect of class, and training."""
    said = []
    claims = read(folder.claims)
    if claims is not None and "reason" in claims.columns:
        reasons = claims["reason"].drop_nulls().head(1)  # in full among the findings
        said += [f"{reason.split('. ')[0].rstrip('.')}." for reason in reasons]
    coverage = _test(folder, "P1")
    if coverage is not None:
        said.append(
            f"Function positions reach {percent(coverage['measured'])} of the features, "
            f"{coverage['control']} {percent(coverage['control_value'])}, which is "
            + _more(coverage, "more", "less", "indistinguishable")
            + "."
        )  # fmt: skip
    total, direct = _test(folder, "P2"), _test(folder, "P3")
    if total is not None:
        said.append(
            "At equal exposure and frequency, function types reach "
            + _more(total, "fewer features than content types", "more features than content types",
                    "a number of features indistinguishable from that of content types")
            + f" ({number(total['measured'])} to {number(total['control_value'])}, log ratio "
            f"{interval(total['effect'], total['effect_low'], total['effect_high'])})."
        )  # fmt: skip
    if direct is not None:
        said.append(
            "At equal frequency, diversity of neighbours and dispersion, the effect of class is "
            + _more(direct, "negative", "positive", "indistinguishable from 0")
            + f" ({interval(direct['effect'], direct['effect_low'], direct['effect_high'])})."
        )
    learned = _test(folder, "P4")
    if learned is not None:
        said.append(
            "Compared with the same model untrained, the gap is "
            + _more(learned, "smaller", "larger", "indistinguishable")
            + f" ({interval(learned['effect'], learned['effect_low'], learned['effect_high'])})."
        )
    if not said:
        said.append(
            "Whether frequency explains it is undecided: the graph has too few token types of each "
            "class at a common exposure."
        )
    return said


def basis(compared: dict) -> str:
    """What was compared, and why."""
    exposure = compared["exposure"]
    if exposure is None:
        return (
            "No common exposure is reached by token types of both classes, so nothing is compared "
            "at equal exposure."
        )
    apart = compared["separation"]
    why = ""
    if compared["reading"] != STUDIED and apart is not None and apart >= SEPARATED:
        why = (
            f" The study's own function tokens are more frequent than its content tokens in "
            f"{percent(apart)} of all pairs, so class is confounded with frequency; the "
            "declared tests therefore use closed word classes."
        )
    return (
        f"Compared at {exposure:,d} {compared['unit']} each: {compared['function']:,d} function "
        f"types ({WORDS.get(compared['reading'], compared['reading'])}) and "
        f"{compared['content']:,d} content types.{why}"
    )


def _more(test: dict, below: str, above: str, neither: str) -> str:
    if test["effect_low"] > 0:
        return above
    return below if test["effect_high"] < 0 else neither


def _test(folder: RunFolder, name: str) -> dict | None:
    found = read(folder.test(name))
    return None if found is None else found.row(0, named=True)


def _accounts(folder: RunFolder) -> str:
    """P1 to P4 under each reading, their intervals over types and over documents alone."""
    found = read(of_control("accounts")(folder))
    if found is None:
        return ""
    rows = [
        {
            "function is": WORDS.get(row["reading"], row["reading"]),
            "test": row["test"],
            "log ratio": row["note"]
            if row["effect"] is None
            else interval(row["effect"], row["effect_low"], row["effect_high"]),
            "over documents alone": _ends(row["documents_low"], row["documents_high"]),
            "p": row["p_value"],
            "units": "–"
            if row["units"] is None
            else f"{row['units']:,} {row.get('unit', '')}".rstrip(),
        }
        for row in found.to_dicts()
    ]
    return (
        "<p>The tests that an account of the degree rests on. Types are a sample of those that a "
        "language could have; closed classes are nearly a census, so the interval over documents "
        "alone is given as well.</p>" + table(pl.DataFrame(rows, infer_schema_length=None))
    )


def _ends(low: float | None, high: float | None) -> str:
    """An interval without its value."""
    if low is None or high is None or not math.isfinite(high - low):
        return "–"
    return f"[{number(low)}, {number(high)}]"


def _effects(effects: pl.DataFrame) -> str:
    if effects.is_empty():
        return ""
    shown = effects.with_columns(pl.col("reading").replace(WORDS))
    titles = {"effect": "held equal", "reading": "function is", "value": "log ratio"}
    return folded(
        "<b>Every effect of class in numbers</b>",
        "<p>Every row is the log ratio of features, function to content types. Values above 0 "
        "support the claim that function tokens are hubs because of their class.</p>"
        + table(shown, "effect reading value low high p_value types", {**titles, "p_value": "p"}),
    )
