"""The link that asks whether it is frequency: every control of the last graph, each done once.

``controls/ran.parquet`` says which were run, and why others could not be: columns control, title,
tables (their names, separated by blanks), absent (the reason, else null), key (of everything that
determines them). It lies with the tables, so that a graph built anew has no controls; and a run
that was stopped, or is asked for one control alone, repeats none that is done.
``controls/compared.parquet`` says what was held against what (``Inputs.compared``).
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from functok.controls.control import Control, Result
from functok.controls.inputs import Inputs
from functok.controls.opened import treebank_labels
from functok.controls.suite.suite import CONTROLS, chosen
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.labelled import LabelledGraph
from functok.runtime.progress import Progress
from functok.runtime.store import RunFolder, control_table, write_table
from functok.study.run import Run
from functok.study.steps.baselines import beside


def controls(run: Run, key: str) -> None:
    """The study's controls, of the last graph."""
    control_run(run, run.study.controls.only, key)


def control_run(run: Run, names: Sequence[str], key: str) -> None:
    """The controls of these names, of a run's last graph; all for none.

    Raises:
        UserError: for a name that there is not.
    """
    place = run.folder.graph(run.decomposed[-1].step)
    _carry_out(place, run.folder, chosen(names), lambda: _inputs(run), key, run.progress)


def control_graph(
    place: Path,
    given: Callable[[], Inputs],
    names: Sequence[str],
    key: str,
    progress: Progress,
) -> None:
    """The controls of these names, of a graph without a study; its tests lie beside its tables.

    Args:
        place: the graph's folder.
        given: what the controls need; only asked for where one is left to do.
        names: of the controls; all for none.
        key: stands for everything that determines the outcome.
        progress: who is told.

    Raises:
        UserError: for a name that there is not.
    """
    _carry_out(place, tests_of(place), chosen(names), given, key, progress)


def tests_of(place: Path) -> RunFolder:
    """Where the tests of a graph without a study lie."""
    return RunFolder(control_table(place, "any").parent)


def _inputs(run: Run) -> Inputs:
    part, names = run.study.controls, run.study.tokens
    graph = TokenFeatureGraph.load(run.folder.graph(run.decomposed[-1].step))
    subject = LabelledGraph(graph, run.vocabulary, run.study.seed)
    treebank = None if names.treebank is None else Path(names.treebank)
    labels = treebank_labels(treebank, run.tokenizer)
    encoded = run.encoded("graph")
    others = beside(run)._asdict()
    return Inputs(subject, encoded, labels, part.unit, part.exposure, **others)


def _carry_out(
    place: Path,
    tests: RunFolder,
    picked: Sequence[Control],
    given: Callable[[], Inputs],
    key: str,
    progress: Progress,
) -> None:
    """Run each control that is not done, and write what it leaves."""
    done = {row["control"] for row in _ran(place).iter_rows(named=True) if row["key"] == key}
    left = [one for one in picked if one.name not in done]
    if not left:
        return
    inputs = given()
    write_table(control_table(place, "compared"), inputs.compared().to_arrow())
    with progress.task("Controls", len(left), "controls") as task:
        for control in left:
            _forget(place, tests, control)
            _write(place, tests, control, control.work(inputs), key)
            task.advance(note=control.name)


def _ran(place: Path) -> pl.DataFrame:
    path = control_table(place, "ran")
    return pl.read_parquet(path) if path.exists() else pl.DataFrame(schema=_RAN)


def _forget(place: Path, tests: RunFolder, control: Control) -> None:
    """Remove what a control left under other settings, its row first."""
    ran, mine = _ran(place), pl.col("control") == control.name
    if len(ran.filter(mine)):
        write_table(control_table(place, "ran"), ran.filter(~mine).to_arrow())
    for names in ran.filter(mine)["tables"]:
        for name in names.split():
            control_table(place, name).unlink(missing_ok=True)
    for test in control.tests:
        tests.test(test).unlink(missing_ok=True)


def _write(place: Path, tests: RunFolder, control: Control, result: Result, key: str) -> None:
    """Its tables and tests, and last its row."""
    for name, table in result.tables.items():
        write_table(control_table(place, name), table.to_arrow())
    for evidence in result.tests:
        evidence.write(tests)
    mine = (control.name, control.title, " ".join(result.tables), result.absent or None, key)
    rows = {row[0]: row for row in [*_ran(place).iter_rows(), mine]}
    ordered = [rows[one.name] for one in CONTROLS if one.name in rows]
    ran = pl.DataFrame(ordered, _RAN, orient="row")
    write_table(control_table(place, "ran"), ran.to_arrow())


_RAN: dict[str, pl.DataType | type[pl.DataType]] = {
    "control": pl.String,
    "title": pl.String,
    "tables": pl.String,
    "absent": pl.String,
    "key": pl.String,
}
