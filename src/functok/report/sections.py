"""The report's sections between findings and provenance, in the order of the paper."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import polars as pl
import yaml

from functok.figures.catalogue import Figure
from functok.graph.faces import labels
from functok.graph.tables import side_by_side
from functok.report.blocks import blocks, figure_block
from functok.report.faces import face_link
from functok.report.markup import escaped, folded, number, paragraphs, percent, table
from functok.report.tables.frequency import frequency
from functok.report.tables.grids import grid_table
from functok.report.tables.losses import losses_by_group
from functok.report.tables.traits import traits_found
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
_FIRST, _TOKENS = 10, 500
"""Function tokens shown, and those that are folded below them."""


def section(
    name: str,
    folder: RunFolder,
    figures: list[Figure],
    others: Mapping[RunFolder, list[Figure]] = MappingProxyType({}),
) -> str:
    """One section: its tables and its figures; empty where nothing of it was run.

    Args:
        others: the places of the study's other SAEs, with their figures.
    """
    before = {
        "tokens": function_tokens,
        "graph": schematic,
        "controls": frequency,
        "consolidation": losses_by_group,
    }.get(name, lambda folder: "")(folder)
    after = {
        "graph": lambda: first_tokens(folder, [*others]) + degrees(others),
        "retrieval": lambda: continuations(folder) + traits_found(folder) + steering_grid(folder),
        "world": lambda: world_grid(folder),
    }.get(name, lambda: "")()
    body = blocks([figure for figure in figures if figure.plan.section == name], folder)
    if not (before or body or after):
        return ""
    return f'<section id="{name}"><h2>{escaped(TITLES[name])}</h2>{before}{body}{after}</section>'


def schematic(folder: RunFolder) -> str:
    """Extract, decompose, connect: how the graph was made, with this run's numbers."""
    place = folder.judged
    if place is None or not (place / "meta.json").exists():
        return ""
    meta, degree = read_record(place / "meta.json"), graph_table(place, "degree")
    edges = int(read_frame(degree)["degree"].sum()) if degree.exists() else None
    steps = {
        "Extract": f"the activations at {meta['hook']} at {meta['positions']:,d} positions of text",
        "Decompose": f"each into some of the SAE's {meta['features']:,d} features, "
        f"{number(float(meta['l0']))} of them on average",
        "Connect": "each token with the features that fire at it: "
        + (f"{edges:,d} edges to " if edges is not None else "")
        + f"{meta['features_active']:,d} active features",
    }
    items = (f"<li><b>{name}</b> {escaped(said)}</li>" for name, said in steps.items())
    return f'<ol class="schematic">{"".join(items)}</ol>'


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
    formats = {str(name): percent for name in columns.split()[3:]}
    first = table(chosen.head(_FIRST), columns, titles, formats)
    rest = table(chosen[_FIRST:], columns, titles, formats, _TOKENS)
    last = min(len(chosen), _FIRST + _TOKENS)
    more = f"Ranks {_FIRST + 1} to {last}; all in tokens/function_tokens.parquet"
    return f"<p>{escaped(summary)}</p>{first}" + folded(more, rest) * (len(chosen) > _FIRST)


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
    rows = table(read_frame(path), columns, titles, dict.fromkeys(shares, percent))
    said = (
        "<p>A log ratio below 0 means that the tokens reach fewer features than the same number of "
        f"random positions. Graph {escaped(graph.relative_to(folder.graphs).as_posix())}.</p>"
    )
    return folded(
        "<b>Cumulative coverage, as in the paper's Table 1</b>",
        said + rows + _beside(folder, others),
    ) + scaling(graph)


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
    if not others:
        return ""
    shown = "".join(
        figure_block(figure, folder)
        for folder, figures in others.items()
        for figure in figures
        if figure.plan.name == "token-degree"
    )
    places = ", ".join(folder.figures.relative_to(folder.root).as_posix() for folder in others)
    said = f"The other figures for the study's other SAEs are in {places}."
    return folded("<b>Degrees in the graphs of other SAEs</b>", shown + paragraphs([said]))


def scaling(graph: Path) -> str:
    """Heaps' exponent and the power law that the paper claims without a fit."""
    path = graph_table(graph, "scaling")
    if not path.exists():
        return ""
    return folded(
        "<b>Is the graph scale-free?</b> Heaps' exponent and the power law",
        "<p>The paper says so from log-log plots (§7). A power law is rejected if its p is below "
        "0.1, and a log-normal fits better if the ratio is negative.</p>"
        + table(read_frame(path), "note value low high", {"note": "statistic"}),
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
    label = labels(folder.judged, [one["feature"]])[one["feature"]]
    feature = face_link(folder, one["feature"], label)
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
        added = "; ".join(
            f"{face_link(folder, feature, named[feature])} × {number(by)}"
            for feature, by in strengths.items()
        )
        items.append(f"<dt>{escaped(one['name'])}</dt><dd>{added}</dd>")
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
