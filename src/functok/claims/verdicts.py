"""Every claim with the answers to its declared rows, from the files in ``tests/``.

Each row's answer follows from its interval by the rule of ``rule.py``. A claim has two answers:
those of its observations taken together (did this model show what the paper reports?), and those of
its comparisons (is that more than its control?). The claim that is an explanation of the degree is
answered by the account that ``explanation.py`` gives, so that the two cannot contradict each other.

A verdict that rests on a broken SAE (``models/dictionaries/health.py``) is marked, not changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

import polars as pl

from functok.claims.declared import CLAIMS, PRIMARY, ROWS, Claim, Row
from functok.claims.evidence import Evidence
from functok.claims.explanation import READINGS, TESTS, Explanation, Reading, explain
from functok.claims.rule import Answer, answer, corrected, level, overall
from functok.claims.sentences import sentence
from functok.claims.sizes import size
from functok.runtime.store import RunFolder, control_table, read_frame, read_json, write_table

EXPLAINED = "hubs"
"""The claim that is an explanation, by the tests of ``explanation.TESTS``."""
_BY_ACCOUNT: dict[str, Answer] = {
    "class": "supported",
    "artefact": "contradicted",
    "slot": "contradicted",
    "undecided": "undecided",
}
"""What an account says of the claim that the degree is due to class."""
_KINDS = {str: pl.String, float: pl.Float64, int: pl.Int64}
_TYPES = {
    **{name: _KINDS[kind] for name, kind in get_type_hints(Evidence).items()},
    **dict.fromkeys(("size", "sae_warning"), pl.String),
}
"""Of columns that may be empty throughout."""


@dataclass(frozen=True)
class Judged:
    """What the tests of one SAE say."""

    found: Mapping[str, Mapping[str, Any]]
    """The evidence of each test that ran."""
    p_values: Mapping[str, float | None]
    adjusted: Mapping[str, float]
    """p of the primary tests after Holm's correction."""
    answers: Mapping[str, Answer]
    """To every declared row."""
    explained: Explanation
    missing: Mapping[str, str]
    """What those of P1 to P4 lacked that their controls could not make."""

    @classmethod
    def of(cls, run: RunFolder) -> "Judged":
        """From the files of one SAE."""
        found = {
            row["test"]: row
            for path in sorted(run.tests.glob("*.parquet"))
            for row in read_frame(path).to_dicts()
        }
        p_values = {test: row["p_value"] for test, row in found.items()}
        adjusted = corrected(p_values)
        answers: dict[str, Answer] = {
            test: answer(row, found.get(test), adjusted) for test, row in ROWS.items()
        }
        explained = explain(_readings(run, found, p_values), _tokens(run))
        return cls(found, p_values, adjusted, answers, explained, _missing(run))

    def observed(self, claim: Claim) -> Answer | None:
        """Whether this model shows what the paper reports; None if no row asks."""
        return overall([self.answers[row.test] for row in claim.rows if row.observation])

    def verdict(self, claim: Claim) -> Answer | None:
        """Whether that is more than its control; None if the claim has no control."""
        given = overall([self.answers[row.test] for row in claim.rows if not row.observation])
        if claim.name == EXPLAINED and given != "not run":
            return _BY_ACCOUNT[self.explained.account]
        return given

    def so_far(self, claim: Claim) -> bool:
        """Whether some of its rows were run and others were not."""
        ran = [row.test in self.found for row in claim.rows]
        return any(ran) and not all(ran)

    def sentence(self, claim: Claim) -> str:
        """Both answers in a clause."""
        beyond, by = self.verdict(claim), ""
        if claim.name == EXPLAINED and beyond not in ("not run", "undecided"):
            beyond, by = self.explained.account, self.explained.by
        return sentence(self.observed(claim), beyond, by, self.so_far(claim))


def assemble(
    run: RunFolder, broken: str | None = None, others: Sequence[RunFolder] = ()
) -> pl.DataFrame:
    """Write and return ``claims.parquet``, see ``claim_rows``."""
    table = claim_rows(run, broken, others)
    write_table(run.claims, table.to_arrow())
    return table


