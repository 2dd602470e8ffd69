"""The report's sections between findings and provenance, in the order of the paper."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import polars as pl
import yaml

from functok.figures.catalogue import PLANS, Figure
from functok.graph.faces import labels
from functok.graph.tables import side_by_side
from functok.report.frequency import frequency
from functok.report.grids import grid_table
from functok.report.losses import losses_by_group
from functok.report.markup import (
    escaped,
    folded,
    number,
    paragraphs,
    percent,
    script_json,
    table,
)
from functok.report.traits import traits_found
from functok.retrieval.steering.limit import control_kl, warning
from functok.runtime.store import RunFolder, graph_table, read_frame
from functok.runtime.store.records import read_record

TITLES = {
    "tokens": "Function tokens",
    "graph": "The token–feature graph",
    "controls": "Is it frequency?",
    "retrieval": "Retrieval: traces and steering",
    "world": "The tiny world: retrieval with known answers",
    "consolidation": "Consolidation: losses, SAEs and growth",
}
_ROWS = 50
"""Most rows of a table in the page; the Parquet file has all of them."""


def section(
    name: str,
    folder: RunFolder,
    figures: list[Figure],
    others: Mapping[RunFolder, list[Figure]] = MappingProxyType({}),
) -> str:
    """One section: its tables, its figures, and what was not run.

    Args:
        others: the places of the study's other SAEs, with their figures.
    """
    here = [figure for figure in figures if figure.plan.section == name]
    drawn = {figure.plan.name for figure in here}
    absent = [plan.absent for plan in PLANS if plan.section == name and plan.name not in drawn]
    before = {
        "tokens": function_tokens(folder),
        "controls": frequency(folder),
        "consolidation": losses_by_group(folder),
    }.get(name, "")
    after = {
        "graph": first_tokens(folder, [*others]) + degrees(others),
        "retrieval": continuations(folder) + traits_found(folder) + steering_grid(folder),
        "world": world_grid(folder),
    }.get(name, "")
    missing = f'<div class="absent">{paragraphs(absent)}</div>' if absent else ""
    body = "".join(figure_block(figure, folder) for figure in here)
    return (
        f'<section id="{name}"><h2>{escaped(TITLES[name])}</h2>{before}{body}{after}{missing}'
        "</section>"
    )


def figure_block(figure: Figure, folder: RunFolder) -> str:
    """A chart, how to read it, its control, and its data; of the SAE whose folder it is."""
    spec = dict(figure.specification)
    heading = spec.pop("title", {})
    subtitle = heading.get("subtitle", "") if isinstance(heading, dict) else ""
    # The static picture is shown until the chart is drawn, and if scripts do not run.
    svg = base64.b64encode(folder.figure(figure.name, "svg").read_bytes()).decode("ascii")
    path = folder.figure(figure.name, "parquet").relative_to(folder.root).as_posix()
    rows = min(_ROWS, len(figure.table))
    link = f'<a href="{escaped(path)}">{escaped(path)}</a>'
    data = folded(
        f"Data: {rows:,d} of {len(figure.table):,d} rows; all in {link}",
        table(figure.table.drop("text", strict=False), limit=_ROWS),
    )
    reading, control = figure.plan.words(figure.table)
    of_sae, named = ("", "") if folder.sae is None else (f": SAE {folder.sae}", f"-{folder.sae}")
    title, identity = escaped(figure.plan.title + of_sae), escaped(f"spec-{figure.name}{named}")
    return (
        f"<h3>{title}</h3>"
        f'<figure data-chart="{identity}"><p class="sub">{escaped(subtitle)}</p>'
        f'<div class="chart" role="img" aria-label="{title}">'
        f'<img alt="{title}" src="data:image/svg+xml;base64,{svg}"></div>'
        f"<figcaption><p><b>Reading.</b> {escaped(reading)}</p>"
        f"<p><b>Control.</b> {escaped(control)}</p></figcaption></figure>{data}"
        f'<script type="application/json" id="{identity}">{script_json(spec)}</script>'
    )


def function_tokens(folder: RunFolder) -> str:
    """The list of function tokens, as in the paper's Figure 2b and Table 2."""
    path = folder.tokens("function_tokens")
    if not path.exists():
        return ""
    chosen, counts = read_frame(path), read_frame(folder.tokens("counts"))
    here = counts.filter(pl.col("token_id").is_in(chosen["token_id"].to_list()))
    summary = (
        f"{len(chosen)} function tokens, {percent(len(chosen) / len(counts))} of the "
        f"{len(counts):,d} tokens that occur, make up {percent(here['fraction'].sum())} of all "
        f"{counts['occurrences'].sum():,d} occurrences. The paper finds 122 that make up 39.99 %."
    )
    rule = read_record(folder.provenance).get("function_tokens", {})
    if rule.get("from") is not None:
        summary += f" They were counted in {rule['from']}, as were the ranks and shares below."
    columns = "rank token subclass fraction cumulative document_coverage"
    titles = {"subclass": "sub-class"}
    formats = dict.fromkeys(columns.split()[3:], percent)
    first, rest = (table(part, columns, titles, formats) for part in (chosen.head(15), chosen[15:]))
    more = f"Ranks 16 to {min(len(chosen), 15 + _ROWS)}; all in tokens/function_tokens.parquet"
    return f"<p>{escaped(summary)}</p>{first}" + folded(escaped(more), rest) * (len(chosen) > 15)


