"""The report: one HTML file that needs no other file, made from a run folder alone.

Its Content-Security-Policy forbids all network access, and every script except the two whose hashes
it lists. Vega usually compiles its expressions with ``Function``, which would need ``unsafe-eval``;
its interpreter, slightly slower, needs nothing. So even text from a corpus that got through the
escaping could neither run nor send anything.
"""

import base64
import hashlib
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.resources import files
from string import Template
from typing import Any

import vl_convert
import yaml

from functok.figures.catalogue import Figure, figures
from functok.figures.draw import draw
from functok.report.blocks import blocks
from functok.report.faces import cards
from functok.report.findings import claims_table, how_reached, learned
from functok.report.markup import escaped, folded, paragraphs
from functok.report.opening.definitions import other_definitions
from functok.report.opening.facts import facts_box
from functok.report.opening.lead import lead
from functok.report.opening.unrun import unrun
from functok.report.provenance import provenance
from functok.report.sections import TITLES, section
from functok.runtime.errors import UserError, first_line
from functok.runtime.store import RunFolder, read_frame, write_text
from functok.study.summary import model_name, other_saes

_INCOMPLETE = "This report is incomplete: something in the run folder is damaged or out of date."


def write_report(folder: RunFolder, missing: Sequence[str] = ()) -> None:
    """Draw the figures of the run in ``folder`` and write its ``report.html``.

    Args:
        folder: of the run.
        missing: sentences about what the run lacks; the page says them first, and whatever cannot
            be drawn without is left out.
    """
    study = study_of(folder)
    features = study.get("trace", {}).get("features", 16)
    drawn = figures(folder, features, partial=bool(missing))
    draw(drawn, folder)
    others = {}
    for other in other_saes(folder, study):
        others[other] = figures(other, features, partial=bool(missing))
        draw(others[other], other)

    def part(name: str, make: Callable[[], str]) -> str:
        try:
            return make()
        except (UserError, OSError) as error:
            if not missing:
                raise
            what = f"{escaped(name)}: left out, since something is missing"
            return f'<p class="absent">{what} ({escaped(first_line(error))}).</p>'

    known = {figure.plan.name for figure in drawn}
    parts = [
        *(
            part(title, partial(section, name, folder, drawn, others))
            for name, title in TITLES.items()
        ),
        part("Features", partial(cards, [folder, *others])),
        part("Not run", partial(unrun, folder, known, bool(missing))),
        part("Provenance", partial(provenance, folder)),
    ]
    findings = part("Findings", partial(_findings, folder, drawn))
    if missing:
        findings = f'<div class="absent">{paragraphs([_INCOMPLETE, *missing])}</div>{findings}'
    write_text(folder.report, page(study.get("name", folder.root.name), findings, "".join(parts)))


def study_of(folder: RunFolder) -> dict[str, Any]:
    """The study as it was written out; empty where there is none."""
    return yaml.safe_load(folder.study.read_text("utf-8")) if folder.study.exists() else {}


def page(name: str, findings: str, body: str) -> str:
    """The whole page; ``findings`` and ``body`` are HTML, ``name`` is the study's."""
    library, script = vega(), _part("draw.js")
    named = {**TITLES, "features": "Features", "unrun": "Not run", "provenance": "Provenance"}
    contents = {key: text for key, text in named.items() if f'<section id="{key}">' in body}
    return Template(_part("page.html")).substitute(
        name=escaped(name),
        policy=policy([library, script]),
        style=_part("page.css"),
        contents="".join(f'<a href="#{key}">{escaped(text)}</a>' for key, text in contents.items()),
        findings=findings,
        body=body,
        library=library,
        script=script,
    )


def policy(scripts: list[str]) -> str:
    """A Content-Security-Policy under which only ``scripts`` run and nothing is fetched."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script; they come with vl-convert."""
    library = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("\r", "")
    assert "</script" not in library
    assert "<!--" not in library
    return library


def _findings(folder: RunFolder, drawn: Sequence[Figure]) -> str:
    """The first screen: the facts, the paragraph, every effect, and the table behind them."""
    about = facts_box(folder)
    if not folder.claims.exists():
        return f'{about}<p class="absent">The claims were not assembled.</p>'
    claims, name = read_frame(folder.claims), model_name(folder)
    forest = blocks([figure for figure in drawn if figure.plan.section == "findings"], folder)
    asked = "Did the model learn?" if name is None else f"Does {name} know more than word pairs?"
    return (
        f'{about}<p class="lead">{escaped(lead(claims, name))}</p>{forest}'
        f'<h3 id="claims">Claim by claim</h3>{claims_table(claims)}'
        + how_reached()
        + folded(f"<b>{escaped(asked)}</b>", f"<p>{escaped(learned(folder))}</p>")
        + other_definitions(folder)
    )


def _part(name: str) -> str:
    return (files(f"{__package__}") / name).read_text("utf-8")