def claim_rows(
    run: RunFolder, broken: str | None = None, others: Sequence[RunFolder] = ()
) -> pl.DataFrame:
    """One row per claim and declared row, unrun rows included.

    Args:
        run: where the tests are.
        broken: why the SAE that claims rest on is broken, if it is.
        others: the same folder for each other SAE of the study.

    Of the claim: claim, section, statement, reported, observed and verdict (the answers to its two
    questions, ``rule.overall``; null if it has no row of the kind), sentence (both in a clause),
    so_far (whether some of its rows were not run), sae_warning (``broken``, for claims that rest on
    the SAE), explanation and reason (of the degree of function tokens, for that claim alone:
    ``explanation.py``). With others also sae_others and sae_alike, of claims that rest on an SAE:
    on how many others they were measured (every test that ran here ran there), and on how many of
    these both answers are the same.

    Of the row: test, kind (observation, primary, exploratory), asks (its question), answer, size
    (what it is short of, or would have seen: ``sizes.py``; or why it could not be made), holm_p,
    effect_unit, margin, bound, and the columns of ``Evidence``, empty if it was not run.
    """
    here, elsewhere = Judged.of(run), [Judged.of(other) for other in others]
    tokens = _tokens(run)
    blank = {field.name: None for field in fields(Evidence) if field.name != "test"}
    rows = []
    for claim in CLAIMS:
        about = _about(claim, here, broken)
        if others:
            about |= _alike(claim, here, elsewhere)
        for row in claim.rows:
            test, evidence = row.test, here.found.get(row.test)
            given, adjusted = here.answers[test], here.adjusted.get(test)
            short = None
            if evidence is None:
                short = here.missing.get(test)
            else:
                at = level(test, here.p_values)
                short = size(row, evidence, given, adjusted, at, tokens)
            rows.append(
                {
                    **about,
                    "test": test,
                    "kind": _kind(row),
                    "asks": row.asks,
                    "answer": given,
                    "size": short,
                    "holm_p": adjusted,
                    "effect_unit": row.unit,
                    "margin": row.margin,
                    "bound": row.bound,
                    **blank,
                    **{key: value for key, value in (evidence or {}).items() if key != "test"},
                }
            )
    table = pl.DataFrame(rows, infer_schema_length=None)
    return table.with_columns(pl.col(name).cast(kind) for name, kind in _TYPES.items())


def beside(claim: dict[str, Any]) -> str:
    """On how many other SAEs the verdict of a row of ``claims.parquet`` holds; empty where the
    claim was measured on none."""
    count, alike = claim.get("sae_others") or 0, claim.get("sae_alike")
    return f"holds on {alike} of {count} other SAE{'s' * (count > 1)}" if count else ""


def _kind(row: Row) -> str:
    if row.observation:
        return "observation"
    return "primary" if row.test in PRIMARY else "exploratory"


def _about(claim: Claim, here: Judged, broken: str | None) -> dict[str, Any]:
    """The columns of a claim as a whole."""
    explained = here.explained if claim.name == EXPLAINED else None
    return {
        "claim": claim.name,
        "section": claim.section,
        "statement": claim.statement,
        "reported": claim.reported,
        "observed": here.observed(claim),
        "verdict": here.verdict(claim),
        "sentence": here.sentence(claim),
        "so_far": here.so_far(claim),
        "sae_warning": broken if claim.needs_sae else None,
        "explanation": None if explained is None else explained.account,
        "reason": None if explained is None else explained.reason,
    }


def _alike(claim: Claim, here: Judged, elsewhere: Sequence[Judged]) -> dict[str, int]:
    """On how many other SAEs the claim was measured, and on how many its answers are the same."""
    ran = {row.test for row in claim.rows} & {*here.found}
    alike = [
        (other.observed(claim), other.verdict(claim)) == (here.observed(claim), here.verdict(claim))
        for other in elsewhere
        if claim.needs_sae and ran and ran <= {*other.found}
    ]
    return {"sae_others": len(alike), "sae_alike": sum(alike)}


def _readings(
    run: RunFolder,
    found: Mapping[str, Mapping[str, Any]],
    p_values: Mapping[str, float | None],
) -> list[Reading]:
    """What P1 to P4 say under each reading of "function", as far as the controls left it.

    From the controls' table ``accounts`` (``controls/suite/accounts.py``). Without it there is the
    reading of the declared tests alone.
    """
    accounts, compared = (_control(run, name) for name in ("accounts", "compared"))
    if accounts is not None and len(accounts):
        known = accounts.filter(pl.col("reading").is_in([*READINGS]))
        parts = known.partition_by("reading", maintain_order=True)
        return [_reading(part.to_dicts(), p_values) for part in parts]
    rows = {test: found[test] for test in TESTS if test in found}
    name = None if compared is None else compared["reading"].item()
    apart = None if compared is None else compared["separation"].item()
    return [Reading(name, apart, rows, corrected(p_values))]


def _reading(rows: list[dict[str, Any]], p_values: Mapping[str, float | None]) -> Reading:
    """One reading; P1 to P4 have its own p, the other primary tests that of the run."""
    own = {row["test"]: row["p_value"] for row in rows if row["test"] in TESTS}
    adjusted = corrected({**p_values, **dict.fromkeys(TESTS), **own})
    found = {row["test"]: row for row in rows}
    return Reading(rows[0]["reading"], rows[0]["separation"], found, adjusted)


def _missing(run: RunFolder) -> dict[str, str]:
    """By test, under the declared tests' reading."""
    accounts, compared = (_control(run, name) for name in ("accounts", "compared"))
    if accounts is None or compared is None:
        return {}
    rows = accounts.filter(pl.col("note").is_not_null(), reading=compared["reading"].item())
    return dict(rows.select("test", "note").iter_rows())


def _control(run: RunFolder, name: str) -> pl.DataFrame | None:
    """A table of the controls of the judged graph; None if it was not written."""
    path = None if run.judged is None else control_table(run.judged, name)
    return None if path is None or not path.exists() else read_frame(path)


def _tokens(run: RunFolder) -> int | None:
    """Tokens in the graph that the claims are about."""
    path = None if run.judged is None else run.judged / "meta.json"
    if path is None or not path.exists():
        return None
    return read_json(path).get("corpus", {}).get("tokens")
