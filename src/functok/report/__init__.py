"""One self-contained HTML file from a run folder."""

from functok.study.links import LINKS as STUDY_LINKS
from functok.study.run import Link, Run


def _report(run: Run, key: str) -> None:
    return None


LINKS = (
    *STUDY_LINKS,
    Link(
        "report",
        "Drawing the figures, writing the report",
        ("claims", "trace"),
        lambda run: run.study.trace.features,
        _report,
    ),
)
"""A study's links and, last, its report."""
