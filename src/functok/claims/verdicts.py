"""Claim → measured → control → verdict, from the files in ``tests/`` and nothing else.

The rule is the same for every claim (``docs/methods.md#verdict-rule``): a claim is decided by the
*effects* of its tests, each the comparison of a measurement with its control.

* supported      every test ran and has an interval above 0 (a primary test also p < .05 after
                 Holm's correction over all eight, where a test not run counts as p = 1);
* not supported  some test that ran has an interval below 0, or one that contains 0 and lies within
                 the claim's margin either way;
* undecided      otherwise, and always if no control was run.

A verdict that rests on a broken SAE (``models/dictionaries/health.py``) is marked, not changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import polars as pl

from functok.claims.evidence import Evidence
from functok.claims.explanation import explain
from functok.runtime.store import RunFolder, read_frame, write_table
from functok.stats import holm

PRIMARY = tuple(f"P{number}" for number in range(1, 9))
"""The primary tests, declared in advance and corrected together."""
EXPLAINED = "hubs"
"""The claim that is an explanation, by the tests of ``explanation.TESTS``."""


@dataclass(frozen=True)
class Claim:
    """One claim of the paper."""

    name: str
    section: str
    statement: str
    reported: str
    """What the paper reports for it."""
    tests: tuple[str, ...]
    """Ids of the tests that decide it."""
    margin: float = 0.05
    """Effects smaller than this are negligible (in the unit of the effect)."""
    needs_sae: bool = True
    """Whether it rests on an SAE."""


CLAIMS = (
    Claim(
        "coverage",
        "§3.1, Table 1",
        "A few function tokens reach most features.",
        "ten tokens reach 76.5 % of the features of Gemma-2-9B, layer 20; no control",
        ("E-coverage",),
    ),
    Claim(
        "hubs",
        "§3.1, Figure 5",
        "Function tokens are the hubs of the graph because of their class, not their frequency.",
        "degree falls with frequency rank on log-log axes; no control",
        ("P1", "P2", "P3", "P4"),
    ),
    Claim(
        "reactivation",
        "§3.2, Figure 6",
        "Function tokens re-activate the features that predict what comes next.",
        "three features on two prompts; no control",
        ("E-reactivation", "P5", "P6"),
    ),
    Claim(
        "steering",
        "§3.2, Figures 7 and 11",
        "Steering one feature at the last function token steers the output.",
        "examples for three features; no success rate, no control",
        ("E-steering",),
    ),
    Claim(
        "steering-class",
        "§3.2",
        "Function tokens are the better place to steer.",
        "only the last function token was steered; no control",
        ("P7",),
    ),
    Claim(
        "loss",
        "§4.2, Figure 9",
        "Predicting content after a function token is the hardest, so it dominates training.",
        "function→content 4.88 nats, content→content 3.69 (1.5B); no floor",
        ("E-loss",),
        needs_sae=False,
    ),
    Claim(
        "growth",
        "§4.1, Figure 8",
        "Pre-training grows the number of features.",
        "1,942 features at step 3,000 and 64,042 of 65,536 at step 130,000; recipe not fixed",
        ("E-growth",),
    ),
    Claim(
        "consolidation",
        "§4.2",
        "Training on function→content predictions is what consolidates memory.",
        "no causal run",
        ("P8",),
        needs_sae=False,
    ),
)


def verdict(effects: list[dict], needed: int, margin: float, adjusted: dict[str, float]) -> str:
    """The module's rule.

    Args:
        effects: rows of the tests that ran.
        needed: how many tests the claim has.
        margin: the claim's.
        adjusted: Holm's p of the primary tests.
    """
    if not effects:
        return "undecided"
    for row in effects:
        if (
            row["effect_high"] < 0
            or -margin < row["effect_low"] <= 0 <= row["effect_high"] < margin
        ):
            return "not supported"
    complete = len(effects) == needed
    above = all(row["effect_low"] > 0 for row in effects)
    corrected = all(adjusted.get(row["test"], 0.0) < 0.05 for row in effects)
    return "supported" if complete and above and corrected else "undecided"


def assemble(
    run: RunFolder, broken: str | None = None, others: Sequence[RunFolder] = ()
) -> pl.DataFrame:
    """Write and return ``claims.parquet``: one row per claim and test, unrun tests included.

    Args:
        run: where the tests are.
        broken: why the SAE that claims rest on is broken, if it is.
        others: the same folder for each other SAE of the study.

    Columns: claim, section, statement, reported, verdict, sae_warning (``broken``, for the claims
    that rest on the SAE), explanation and reason (of the degree of
    function tokens, for that claim alone: ``explanation.py``), test, kind (primary,
    exploratory), holm_p, and those of ``Evidence``, empty if the test was not run. With others also
    sae_others and sae_alike, of claims that rest on an SAE: on how many others they were measured
    (every test that ran here ran there), and on how many of these the verdict is the same.
    """
    found = _found(run)
    adjusted, verdicts = _decided(found)
    elsewhere = [(there, _decided(there)[1]) for there in map(_found, others)]
    explained = explain(found, adjusted)
    blank = {field.name: None for field in fields(Evidence) if field.name != "test"}
    rows = []
    for claim in CLAIMS:
        decided, ran = verdicts[claim.name], {*claim.tests} & {*found}
        alike = [
            other[claim.name] == decided
            for there, other in elsewhere
            if claim.needs_sae and ran and ran <= {*there}
        ]
        held = {"sae_others": len(alike), "sae_alike": sum(alike)} if others else {}
        for test in claim.tests:
            evidence = {key: value for key, value in found.get(test, {}).items() if key != "test"}
            rows.append(
                {
                    "claim": claim.name,
                    "section": claim.section,
                    "statement": claim.statement,
                    "reported": claim.reported,
                    "verdict": decided,
                    **held,
                    "sae_warning": broken if claim.needs_sae else None,
                    "explanation": explained.account if claim.name == EXPLAINED else None,
                    "reason": explained.reason if claim.name == EXPLAINED else None,
                    "test": test,
                    "kind": "primary" if test in PRIMARY else "exploratory",
                    "holm_p": adjusted.get(test),
                    **blank,
                    **evidence,
                }
            )
    table = pl.DataFrame(rows, infer_schema_length=None).cast({"sae_warning": pl.String})
    write_table(run.claims, table.to_arrow())
    return table


def beside(claim: dict[str, Any]) -> str:
    """On how many other SAEs the verdict of a row of ``claims.parquet`` holds; empty where the
    claim was measured on none."""
    count, alike = claim.get("sae_others") or 0, claim.get("sae_alike")
    return f"holds on {alike} of {count} other SAE{'s' * (count > 1)}" if count else ""


def _found(run: RunFolder) -> dict[str, dict[str, Any]]:
    """The row of each test that ran, by its name."""
    return {
        row["test"]: row
        for path in sorted(run.tests.glob("*.parquet"))
        for row in read_frame(path).to_dicts()
    }


def _decided(found: dict[str, dict[str, Any]]) -> tuple[dict[str, float], dict[str, str]]:
    """Holm's p of the primary tests of one SAE, and the verdict of each claim on it."""
    adjusted = holm({test: row["p_value"] for test, row in found.items()}, PRIMARY)
    verdicts = {}
    for claim in CLAIMS:
        ran = [found[test] for test in claim.tests if test in found]
        verdicts[claim.name] = verdict(ran, len(claim.tests), claim.margin, adjusted)
    return adjusted, verdicts
