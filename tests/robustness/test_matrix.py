"""Every file of a finished run, damaged in every way: the right tables, or one sentence.

``FUNCTOK_TRIALS`` says how many of the trials are made: a number, drawn by a seed, or ``all``.
"""

import hashlib
import os
import random
import re
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path

import polars as pl
import pytest

from system.tiny import Outcome, functok

COMMANDS = {"continue": "run", "report": "report", "controls": "controls", "trace": "trace"}


def _written(change: Callable[[bytes], bytes]) -> Callable[[Path, Path], object]:
    """The file with another content; never in place, since the copy shares its files."""

    def damage(path: Path, other: Path) -> None:
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(change(content))

    return damage


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return (
        content[:middle] + bytes(byte ^ 1 for byte in content[middle:][:1]) + content[middle + 1 :]
    )


def _replaced(make: Callable[[Path, Path], object]) -> Callable[[Path, Path], object]:
    def damage(path: Path, other: Path) -> None:
        path.unlink()
        make(path, other)

    return damage


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "deleted": lambda path, other: path.unlink(),
    "emptied": _written(lambda content: b""),
    "halved": _written(lambda content: content[: len(content) // 2]),
    "flipped": _written(_flipped),
    "swapped": _replaced(lambda path, other: shutil.copy(other, path)),
    "folder": _replaced(lambda path, other: path.mkdir()),
    "link": _replaced(lambda path, other: path.symlink_to(other)),
    "pipe": _replaced(lambda path, other: os.mkfifo(path)),
}


_PASSING = re.compile(
    r'src="data:image[^"]*"|<dt>Made</dt>.*?</dd>|<summary>Seconds by part.*?</table>', re.DOTALL
)
"""What of a page is not compared: pictures, which are not drawn here, and the time it took."""


def copied(whole: Path, run: Path) -> None:
    """A copy that shares its files."""
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(whole, run, copy_function=os.link)


def contents(run: Path) -> dict[Path, str]:
    """The hash of every file."""
    files = [file for file in sorted(run.rglob("*")) if file.is_file()]
    return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


WANTED = os.environ.get("FUNCTOK_TRIALS", "150")
PARTS = 24 if WANTED == "all" else 1
"""Into so many the trials are divided, so that several processes share them."""


def trials(run: Path, part: int) -> list[tuple[str, str, str]]:
    """File, damage and command of the trials of one part, in a fixed order."""
    files = sorted(
        file.relative_to(run).as_posix()
        for file in run.rglob("*")
        if file.is_file() and not {"partials", "resume"} & {*file.relative_to(run).parts}
    )
    whole = list(product(files, DAMAGES, COMMANDS))
    count = len(whole) if WANTED == "all" else int(WANTED)
    return random.Random(0).sample(whole, count)[part::PARTS]


def other_tables(run: Path, whole: Path, damaged: Path | None) -> list[str]:
    """Tables of ``run`` that differ from the ``whole`` one, but for those with seconds in them.

    A table that no command wrote again is still the whole run's file. ``damaged`` is the file that
    the trial damaged, if the command may leave it as it is.
    """
    found = []
    for path in run.rglob("*.parquet"):
        name = path.relative_to(run).as_posix()
        first = whole / name
        if ".state" in path.parts or "training" in path.name or not path.is_file():
            continue
        if not first.is_file() or path.samefile(first) or path == damaged:
            continue
        try:
            if not pl.read_parquet(path).equals(pl.read_parquet(first)):
                found.append(name)
        except pl.exceptions.PolarsError:
            found.append(f"{name} (unreadable)")
    return found


def shown(done: Outcome, run: Path) -> tuple[str, str]:
    """What a command prints, and the report beside it, but for its pictures and seconds."""
    page = run / "report.html"
    text = page.read_bytes().decode(errors="replace") if page.is_file() else ""
    return _PASSING.sub("", done.out), _PASSING.sub("", text)


def problem(
    done: Outcome, run: Path, whole: Path, damaged: Path | None, right: tuple[str, str]
) -> str | None:
    """What is wrong with how a command ended; ``right`` is what it shows of the whole run."""
    if "Traceback" in done.err or done.code not in (0, 1, 2):
        return f"exit {done.code}: {done.err.strip().splitlines()[-1]}"
    if done.code == 2:
        said = [line for line in done.err.splitlines() if line.startswith("functok: ")]
        return None if len(said) == 1 else f"{len(said)} sentences: {done.err}"
    if done.code == 0:
        other = other_tables(run, whole, damaged)
        if other:
            return f"other tables, exit 0: {other[:3]}"
        printed, page = shown(done, run)
        if printed != right[0]:
            return "another printed table, exit 0"
        left = damaged == run / "report.html"
        return None if left or page == right[1] else "another page, exit 0"
    return None


@pytest.mark.timeout(9000)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.usefixtures("undrawn")
def test_damage_leads_to_the_right_tables_or_to_one_sentence(
    part: int, whole_run: Path, tmp_path: Path
):
    other = tmp_path / "other-run's-file"
    other.write_bytes(b'{"key": "another"}')
    before = contents(whole_run)
    wrong, made, run = [], trials(whole_run, part), tmp_path / "run"
    right = {}
    for command, name in COMMANDS.items():
        copied(whole_run, run)
        right[command] = shown(functok(name, run), run)
    for file, damage, command in made:
        copied(whole_run, run)
        DAMAGES[damage](run / file, other)
        left = (run / file).lstat().st_ino if damage != "deleted" else None
        done = functok(COMMANDS[command], run)
        # only a command that continues the run has to mend what it does not read
        now = (run / file).lstat().st_ino if os.path.lexists(run / file) else None
        same = run / file if command != "continue" and now == left else None
        found = problem(done, run, whole_run, same, right[command])
        if found is not None:
            wrong.append(f"{file} {damage}, {command}: {found}")
        assert other.read_bytes() == b'{"key": "another"}', "a file outside was touched"
    print(f"{len(made)} trials")
    assert contents(whole_run) == before, "a file was changed in place, not replaced"
    assert not wrong, f"{len(wrong)} of {len(made)} trials:\n" + "\n".join(wrong)
