"""The first part of the report: every claim with its control, and whether the model learned."""

import polars as pl

from functok.claims.verdicts import beside
from functok.report.markup import escaped, interval, number
from functok.runtime.store import RunFolder, read_frame, read_json
from functok.stats import jackknife_ratio
from functok.study.summary import model_name

RULE = (
    "A claim is supported if every test of it was run and each effect (the measurement compared "
    "with its control) has a 95 % interval above 0; a primary test must also keep p < .05 after "
    "Holm's correction over all eight. It is not supported if some effect lies below 0, or is "
    "shown to be too small to matter. It is undecided otherwise, and always if no control was run."
)
"""``claims.verdict`` in one sentence."""

_HEADS = ("Claim", "The paper reports", "Measured", "Control", "Effect", "Verdict")


def claims_table(claims: pl.DataFrame) -> str:
    """``claims.parquet`` as a table: one row per claim, or per test that ran."""
    rows = []
    for part in claims.partition_by("claim", maintain_order=True):
        tests = part.to_dicts()
        ran = [test for test in tests if test["effect"] is not None]
        missing = [test["test"] for test in tests if test["effect"] is None]
        rows.extend(_rows(tests[0], ran, missing))
    heads = "".join(f'<th scope="col">{head}</th>' for head in _HEADS)
    return (
        f'<table class="findings"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _rows(claim: dict, ran: list[dict], missing: list[str]) -> list[str]:
    """A claim's rows: the cell of the claim spans those of its tests."""
    span = f' rowspan="{max(len(ran), 1)}"'
    verdict = claim["verdict"]
    badge = f'<span class="badge {verdict.replace(" ", "-")}">{escaped(verdict)}</span>'
    if said := beside(claim):
        badge += f"<small>{escaped(said)}</small>"
    if claim["sae_warning"]:
        badge += f"<small>{escaped(claim['sae_warning'])}</small>"
    account = claim["explanation"]
    why = f"<small>Explanation: {account}. {escaped(claim['reason'])}</small>" if account else ""
    left = (
        f"<td{span} data-head='{_HEADS[0]}'>{escaped(claim['statement'])}"
        f"<small>{escaped(claim['section'])}</small>{why}</td>"
        f"<td{span} data-head='{_HEADS[1]}'>{escaped(claim['reported'])}</td>"
    )
    unrun = f"<small>not run: {escaped(', '.join(missing))}</small>" if missing and ran else ""
    right = f"<td{span} data-head='{_HEADS[5]}'>{badge}{unrun}</td>"
    if not ran:
        names = escaped(", ".join(missing))
        return [f"<tr>{left}<td colspan='3' class='unrun'>not run ({names})</td>{right}</tr>"]
    cells = [_test_cells(test) for test in ran]
    return [f"<tr>{left}{cells[0]}{right}</tr>", *(f"<tr>{cell}</tr>" for cell in cells[1:])]


def _test_cells(test: dict) -> str:
    measured, effect = (
        interval(test[name], test[f"{name}_low"], test[f"{name}_high"])
        for name in ("measured", "effect")
    )
    holm = "" if test["holm_p"] is None else f"; p = {number(test['holm_p'])} (Holm)"
    return (
        f"<td data-head='{_HEADS[2]}'><b>{measured}</b><small>{escaped(test['statistic'])}</small>"
        f"</td><td data-head='{_HEADS[3]}'><b>{number(test['control_value'])}</b>"
        f"<small>{escaped(test['control'])}</small></td>"
        f"<td data-head='{_HEADS[4]}'><b>{effect}</b>"
        f"<small>{escaped(test['effect_name'])}; {number(test['units'])} {escaped(test['unit'])}; "
        f"{escaped(test['test'])}, {escaped(test['kind'])}{holm}</small></td>"
    )


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
        said = "so it has not even learned word pairs; keep this in mind for all that follows"
    else:
        said = "so it is indistinguishable from a model of word pairs"
    who, when = name or "the model", "" if step is None else f" at step {step}"
    return (
        f"On held-out text {who}'s loss is {interval(mean.value, mean.low, mean.high)} nats "
        f"per token{when}, that of a Kneser–Ney bigram on the same tokens "
        f"{interval(bigram.value, bigram.low, bigram.high)}: a difference of "
        f"{interval(excess.value, excess.low, excess.high)}, {said}."
    )
