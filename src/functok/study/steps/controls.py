"""Is it frequency? Every control of the last graph of each SAE that is chosen, each done once.

``controls/ran.parquet`` says which were run, and why others could not be: columns control, title,
tables (their names, separated by blanks), absent (the reason, else null), key (of everything that
determines them). It lies with the tables, so that a rebuilt graph has no controls; and a run that
was stopped, or is asked for one control alone, repeats none that is done.
``controls/compared.parquet`` says what was compared with what (``Inputs.compared``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functok.controls.names import CONTROL_NAMES
from functok.runtime.errors import require
from functok.runtime.paths import user_path
from functok.runtime.store import control_table, read_frame, remove_file, write_table
from functok.study.opening import controlled
from functok.study.plan.cost import Cost
from functok.study.run import Run
from functok.study.step import Step, needs_sae
from functok.study.steps.baselines import compared

if TYPE_CHECKING:
    import polars as pl

    from functok.controls.control import Control, Result
    from functok.controls.inputs import Inputs
    from functok.study.plan.forecast import Forecast
    from functok.study.step import Shown

TESTS = ("P1", "P2", "P3", "P4", "O-hubs")
_ALWAYS, _TOKEN, _FIRING, _HELD = 25.0, 1e-4, 2.8e-5, 200
"""Seconds of ``Forecast.work`` of all controls, the same for each id of the tokenizer and for each
active feature at a position, and bytes that one takes."""


def _work(run: Run, key: str) -> None:
    control_run(run, run.study.controls.only, key)


def control_run(run: Run, names: Sequence[str], key: str) -> None:
    """The controls of these names, all for none: of the SAE that is looked at, or of each chosen
    one.

    Raises:
        UserError: for a name that there is not, or an SAE that has no controls.
    """
    for seen in looked_at(run):
        _control(seen, names, key)


def looked_at(run: Run) -> Iterable[Run]:
    """The SAE that is looked at, or else each that the study controls.

    Raises:
        UserError: if it is not one of them.
    """
    if run.chosen is None:
        return controlled(run)
    named = f"SAE {run.chosen} has no controls; name it under controls.of in the study."
    require(run.chosen in run.study.controlled, named)
    return [run]


def _control(run: Run, names: Sequence[str], key: str) -> None:
    from functok.controls.suite.suite import chosen

    place = run.judged
    done = {row["control"] for row in _ran(place).iter_rows(named=True) if row["key"] == key}
    left = [one for one in chosen(names) if one.name not in done]
    if not left:
        return
    inputs = _inputs(run)
    write_table(control_table(place, "compared"), inputs.compared().to_arrow())
    with run.progress.task("Controls", len(left), "controls") as task:
        for control in left:
            _forget(run, control)
            _write(run, control, control.work(inputs), key)
            task.advance(note=control.name)


def _inputs(run: Run) -> Inputs:
    from functok.controls.inputs import Inputs
    from functok.controls.occurrences.labelled import Labels
    from functok.graph.bipartite import TokenFeatureGraph
    from functok.graph.labelled import LabelledGraph
    from functok.tokens.grammar.treebanks import read_treebank

    part, names = run.study.controls, run.study.tokens
    graph = TokenFeatureGraph.load(run.judged)
    subject = LabelledGraph(graph, run.vocabulary, run.study.seed)
    labels = None
    if (bank := part.treebank or names.treebank) is not None:
        labels = Labels.of_treebank(read_treebank(user_path(bank)), run.tokenizer)
    others = compared(run)._asdict()
    return Inputs(subject, run.encoded("graph"), labels, part.unit, part.exposure, **others)


def _ran(place: Path) -> pl.DataFrame:
    import polars as pl

    path = control_table(place, "ran")
    if path.exists():
        return read_frame(path)
    columns = ("control", "title", "tables", "absent", "key")
    return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))


def _forget(run: Run, control: Control) -> None:
    """Remove what a control left under other settings, its row first."""
    import polars as pl

    place = run.judged
    ran, mine = _ran(place), pl.col("control") == control.name
    if len(ran.filter(mine)):
        write_table(control_table(place, "ran"), ran.filter(~mine).to_arrow())
    for names in ran.filter(mine)["tables"]:
        for name in names.split():
            remove_file(control_table(place, name))
    for test in control.tests:
        remove_file(run.folder.test(test))


def _write(run: Run, control: Control, result: Result, key: str) -> None:
    """Its tables and tests, and last its row."""
    import polars as pl

    place = run.judged
    for name, table in result.tables.items():
        write_table(control_table(place, name), table.to_arrow())
    for evidence in result.tests:
        evidence.write(run.folder, len(run.encoded("graph")))
    mine = (control.name, control.title, " ".join(result.tables), result.absent or None, key)
    before = _ran(place)
    rows = {row[0]: row for row in [*before.iter_rows(), mine]}
    ordered = [rows[name] for name in CONTROL_NAMES if name in rows]
    ran = pl.DataFrame(ordered, before.schema, orient="row")
    write_table(control_table(place, "ran"), ran.to_arrow())


def _shows(run: Run) -> Shown:
    """Everything that the controls have found so far."""
    import polars as pl

    from functok.controls.effects import effect_table

    run = next(iter(looked_at(run)))
    place = run.judged
    found = [run.folder.test(name) for name in TESTS if run.folder.test(name).exists()]
    if found:
        yield "Declared tests:"
        yield pl.concat([read_frame(path) for path in found]).select(
            *("test", "statistic", "measured", "control_value"),
            *("effect", "effect_low", "effect_high", "p_value"),
        )
    effects = effect_table(place)
    if len(effects):
        yield "\nFunction versus content types, log ratio of features at equal exposure:"
        yield effects
    for row in _ran(place).filter(pl.col("absent").is_not_null()).iter_rows(named=True):
        yield f"Not run, {row['control']}: {row['absent']}"
    yield f"Tables: {control_table(place, 'ran').parent}"


def _which(run: Run) -> list[str]:
    part = run.study.controls
    return [name for name in CONTROL_NAMES if not part.only or name in part.only]


def _settings(run: Run) -> Any:
    part, names = run.study.controls, run.study.tokens
    found = [_which(run), part.unit, part.exposure, names.languages, _treebank_key(run)]
    return [*found, part.of] if part.of else found


def _treebank_key(run: Run) -> str | None:
    """What the treebank holds, wherever it lies."""
    place = run.study.controls.treebank
    if place is None:
        return run.study.tokens.treebank
    from functok.tokens.grammar.treebanks import treebank_fingerprint

    return treebank_fingerprint(user_path(place))


def _check(run: Run) -> None:
    from functok.tokens.grammar.treebanks import read_treebank

    if run.study.controls.treebank is not None:
        read_treebank(user_path(run.study.controls.treebank))


def _cost(run: Run, forecast: Forecast) -> Cost:
    """Of each SAE that has controls: so long for a control, and for its graph's firings."""
    tokens, cost = forecast.tokens("graph"), Cost()
    share, always = len(_which(run)) / len(CONTROL_NAMES), _ALWAYS + _TOKEN * forecast.vocabulary
    for seen in controlled(run):
        firings = tokens * forecast.probe.sae(seen.main).l0
        cost += forecast.work(share * (always + _FIRING * firings), round(_HELD * firings))
    return cost


def _leaves(run: Run) -> Iterable[Path]:
    for seen in controlled(run):
        yield control_table(seen.judged, "any").parent


CONTROLS = Step(
    name="controls",
    number=4,
    title="Running the frequency controls",
    needs=("coverage", "baselines"),
    settings=_settings,
    work=_work,
    cost=_cost,
    leaves=_leaves,
    excuse=needs_sae,
    check=_check,
    evidence=TESTS,
    figures=(
        *("class-effects", "frequency-by-class", "matched-pairs", "common-frequencies"),
        *("exposure-curve", "exposure-references", "exposure-sizes", "accumulation"),
        *("specifications-coverage", "specifications-class", "specifications-total"),
        *("specifications-direct", "feature-kinds"),
    ),
    summary="Is it frequency? Controls for degree and coverage.",
    shows=_shows,
    by_sae=True,
)
