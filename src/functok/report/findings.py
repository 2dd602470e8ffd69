"""The first part of the report: every claim with its verdict, and whether the model learned."""

from collections.abc import Iterable, Sequence

import polars as pl

from functok.claims.verdicts import beside
from functok.report.markup import escaped, folded, identity, interval, number
from functok.runtime.store import RunFolder, read_frame, read_json
from functok.stats import jackknife_ratio
from functok.study.steps import STEPS
from functok.study.summary import model_name

RULE = (
    "“Observed?” asks whether this model shows what the paper reports: yes where the 95 % "
    "interval of the effect lies above 0. “Beyond its control?” compares with a control: "
    "supported where the interval lies above 0 (contradicted: below) and a primary test keeps "
    "p < .05 after Holm's correction; negligible where the whole interval lies within "
    "the margin declared for the row; undecided otherwise. A claim needs all of its "
    "rows; “so far” means that some were not run."
)
"""``claims.rule`` in short."""

COMMANDS = {step.name: step.name if step.summary else "run" for step in STEPS}
"""The command that does each step."""
_OF_TEST = {test: COMMANDS[step.name] for step in STEPS for test in step.evidence}
_HEADS = ("Verdict", "Claim", "The paper reports", "Observed?", "Beyond its control?")
_ROW_HEADS = ("Question", "Answer", "Measured", "Control", "Effect")


def claims_table(claims: pl.DataFrame) -> str:
    """``claims.parquet`` as a table: one row per claim, and folded below it what each verdict
    rests on. The claims of which nothing was run are folded below."""
    parts = [part.to_dicts() for part in claims.partition_by("claim", maintain_order=True)]
    ran = [rows for rows in parts if any(row["effect"] is not None for row in rows)]
    left = [rows for rows in parts if rows not in ran]
    said = ", ".join(str(rows[0]["claim"]).replace("-", " ") for rows in left)
    return (_table(ran) if ran else "") + (
        folded(f"<b>Claims not measured.</b> {escaped(said)}", _table(left)) if left else ""
    )


def _table(claims: Sequence[list[dict]]) -> str:
    body = "".join(map(_claim, claims))
    return f'<table class="findings">{_head(_HEADS)}<tbody>{body}</tbody></table>'


def _claim(rows: list[dict]) -> str:
    """A claim's row, and the one that holds its tests."""
    claim = rows[0]
    notes = [beside(claim), claim["sae_warning"]]
    cells = (
        f"<b>{escaped(_capital(claim['sentence']))}</b>" + _small(notes),
        escaped(claim["statement"]) + _small([claim["section"]]),
        escaped(claim["reported"]),
        _answered(claim["observed"], [row for row in rows if row["kind"] == "observation"]),
        _answered(claim["verdict"], [row for row in rows if row["kind"] != "observation"]),
    )
    ran = [row for row in rows if row["effect"] is not None]
    left = [row["test"] for row in rows if row["effect"] is None]
    what = f"{len(ran)} of {len(rows)} rows were run"
    what += f"; not run: {', '.join(left)}" * bool(left)
    how = f'<p class="unrun">{escaped(how_to_run(left))}</p>' if left else ""
    if ran:
        body = "".join(
            _row(_ROW_HEADS, _measured(row), identity("row", row["test"])) for row in ran
        )
        table = f"<table>{_head(_ROW_HEADS)}<tbody>{body}</tbody></table>"
        reason = f"<p>{escaped(claim['reason'])}</p>" if claim["reason"] else ""
        under = folded(escaped(what), reason + table + how)
    else:
        under = f'<p class="unrun">{escaped(what)}</p>{how}'
    return (
        _row(_HEADS, cells, identity("claim", claim["claim"]))
        + f'<tr><td class="under" colspan="{len(_HEADS)}">{under}</td></tr>'
    )


def how_to_run(tests: Iterable[str]) -> str:
    """Which commands run these tests, in a sentence each."""
    by: dict[str, list[str]] = {}
    for test in tests:
        by.setdefault(_OF_TEST.get(test, ""), []).append(test)
    nowhere = by.pop("", [])
    said = [f"functok {name} RUN measures {', '.join(found)}." for name, found in by.items()]
    said += [f"No command measures {', '.join(nowhere)} yet."] * bool(nowhere)
    return " ".join(said)


