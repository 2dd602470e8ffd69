"""Grids of answers as tables, as in the paper's Figures 7 and 11."""

import polars as pl

from functok.calibration.summary import MARKS
from functok.report.markup import escaped, interval, shortened
from functok.retrieval.steering.grid import rates

DIRECTIONS = {
    "none": "unsteered",
    "feature": "steered",
    "own": "features of the prompt's own counterpart",
    "shared": "one set of features for all prompts",
    "random": "random, of equal norm (control)",
}


def grid_table(grid: pl.DataFrame, columns: int) -> str:
    """Conditions × prompts as an HTML table; all text escaped.

    Args:
        grid: columns prompt (text), condition, direction, answer, right (null: not judged).
        columns: most prompts shown; the rates are over all prompts.
    """
    prompts = grid["prompt"].unique(maintain_order=True).to_list()[:columns]
    counted = {
        (row["condition"], row["direction"]): row for row in rates(grid).iter_rows(named=True)
    }
    heads = ["condition", "", *prompts, "right, of all prompts"][: None if counted else -1]
    rows = []
    for (condition, direction), part in grid.group_by(
        "condition", "direction", maintain_order=True
    ):
        cells = {row["prompt"]: row for row in part.iter_rows(named=True)}
        shown = [
            f"{cells[prompt]['answer'].strip()}{MARKS[cells[prompt]['right']]}"
            if prompt in cells
            else "–"
            for prompt in prompts
        ]
        texts = [str(condition) or "–", DIRECTIONS[str(direction)], *shown]
        if counted:
            rate = counted.get((str(condition), str(direction)))
            texts.append(
                "–"
                if rate is None
                else f"{interval(rate['rate'], rate['rate_low'], rate['rate_high'])} "
                f"of {rate['prompts']}"
            )
        rows.append(
            "<tr>" + "".join(f"<td>{escaped(shortened(text))}</td>" for text in texts) + "</tr>"
        )
    titles = "".join(f'<th scope="col">{escaped(head)}</th>' for head in heads)
    kind = "wide grid" if counted else "wide"  # the rates stay in sight
    return (
        f'<div class="{kind}"><table><thead><tr>{titles}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
