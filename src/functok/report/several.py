"""The report of several runs: a column for each in the findings, their figures on common axes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from functok.claims.comparison import compared
from functok.figures.catalogue import PLANS, Figure, figures
from functok.figures.draw import picture
from functok.figures.sample import sample
from functok.figures.together import stands_alone, together
from functok.report.blocks import block
from functok.report.findings import badge, how_reached
from functok.report.markup import escaped, folded, identity, interval, paragraphs, table
from functok.report.opening.facts import facts
from functok.report.opening.lead import lead
from functok.report.opening.unrun import unrun_list
from functok.report.provenance import contents
from functok.report.sections import TITLES
from functok.report.write import page, study_of
from functok.runtime.store import RunFolder, read_frame, write_text
from functok.study.summary import model_name

_WHERE = "figures/{}.parquet of each run"


def write_several(runs: Mapping[str, RunFolder], place: Path, missing: Sequence[str] = ()) -> None:
    """Write the report of several runs as one file.

    Args:
        runs: by the names that they have in it.
        place: of the file.
        missing: sentences about what the runs lack.
    """
    drawn = {
        name: figures(folder, _features(folder), partial=bool(missing))
        for name, folder in runs.items()
    }
    claims = {
        name: read_frame(folder.claims) for name, folder in runs.items() if folder.claims.exists()
    }
    warning = f'<div class="absent">{paragraphs(missing)}</div>' if missing else ""
    findings = warning + _facts(runs) + _leads(runs, claims) + _of_plans("findings", drawn, runs)
    if claims:
        findings += _claims(claims) + _differences(claims)
    parts = [
        f'<section id="{name}"><h2>{escaped(title)}</h2>{found}</section>'
        for name, title in TITLES.items()
        if (found := _of_plans(name, drawn, runs))
    ]
    left = [(name, unrun_list(folder, _plans(drawn[name]))) for name, folder in runs.items()]
    parts += _by_run("unrun", "Not run", [(name, said) for name, said in left if said])
    made = [(name, contents(folder)) for name, folder in runs.items()]
    parts += _by_run("provenance", "Provenance", made)
    write_text(place, page(" and ".join(runs), findings, "".join(parts)))


def _features(folder: RunFolder) -> int | list[int]:
    return study_of(folder).get("trace", {}).get("features", 16)


def _plans(drawn: Sequence[Figure]) -> set[str]:
    return {figure.plan.name for figure in drawn}


def _by_run(key: str, title: str, said: Sequence[tuple[str, str]]) -> list[str]:
    """A section with a folded part for each run; none where nothing is to be said."""
    parts = "".join(folded(f"<b>{escaped(name)}</b>", text) for name, text in said)
    return [f'<section id="{key}"><h2>{title}</h2>{parts}</section>'] if parts else []


def _facts(runs: Mapping[str, RunFolder]) -> str:
    """The facts with a column for each run."""
    known = {name: facts(folder) for name, folder in runs.items()}
    rows = dict.fromkeys(fact for found in known.values() for fact in found)
    body = "".join(
        f'<tr><th scope="row">{escaped(fact)}</th>'
        + "".join(f"<td>{escaped(found.get(fact, '–'))}</td>" for found in known.values())
        + "</tr>"
        for fact in rows
    )
    return f'<table class="several">{_head(["", *runs])}<tbody>{body}</tbody></table>'


def _leads(runs: Mapping[str, RunFolder], claims: Mapping[str, pl.DataFrame]) -> str:
    said = []
    for name, folder in runs.items():
        found = "The claims were not assembled."
        if name in claims:
            found = lead(claims[name], model_name(folder))
        said.append(f"<p><b>{escaped(name)}.</b> {escaped(found)}</p>")
    return "".join(said)


def _claims(claims: Mapping[str, pl.DataFrame]) -> str:
    """One row per claim, one column per run: the verdict and both answers."""
    first = {
        name: {row["claim"]: row for row in table.unique("claim", maintain_order=True).to_dicts()}
        for name, table in claims.items()
    }
    every = dict.fromkeys(claim for found in first.values() for claim in found)
    rows = []
    for claim in every:
        said = next(found[claim] for found in first.values() if claim in found)
        cells = "".join(_answers(found.get(claim)) for found in first.values())
        rows.append(
            f'<tr id="{identity("claim", claim)}"><th scope="row">{escaped(said["statement"])}'
            f"<small>{escaped(said['reported'])}</small></th>{cells}</tr>"
        )
    return (
        '<h3 id="claims">Claim by claim</h3><table class="several">'
        f"{_head(['claim, and what the paper reports', *claims])}<tbody>{''.join(rows)}</tbody>"
        f"</table>{how_reached()}"
    )


def _answers(claim: Mapping[str, Any] | None) -> str:
    if claim is None:
        return "<td>–</td>"
    answers = " ".join(badge(claim[name]) for name in ("observed", "verdict") if claim[name])
    return f"<td><b>{escaped(claim['sentence'])}</b><small>{answers}</small></td>"


def _differences(claims: Mapping[str, pl.DataFrame]) -> str:
    """Every effect of every run, and its difference from the first run that has it."""
    found = compared(claims)
    rows = pl.DataFrame(
        [
            {
                **{"row": row["test"], "question": row["asks"], "unit": row["effect_unit"]},
                **{"run": row["run"], "answer": row["answer"]},
                **{name: _with_interval(row, name) for name in ("effect", "difference")},
            }
            for row in found.to_dicts()
        ],
        schema=dict.fromkeys(
            ("row", "question", "unit", "run", "answer", "effect", "difference"), pl.String
        ),
    )
    said = "Differences are from the first run of each row, 95 %, runs taken as independent."
    return folded(
        "<b>Every effect in numbers, and how the runs differ</b>",
        paragraphs([said]) + table(rows, limit=200),
    )


def _with_interval(row: Mapping[str, Any], name: str) -> str | None:
    if row[name] is None:
        return None
    return interval(row[name], row[f"{name}_low"], row[f"{name}_high"])


def _of_plans(
    section: str, drawn: Mapping[str, Sequence[Figure]], runs: Mapping[str, RunFolder]
) -> str:
    """The figures of one section: each of all the runs that have it, the main ones first."""
    main, more = [], []
    for plan in PLANS:
        if plan.section != section:
            continue
        found = {
            name: figure
            for name, mine in drawn.items()
            for figure in mine
            if figure.plan is plan and figure.name in (plan.name, f"{plan.name}-1")
        }
        counted = {name: sample(figure, runs[name]) for name, figure in found.items()}
        shown = "".join(_block(*one, counted) for one in _one_or_each(found))
        (more if plan.folded else main).append(shown)
    rest = "".join(more)
    return "".join(main) + (folded("<b>More figures</b>", rest, kind="more") if rest else "")


def _one_or_each(found: Mapping[str, Figure]) -> list[tuple[str, Figure]]:
    """All runs in one figure, or one figure for each run, by name."""
    if len(found) > 1 and not any(map(stands_alone, found.values())):
        return [("", together(found))]
    return [*found.items()]


def _block(name: str, figure: Figure, counted: Mapping[str, str]) -> str:
    """The block of one run's figure, or of all runs together where ``name`` is empty."""
    where = _WHERE.format(escaped(figure.name))
    each = (f"{run}: {behind}" for run, behind in counted.items() if behind)
    behind = counted[name] if name else " ".join(each)
    return block(figure, picture(figure).encode(), where, behind, run=name)


def _head(heads: Sequence[str]) -> str:
    cells = "".join(f'<th scope="col">{escaped(head)}</th>' for head in heads)
    return f"<thead><tr>{cells}</tr></thead>"
