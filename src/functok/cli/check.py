"""``functok check``: what of a run folder is whole, what is damaged, what would be made again."""

import typer

from functok.cli.arguments import Target
from functok.runtime.errors import require


def check(run: Target) -> None:
    """Read every file of a run in full, and say what is damaged and what would be made again.

    Nothing is written. The exit code is 1 where something is damaged.
    """
    from functok.cli.console import ConsoleProgress
    from functok.cli.show import print_line
    from functok.report.step import STEPS
    from functok.study.run import open_run
    from functok.study.runner import Runner

    require(run.is_dir(), f"{run} is no run folder; give one to check.")
    found = open_run(run, ConsoleProgress())
    runner, records = Runner(found, STEPS), found.folder.records
    damaged = 0
    for step in STEPS:
        record = records.read(step.name)
        if not record:
            continue
        damage = records.damage(step.name)
        damaged += len(damage)
        for name, wrong in damage.items():
            print_line(f"{found.folder.root / name} {wrong}")
        if damage:
            again = "its files are to be copied back" if step.precious else "would be made again"
            print_line(f"{step.name}: damaged; {again}")
        elif record.get("stale") or record.get("key") != runner.key(step.name):
            print_line(f"{step.name}: not up to date; would be made again")
        else:
            print_line(f"{step.name}: whole, {len(record.get('files', {}))} files")
    if damaged:
        raise typer.Exit(1)
