"""The report in short as Markdown, for a repository or a model card: a page and its pictures.

Text from corpora and prompts goes through ``cell``, so that it cannot become markup.
"""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl

from functok.figures.catalogue import Figure, figures
from functok.figures.draw import picture
from functok.figures.sample import sample
from functok.graph.tables import side_by_side
from functok.report.findings import how_to_run
from functok.report.markup import interval, number, percent
from functok.report.opening.facts import facts
from functok.report.opening.lead import lead
from functok.report.write import study_of
from functok.runtime.store import RunFolder, graph_table, read_frame, write_text
from functok.runtime.visible import visible
from functok.study.summary import model_name, other_saes
from functok.tokens.counting.function_tokens import ARROWS

_MARKS = re.compile(r"[\\`*\[\]|~]|(?<!\w)_|_(?!\w)")
"""What Markdown could take for a mark; within a word, an underscore is none."""
_SHOWN = 50
"""Function tokens listed."""
_LOSSES = ("share_of_tokens", "share_of_loss")


def write_page(folder: RunFolder, place: Path) -> None:
    """Write the page, and its pictures into a folder of the same name.

    Args:
        folder: of a finished run.
        place: of the page, ``NAME.md``.
    """
    study = study_of(folder)
    name = model_name(folder) or str(study.get("name", folder.root.name))
    drawn = figures(folder, study.get("trace", {}).get("features", 16))
    parts = [f"# {cell(name)}", _facts(folder)]
    if folder.claims.exists():
        claims = read_frame(folder.claims)
        parts += [cell(lead(claims, model_name(folder))), "## Claim by claim", *_claims(claims)]
    parts += [*_function_tokens(folder), *_coverage(folder, study), *_losses(folder)]
    for figure in drawn:
        if not figure.folded:
            write_text(place.with_suffix("") / f"{figure.name}.svg", picture(figure))
            parts += _figure(figure, folder, place.stem)
    write_text(place, "\n\n".join(parts) + "\n")


def cell(text: object) -> str:
    """Any text as Markdown on one line."""
    plain = html.escape(visible(str(text)), quote=False).replace("\n", " ")
    return _MARKS.sub(lambda mark: f"&#{ord(mark[0])};", plain)


