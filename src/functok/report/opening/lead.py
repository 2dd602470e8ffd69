"""What was asked and what was found, in one paragraph that follows from the claims' table."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from functok.claims.verdicts import EXPLAINED

_OBSERVED = ("observed", "observed in part", "not observed", "undecided")
_BEYOND = {
    "supported": "More than the control shows",
    "contradicted": "Less than the control shows",
    "negligible": "No more than the control shows",
}


def lead(claims: pl.DataFrame, who: str | None) -> str:
    """The paragraph.

    Args:
        claims: ``claims.parquet``.
        who: the model's name; None for one that was trained in the run.
    """
    parts = [part.to_dicts() for part in claims.partition_by("claim", maintain_order=True)]
    ran = [rows[0] for rows in parts if any(row["effect"] is not None for row in rows)]
    asked = (
        f"Asked: does {who or 'the model trained here'} show what arXiv 2510.08203 reports of "
        "function tokens, and does it show more than a control?"
    )
    if not ran:
        return f"{asked} None of the paper's {len(parts)} claims was measured."
    said = [asked, f"{len(ran)} of the paper's {len(parts)} claims were measured."]
    counts = {words: _count(ran, "observed", words) for words in _OBSERVED}
    if any(counts.values()):
        shown = ", ".join(f"{count} {words}" for words, count in counts.items() if count)
        said.append(f"Of what the paper reports: {shown}.")
    # What the degree is due to has a sentence of its own.
    beyond = [claim for claim in ran if claim["claim"] != EXPLAINED]
    for verdict, words in _BEYOND.items():
        of_it = [claim for claim in beyond if claim["verdict"] == verdict]
        if of_it:
            said.append(f"{words}: {_listed(of_it)}.")
    open_ = _count(beyond, "verdict", "undecided")
    if open_:
        said.append(f"Undecided against the control: {open_}.")
    said += [_explained(claim) for claim in ran if claim["claim"] == EXPLAINED]
    return " ".join(said)


def _count(claims: Sequence[Mapping[str, Any]], column: str, value: str) -> int:
    return sum(claim[column] == value for claim in claims)


def _listed(claims: Sequence[Mapping[str, Any]]) -> str:
    """The statements of claims, in quotation marks."""
    return ", ".join(f"“{claim['statement'].rstrip('.')}”" for claim in claims)


def _explained(claim: Mapping[str, Any]) -> str:
    """What the degree of function tokens is due to: the first sentence of the reason, if one is
    decided."""
    if claim["explanation"] in (None, "undecided"):
        return "What explains the degree of function tokens is undecided."
    return f"{claim['reason'].split('. ')[0].rstrip('.')}."
