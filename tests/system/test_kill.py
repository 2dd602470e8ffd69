"""kill -9 at any moment, run again: the same tables as without, and nothing half-written."""

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from system.tiny import different, results, unfinished

pytestmark = pytest.mark.timeout(3000)

LONG = os.environ.get("FUNCTOK_TRIALS") == "all"
long = pytest.mark.skipif(not LONG, reason="takes over ten minutes: make robustness")
KILLS, MORE = (50, ["--workers", "2"]) if LONG else (5, [])


class Forks:
    """The helper of ``forking.py``: it types ``functok run STUDY -o FOLDER``, and is killed."""

    def __init__(self, place: Path, study: Path) -> None:
        self.place, self.study = place, study
        self.output = place / "output.txt"
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("forking.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self._answer() == {"ready": True}

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def run(
        self, folder: Path, command: str = "run", more: Sequence[str] = (), **order: Any
    ) -> dict[str, Any]:
        """One attempt; a run that ends by itself must end well, unless its disk fills."""
        arguments = [command, str(self.study), "-o", str(folder), *more]
        order |= {"arguments": arguments, "output": str(self.output)}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        right = 2 if order.get("full") is not None else 0
        assert answer["killed"] or answer["code"] in (0, right), self.output.read_text()
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory, tiny_study: Path) -> Iterator[Forks]:
    helper = Forks(tmp_path_factory.mktemp("kill"), tiny_study)
    yield helper
    helper.close()


def writes(whole: Path) -> list[tuple[str, str]]:
    """Every write and moment in it, in the order in which an undisturbed run comes to them."""
    lines = (whole.parent / "writes.jsonl").read_text().splitlines()
    return list(dict.fromkeys(tuple(json.loads(line)) for line in lines))


def kinds(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """One write of each kind: just before and just after each renaming, and torn ones."""
    first: dict[tuple[str, str], tuple[str, str]] = {}
    for moment, place in found:
        kind = re.sub(r"step-\d+|(?<=dictionary-)\d+|(?<=graph-)\d+", "N", place)
        kind = re.sub(r"figures/\w[\w-]*", "figures/NAME", kind)
        kind = re.sub(r"baselines/[\w-]+", "baselines/NAME", kind)
        if moment == "torn":  # one per folder and format
            kind = os.path.dirname(kind) + os.path.splitext(kind)[1]
        if moment != "before" or ".state/done/" not in place:  # that is: after what it marks
            first.setdefault((moment, kind), (moment, place))
    return list(first.values())


def test_a_run_killed_at_any_moment_ends_with_the_same_tables(
    forks: Forks, whole_run: Path
) -> None:
    chance, kills, series = random.Random(11), 0, 0
    work = float((whole_run.parent / "finished").read_text())
    while kills < KILLS:
        folder = forks.place / f"run-random-{series}"
        for _ in range(30):
            # No part that is kept as a whole takes nearly half of the work.
            moment = chance.uniform(0.02, 0.5) * work
            if not forks.run(folder, "claims", MORE, seconds=moment)["killed"]:
                break
            kills += 1
        else:
            pytest.fail("thirty killed runs came to no end: what was finished is not kept")
        series += 1
        # the claims need neither the traces nor the texts that features fire on
        assert different(folder, whole_run) == [
            f"retrieval/{name}.parquet" for name in ("feature_contexts", "features", "traces")
        ]
        assert unfinished(folder) == []
    print(f"{kills} kills in {series} runs")


@long
def test_a_run_killed_inside_every_write_ends_with_the_same_tables(
    forks: Forks, whole_run: Path
) -> None:
    folder, missed = forks.place / "run-writes", []
    for moment, place in kinds(writes(whole_run)):
        if not forks.run(folder, die=[moment, place, 1])["killed"]:
            missed.append((moment, place))
    assert missed == []
    forks.run(folder)
    assert different(folder, whole_run, drawn=True) == []
    assert unfinished(folder) == []


def test_a_run_killed_in_each_kind_of_write_ends_with_the_same_tables(
    forks: Forks, whole_run: Path
) -> None:
    """Once for each moment and format, until the SAEs are trained."""
    folder, first = forks.place / "run-kinds", {}
    for moment, place in writes(whole_run):
        if place.startswith("graph"):
            break
        first.setdefault((moment, os.path.splitext(place)[1]), place)
    assert len(first) > 12
    chosen = {(moment, place) for (moment, _), place in first.items()}
    for moment, place in writes(whole_run):
        if (moment, place) in chosen:
            assert forks.run(folder, "dictionaries", die=[moment, place, 1])["killed"], place
    forks.run(folder, "dictionaries")
    made = results(folder)
    assert len(made) > 20
    assert set(different(folder, whole_run)).isdisjoint(made)
    assert unfinished(folder) == []


@long
def test_a_disk_that_fills_ends_in_one_sentence_and_the_run_goes_on(
    forks: Forks, whole_run: Path
) -> None:
    flushes = [place for moment, place in writes(whole_run) if moment == "torn"]
    folder = forks.place / "run-full"
    for count in sorted(random.Random(3).sample(range(len(flushes) // 5), 10)):
        assert forks.run(folder, full=count)["code"] == 2
        said = forks.output.read_text()
        assert said.count("functok: ") == 1
        assert "No space left on device" in said
        assert "Traceback" not in said
    forks.run(folder)
    assert different(folder, whole_run, drawn=True) == []
    assert unfinished(folder) == []


def test_every_kind_of_result_is_among_the_writes_that_were_killed(whole_run: Path) -> None:
    places = {place for _, place in writes(whole_run)}
    written = {
        path.relative_to(whole_run).as_posix()
        for path in whole_run.rglob("*")
        if path.is_file() and path.relative_to(whole_run).as_posix() != ".state/lock"
    }
    alone = {name for name in written if not any(_inside(name, place) for place in places)}
    assert alone == set()


def _inside(name: str, place: str) -> bool:
    return name == place or name.startswith(f"{place}/")


def test_a_state_killed_while_it_is_replaced_is_still_a_state(
    forks: Forks, whole_run: Path
) -> None:
    """Only what came after the last kept state is trained again."""
    removed = next(place for moment, place in writes(whole_run) if moment == "half")
    states, folder = os.path.dirname(removed), forks.place / "run-state"
    for moment, place in (
        ("torn", "step-000008/share-00000.safetensors"),
        ("before", "step-000008/state.json"),
        ("after", "step-000008/state.json"),
        ("before aside", "step-000004"),  # the state before the last two goes
        ("after aside", "step-000004"),
        ("half", "step-000008"),
    ):
        answer = forks.run(folder, "pretrain", die=[moment, f"{states}/{place}", 1])
        assert answer["killed"], moment
        kept = sorted(path.name for path in (folder / "models").iterdir())
        assert kept[:4] == ["step-000000", "step-000001", "step-000002", "step-000004"]
    before = {
        path: path.stat().st_mtime_ns for path in (folder / "models").glob("*/model.safetensors")
    }
    forks.run(folder, "pretrain")
    for path, written in before.items():
        assert path.stat().st_mtime_ns == written, (
            "a checkpoint that was finished was written again"
        )
    apart = different(folder, whole_run)
    assert apart
    assert all(name not in results(folder) for name in apart)
