"""One self-contained HTML file from a run folder, and the step that writes it."""

from functok.study.links import LINKS as STUDY_LINKS
from functok.study.run import Link, Run


def _report(run: Run, key: str) -> None:
    from functok.report.write import write_report  # charts load slowly, and only here

    write_report(run.folder)


LINKS = (
    *STUDY_LINKS,
    Link(
        "report",
        "Drawing the figures, writing the report",
        ("claims", "trace", "reactivation", "answers"),
        lambda run: run.study.trace.features,
        _report,
        leaves=lambda run: run.folder.report,
    ),
)
"""A study's steps and, last, its report."""