def rows(
    frame: pl.DataFrame, shown: Mapping[str, tuple[str, Callable[[dict[str, object]], str]]]
) -> str:
    """A table: of each column its title and how a row's cell is made, as Markdown."""
    lines = [[title for title, _ in shown.values()], ["---"] * len(shown)]
    lines += [[make(row) for _, make in shown.values()] for row in frame.iter_rows(named=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _facts(folder: RunFolder) -> str:
    return "\n".join(f"- **{name}**: {cell(said)}" for name, said in facts(folder).items())


def _claims(claims: pl.DataFrame) -> list[str]:
    """A table of the claims that were measured, then what each undecided row lacks."""
    parts = [part.to_dicts() for part in claims.partition_by("claim", maintain_order=True)]
    ran = [part for part in parts if any(row["effect"] is not None for row in part)]
    left = [str(part[0]["claim"]).replace("-", " ") for part in parts if part not in ran]
    heads = "| Verdict | The paper reports | Observed? | Beyond its control? | Effects |"
    lines = [heads, "| --- | --- | --- | --- | --- |"]
    for part in ran:
        one = part[0]
        effects = [_effect(row) for row in part if row["effect"] is not None]
        said = (
            f"**{cell(one['sentence'])}** {cell(one['statement'])}",
            cell(one["reported"]),
            *(cell(one[answer] or "–") for answer in ("observed", "verdict")),
            "<br>".join(effects),
        )
        lines.append(f"| {' | '.join(said)} |")
    lacking = [
        f"- {row['test']}: {cell(row['size'])}" for part in ran for row in part if row["size"]
    ]
    missing = [row["test"] for part in parts for row in part if row["effect"] is None]
    found = ["\n".join(lines)]
    if lacking:
        found += ["What a row would need, or could have seen:", "\n".join(lacking)]
    if left:
        found.append(f"Not measured: {cell(', '.join(left))}. {cell(how_to_run(missing))}")
    return found


def _effect(row: Mapping[str, object]) -> str:
    """A row's test, its effect with the interval, in its unit, and its answer."""
    shown = interval(row["effect"], row["effect_low"], row["effect_high"])  # type: ignore[arg-type]
    return f"{row['test']}: {shown} {cell(row['effect_unit'])}, {cell(row['answer'])}"


def _function_tokens(folder: RunFolder) -> list[str]:
    if not folder.tokens("function_tokens").exists():
        return []
    found = read_frame(folder.tokens("function_tokens"))
    names = " ".join(f"<code>{cell(token)}</code>" for token in found["token"].head(_SHOWN))
    more = f" and {len(found) - _SHOWN} more" * (len(found) > _SHOWN)
    return ["## Function tokens", f"{len(found)} token types: {names}{more}."]


def _coverage(folder: RunFolder, study: Mapping[str, object]) -> list[str]:
    """The paper's Table 1, a column for each SAE, with the share that random positions reach."""
    if folder.judged is None or not graph_table(folder.judged, "coverage").exists():
        return []
    first = read_frame(graph_table(folder.judged, "coverage"))
    shown = {
        "rank": ("First tokens", lambda row: number(row["rank"])),
        "of_active": ("reach of the active features", lambda row: _share(row, "of_active")),
        "random": ("as many random positions", lambda row: percent(row["random"])),
    }
    found = ["## Coverage, as in the paper's Table 1", rows(first, shown)]
    places = [place.judged for place in (folder, *other_saes(folder, dict(study)))]
    graphs = {
        place.relative_to(folder.graphs).parts[0]: place for place in places if place is not None
    }
    if len(graphs) > 1:
        by_sae = side_by_side(graphs)
        columns = {name: (cell(name), _maker(name)) for name in by_sae.columns}
        found += ["Of the active features, by SAE:", rows(by_sae, columns)]
    return found


def _maker(name: str) -> Callable[[dict[str, object]], str]:
    def make(row: dict[str, object]) -> str:
        value = row[name]
        return percent(value) if isinstance(value, float) else cell(number(value))

    return make


def _share(row: Mapping[str, object], name: str) -> str:
    ends = [percent(row[f"{name}_{end}"]) for end in ("low", "high")]
    return f"{percent(row[name])} [{', '.join(ends)}]"


def _losses(folder: RunFolder) -> list[str]:
    """The last checkpoint's mean and shares by transition group."""
    if not folder.consolidation("loss_summary").exists():
        return []
    table = read_frame(folder.consolidation("loss_summary"))
    last = table.filter(pl.col("step").eq_missing(table["step"].max()))

    def mean(row: dict[str, object]) -> str:
        return interval(*(row[f"mean{end}"] for end in ("", "_low", "_high")))  # type: ignore[arg-type]

    shown = {
        "group": ("Transition", lambda row: cell(ARROWS.get(row["group"], row["group"]))),
        "mean": ("mean loss, nats", mean),
        "share_of_tokens": ("of the tokens", lambda row: _share(row, _LOSSES[0])),
        "share_of_loss": ("of the loss", lambda row: _share(row, _LOSSES[1])),
    }
    return ["## Losses", rows(last, shown)]


def _figure(figure: Figure, folder: RunFolder, pictures: str) -> Sequence[str]:
    reading, control = figure.plan.words(figure.table)
    behind = sample(figure, folder)
    return (
        f"## {cell(figure.plan.title)}",
        f"![{cell(figure.plan.title)}]({pictures}/{figure.name}.svg)",
        f"{cell(reading)} **Control.** {cell(control)}" + f" {cell(behind)}" * bool(behind),
    )