def first_tokens(folder: RunFolder, others: Sequence[RunFolder] = ()) -> str:
    """Cumulative coverage of the first tokens, as in the paper's Table 1; of all SAEs beside one
    another where there are others."""
    graph = folder.judged
    path = graph_table(graph or folder.graphs, "coverage")
    if graph is None or not path.exists():
        return ""
    columns = "rank token of_active of_active_low of_active_high of_all random log_ratio"
    titles = {"of_active": "of active features", "of_all": "of all features"}
    titles |= {"random": "random positions"}
    shares = columns.split()[2:-1]
    return (
        "<h3>Cumulative coverage, as in the paper's Table 1</h3>"
        "<p>A log ratio below 0 means that the tokens reach fewer features than the same number of "
        f"random positions. Graph {escaped(graph.relative_to(folder.graphs).as_posix())}.</p>"
        + table(read_frame(path), columns, titles, dict.fromkeys(shares, percent))
        + _beside(folder, others)
        + scaling(graph)
    )


def _beside(folder: RunFolder, others: Sequence[RunFolder]) -> str:
    graphs = {
        place.judged.relative_to(folder.graphs).parts[0]: place.judged
        for place in (folder, *others)
        if place.judged is not None
    }
    if len(graphs) < 2:
        return ""
    found = side_by_side(graphs)
    shares = {name: percent for name, kind in found.schema.items() if kind.is_float()}
    return "<p>Of the active features, by SAE:</p>" + table(found, formats=shares)


def degrees(others: Mapping[RunFolder, list[Figure]]) -> str:
    """The degrees in the graphs of other SAEs, and where their other figures lie."""
    blocks = [
        figure_block(figure, folder)
        for folder, figures in others.items()
        for figure in figures
        if figure.plan.name == "token-degree"
    ]
    places = ", ".join(folder.figures.relative_to(folder.root).as_posix() for folder in others)
    said = f"The other figures for the study's other SAEs are in {places}."
    return "".join(blocks) + (paragraphs([said]) if others else "")


def scaling(graph: Path) -> str:
    """Heaps' exponent and the power law that the paper claims without a fit."""
    path = graph_table(graph, "scaling")
    if not path.exists():
        return ""
    return (
        "<h3>Is the graph scale-free?</h3><p>The paper says so from log-log plots (§7). A power "
        "law is rejected if its p is below 0.1, and a log-normal fits better if the ratio is "
        "negative.</p>" + table(read_frame(path), "note value low high", {"note": "statistic"})
    )


def continuations(folder: RunFolder) -> str:
    """Continuations of the unsteered and the steered model, and for a random direction."""
    path = folder.retrieval("steered_text")
    if not path.exists():
        return ""
    rows = read_frame(path).to_dicts()
    names = {
        "none": "Unsteered",
        "feature": "Steered with the feature",
        "random": "Steered in a random direction (control)",
    }
    one = rows[0]
    feature = escaped(labels(folder.judged, [one["feature"]])[one["feature"]])
    texts = "".join(
        f"<div><h4>{escaped(names.get(row['direction'], row['direction']))}</h4>"
        f"<pre>{escaped(row['answer'])}</pre></div>"
        for row in rows
    )
    follows = one.get("follows_in_text")
    likely = (
        f"<p>Where feature {feature} is active in text, the most frequent next tokens are "
        f"<code>{escaped(follows)}</code>.</p>"
        if follows
        else ""
    )
    return (
        f"<h3>One prompt, steered</h3><p>Prompt: <q>{escaped(one['prompt'])}</q>; changed at "
        f"<code>{escaped(one['at'])}</code>, feature {feature}, strength "
        f"{number(one['strength'])} of the residual norm there. {_how_hard(folder)}One example, "
        "chosen for the largest gain: an illustration, not evidence.</p>"
        f'{likely}<div class="texts">{texts}</div>'
    )


def _how_hard(folder: RunFolder) -> str:
    """What the control of steering did to the next token: whether text was left of the text."""
    path = folder.retrieval("steering")
    if not path.exists():
        return ""
    kl = control_kl(read_frame(path))
    return escaped(
        f"A random direction of this norm has a KL of {number(kl)} nats (median over the prompts). "
        + (f"{doubt} " if (doubt := warning(kl)) else "")
    )


def steering_grid(folder: RunFolder) -> str:
    """The study's conditions on its prompts, as in the paper's Figures 7 and 11."""
    path = folder.retrieval("grid")
    if not path.exists():
        return ""
    grid = read_frame(path)
    return (
        "<h3>Prompts × conditions, as in the paper's Figures 7 and 11</h3>"
        "<p>Features are added at the positions that the study names; below each condition is a "
        "random direction of the same norm at the same positions. Answers are judged if the study "
        "says how.</p>" + _conditions(folder) + grid_table(grid, grid["prompt"].n_unique())
    )


def _conditions(folder: RunFolder) -> str:
    """The features of each of the study's conditions, by their names, with their strengths."""
    study = yaml.safe_load(folder.study.read_text("utf-8")) if folder.study.exists() else {}
    items = []
    for one in study.get("steer", {}).get("grid", {}).get("conditions", ()):
        strengths = {int(feature): float(by) for feature, by in one["features"].items()}
        named = labels(folder.judged, strengths)
        added = "; ".join(f"{named[feature]} × {number(by)}" for feature, by in strengths.items())
        items.append(f"<dt>{escaped(one['name'])}</dt><dd>{escaped(added)}</dd>")
    return f"<dl>{''.join(items)}</dl>" if items else ""


def world_grid(folder: RunFolder) -> str:
    """The same in the tiny world, where every cell has a right answer."""
    path = folder.retrieval("world_grid")
    if not path.exists():
        return ""
    return (
        "<h3>Prompts × conditions, as in the paper's Figure 7</h3>"
        "<p>At the last token before the answer, features are added that should make the model "
        "answer in the other language, about another entity, or both. ✓ marks the right answer "
        "under that change. The paper adds one set of features to all prompts and shows "
        "examples.</p>" + grid_table(read_frame(path), 4)
    )
