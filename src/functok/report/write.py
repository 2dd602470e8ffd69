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

import vl_convert
import yaml

from functok.figures.catalogue import PLANS, Figure, figures
from functok.figures.draw import draw
from functok.report.definitions import other_definitions
from functok.report.findings import RULE, claims_table, learned, sae_health
from functok.report.markup import escaped, paragraphs
from functok.report.provenance import provenance
from functok.report.sections import TITLES, figure_block, section
from functok.runtime.errors import UserError, first_line
from functok.runtime.store import RunFolder, read_frame, write_text
from functok.study.summary import model_name, other_saes, summary

_INCOMPLETE = "This report is incomplete: something in the run folder is damaged or out of date."


def write_report(folder: RunFolder, missing: Sequence[str] = ()) -> None:
    """Draw the figures of the run in ``folder`` and write its ``report.html``.

    Args:
        folder: of the run.
        missing: sentences about what the run lacks; the page says them first, and whatever cannot
            be drawn without is left out.
    """
    study = yaml.safe_load(folder.study.read_text("utf-8")) if folder.study.exists() else {}
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

    parts = [
        *(
            part(title, partial(section, name, folder, drawn, others))
            for name, title in TITLES.items()
        ),
        part("Provenance", partial(provenance, folder)),
    ]
    findings = part("Findings", partial(_findings, folder, drawn))
    if missing:
        findings = f'<div class="absent">{paragraphs([_INCOMPLETE, *missing])}</div>{findings}'
    write_text(folder.report, page(study.get("name", folder.root.name), findings, "".join(parts)))


def page(name: str, findings: str, body: str) -> str:
    """The whole page; ``findings`` and ``body`` are HTML, ``name`` is the study's."""
    library, script = vega(), _part("draw.js")
    contents = {**TITLES, "provenance": "Provenance"}
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
    here = [figure for figure in drawn if figure.plan.section == "findings"]
    blocks = "".join(figure_block(figure, folder) for figure in here)
    if not here:
        absent = [plan.absent for plan in PLANS if plan.section == "findings"]
        blocks = f'<div class="absent">{paragraphs(absent)}</div>'
    if folder.claims.exists():
        claims = claims_table(read_frame(folder.claims))
    else:
        claims = '<p class="absent">The claims were not assembled.</p>'
    name = model_name(folder)
    asked = "Did the model learn?" if name is None else f"Does {name} know more than word pairs?"
    about = "".join(
        f"<dt>{escaped(name)}</dt><dd>{escaped(said)}</dd>"
        for name, said in summary(folder).items()
    )
    return (
        (f"<dl>{about}</dl>" if about else "")
        + f'{blocks}{claims}<p class="rule">{escaped(RULE)} {escaped(sae_health(folder))}</p>'
        f"{other_definitions(folder)}<h3>{escaped(asked)}</h3><p>{escaped(learned(folder))}</p>"
    )


def _part(name: str) -> str:
    return (files(f"{__package__}") / name).read_text("utf-8")
