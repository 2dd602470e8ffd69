"""Every file of a finished run, damaged in every way: the right tables, or one sentence.

``FUNCTOK_TRIALS`` says how many of the trials are made: a number, drawn by a seed, or ``all``.
"""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path

import polars as pl
import pytest

from system.tiny import Outcome, functok

COMMANDS = {
    "continue": ["run"],
    "report": ["report"],
    "controls": ["controls"],
    "trace": ["trace"],
}


def _flipped(path: Path, other: Path) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def _replaced(make: Callable[[Path, Path], object]) -> Callable[[Path, Path], None]:
    def damage(path: Path, other: Path) -> None:
        path.unlink()
        make(path, other)

    return damage


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "deleted": lambda path, other: path.unlink(),
    "emptied": lambda path, other: path.write_bytes(b""),
    "halved": lambda path, other: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flipped": _flipped,
    "swapped": lambda path, other: shutil.copy(other, path),
    "folder": _replaced(lambda path, other: path.mkdir()),
    "link": _replaced(lambda path, other: path.symlink_to(other)),
    "pipe": _replaced(lambda path, other: os.mkfifo(path)),
}


def trials(run: Path) -> Iterator[tuple[str, str, str]]:
    """File, damage and command of every trial that is to be made, in a fixed order."""
    files = sorted(
        file.relative_to(run).as_posix()
        for file in run.rglob("*")
        if file.is_file() and not {"partials", "resume"} & {*file.relative_to(run).parts}
    )
    whole = list(product(files, DAMAGES, COMMANDS))
    wanted = os.environ.get("FUNCTOK_TRIALS", "40")
    yield from whole if wanted == "all" else random.Random(0).sample(whole, int(wanted))


def tables(run: Path) -> dict[str, pl.DataFrame]:
    """Every table of a run; those of seconds and dates are none."""
    found = {}
    for path in run.rglob("*.parquet"):
        if path.is_file() and ".state" not in path.parts and "training" not in path.name:
            with suppress(
                pl.exceptions.ComputeError
            ):  # damaged still, since the command did not need it
                found[path.relative_to(run).as_posix()] = pl.read_parquet(path)
    return found


def problem(done: Outcome, before: dict[str, pl.DataFrame], run: Path) -> str | None:
    """What is wrong with how a command ended."""
    if "Traceback" in done.err or done.code not in (0, 1, 2):
        return f"exit {done.code}: {done.err.strip().splitlines()[-1]}"
    if done.code == 2:
        said = [line for line in done.err.splitlines() if line.startswith("functok: ")]
        return None if len(said) == 1 else f"{len(said)} sentences: {done.err}"
    if done.code == 0:
        after = tables(run)
        other = [name for name in after if name in before and not after[name].equals(before[name])]
        return f"other tables, exit 0: {other[:3]}" if other else None
    return None


@pytest.mark.timeout(3000)
def test_damage_leads_to_the_right_tables_or_to_one_sentence(whole_run: Path, tmp_path: Path):
    before = tables(whole_run)
    other = tmp_path / "other-run's-file"
    other.write_bytes(b'{"key": "another"}')
    wrong, made = [], 0
    for file, damage, command in trials(whole_run):
        run = tmp_path / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(whole_run, run)
        DAMAGES[damage](run / file, other)
        found = problem(functok(COMMANDS[command][0], run), before, run)
        made += 1
        if found is not None:
            wrong.append(f"{file} {damage}, {command}: {found}")
        assert other.read_bytes() == b'{"key": "another"}', "a file outside was touched"
    print(f"{made} trials")
    assert not wrong, f"{len(wrong)} of {made} trials:\n" + "\n".join(wrong)
