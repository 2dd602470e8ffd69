"""What ``functok controls`` answers: the verdict, the tests, and what could not be run."""

from pathlib import Path

import polars as pl

from functok.cli.show import print_line, print_table
from functok.controls.effects import effect_table
from functok.controls.suite.suite import CONTROLS
from functok.runtime.store import RunFolder, control_table


def show_controls(place: Path, tests: RunFolder) -> None:
    """Everything that the controls of the graph at ``place`` have found so far.

    Args:
        place: the graph's folder.
        tests: where its tests lie.
    """
    declared = [name for control in CONTROLS for name in control.tests]
    found = [pl.read_parquet(tests.test(name)) for name in declared if tests.test(name).exists()]
    if found:
        print_line("Declared tests:")
        columns = ("test", "statistic", "measured", "control_value", "effect", "effect_low",
                   "effect_high", "p_value")  # fmt: skip
        print_table(pl.concat(found).select(columns))
    effects = effect_table(place)
    if len(effects):
        print_line("\nFunction against content types, log ratio of features at equal exposure:")
        print_table(effects)
    ran = pl.read_parquet(control_table(place, "ran"))
    for row in ran.filter(pl.col("absent").is_not_null()).iter_rows(named=True):
        print_line(f"Not run, {row['control']}: {row['absent']}")
    print_line(f"Tables: {control_table(place, 'ran').parent}")