def _answered(answer: str | None, rows: list[dict]) -> str:
    """The answer to one of a claim's two questions, and what its rows are short of."""
    short = [f"{row['test']}: {row['size']}" for row in rows if row["size"]]
    return "–" if answer is None else badge(answer) + _small(short)


def _measured(row: dict) -> tuple[str, ...]:
    """The cells of a row that was run."""
    measured, effect = (
        f"<b>{interval(row[name], row[f'{name}_low'], row[f'{name}_high'])}</b>"
        for name in ("measured", "effect")
    )
    p_value = f"p = {number(row['p_value'])}"
    if row["holm_p"] is not None:
        p_value += f", {number(row['holm_p'])} after Holm"
    within = [f"margin ±{number(row['margin'])}"] * bool(row["margin"])
    by = f"{number(row['units'])} {row['unit']}"
    name, unit = row["effect_name"], row["effect_unit"]
    compared = name if unit in name else f"{name}, {unit}"
    return (
        escaped(f"{_capital(row['asks'])}?")
        + _small([f"{row['test']}, {row['kind']}: tests/{row['test']}.parquet"]),
        badge(row["answer"]) + _small([row["size"]]),
        measured + _small([row["statistic"]]),
        f"<b>{number(row['control_value'])}</b>" + _small([row["control"]]),
        effect + _small([compared, *within, p_value, by]),
    )


def how_reached() -> str:
    """``RULE``, folded."""
    return folded("<b>How verdicts are reached</b>", f'<p class="rule">{escaped(RULE)}</p>')


def badge(answer: str) -> str:
    """An answer in its colour."""
    return f'<span class="badge {answer.replace(" ", "-")}">{escaped(answer)}</span>'


def _small(notes: Sequence[str | None]) -> str:
    return "".join(f"<small>{escaped(note)}</small>" for note in notes if note)


def _head(heads: tuple[str, ...]) -> str:
    cells = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return f"<thead><tr>{cells}</tr></thead>"


def _row(heads: tuple[str, ...], cells: tuple[str, ...], id: str) -> str:
    """``cells`` are HTML; ``id`` is where links lead to."""
    named = zip(heads, cells, strict=True)
    body = "".join(f'<td data-head="{head}">{cell}</td>' for head, cell in named)
    return f'<tr id="{id}">{body}</tr>'


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def sae_health(folder: RunFolder) -> str:
    """The line on the SAE that claims rest on; empty where there is none."""
    place = folder.judged
    if place is None or not (place / "health.json").exists():
        return ""
    found = read_json(place / "health.json")
    return " ".join(filter(None, (found["line"], found["warning"])))


def learned(folder: RunFolder) -> str:
    """Did the model learn more than word pairs? A sentence, from the same held-out tokens."""
    paths = [folder.consolidation(name) for name in ("losses", "floors")]
    if not all(path.exists() for path in paths):
        return "The held-out loss was not measured, so it is unknown whether the model learned."
    losses, floors = (read_frame(path) for path in paths)
    step, name = losses["step"].max(), model_name(folder)
    model, floor = (
        part.group_by("document_group")
        .agg(pl.col("loss_sum", "count").sum())
        .sort("document_group")
        for part in (losses.filter(pl.col("step").eq_missing(step)), floors)
    )
    count = model["count"].to_numpy().astype(float)
    sums, floor_sums = model["loss_sum"].to_numpy(), floor["loss_sum"].to_numpy()
    mean, bigram = jackknife_ratio(sums, count), jackknife_ratio(floor_sums, count)
    excess = jackknife_ratio(sums - floor_sums, count)
    if excess.high < 0:
        said = "so it has learned more than word pairs"
    elif excess.low > 0:
        said = "so it has not learned even word pairs; read all results below with that in mind"
    else:
        said = "so it is indistinguishable from a model of word pairs"
    who, when = name or "the model", "" if step is None else f" at step {step}"
    return (
        f"On held-out text {who}'s loss is {interval(mean.value, mean.low, mean.high)} nats "
        f"per token{when}, that of a Kneser–Ney bigram on the same tokens "
        f"{interval(bigram.value, bigram.low, bigram.high)}: a difference of "
        f"{interval(excess.value, excess.low, excess.high)}, {said}."
    )
