"""The same result wherever shards run; finished shards are kept, whatever happens to others."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from functok.runtime.engine import InProcess, Workers, run_shards
from functok.runtime.errors import UserError


@dataclass(frozen=True)
class Sum:
    """Numbers and the order in which they were merged."""

    numbers: tuple[int, ...]

    def merge(self, other: "Sum") -> "Sum":
        return Sum(self.numbers + other.numbers)

    def save(self, folder: Path) -> None:
        (folder / "numbers.txt").write_text(" ".join(map(str, self.numbers)))


@dataclass(frozen=True)
class Squares:
    """Squares a number; leaves a line in ``log`` for every shard that it works on."""

    log: Path
    bad: int = -1
    """The shard that fails."""
    key: str = "squares"

    def shard_key(self, shard: int) -> str:
        return str(shard)

    def run(self, shard: int) -> Sum:
        with open(self.log, "a") as log:
            log.write(f"{shard} {os.getpid()}\n")
        if shard == self.bad:
            raise UserError(f"Shard {shard} cannot be read.")
        return Sum((shard * shard,))

    def load(self, folder: Path) -> Sum:
        return Sum(tuple(map(int, (folder / "numbers.txt").read_text().split())))

    def worked(self) -> list[int]:
        """The shards worked on so far, ascending."""
        return sorted(int(line.split()[0]) for line in self.log.read_text().splitlines())

    def processes(self) -> set[int]:
        return {int(line.split()[1]) for line in self.log.read_text().splitlines()}


class Backwards:
    """An engine that does the last shard first."""

    def each(self, work: Sequence[Callable[[], None]]) -> Iterator[None]:
        for piece in reversed(work):
            yield piece()


SHARDS = [3, 1, 4, 15, 9]
MERGED = Sum((9, 1, 16, 225, 81))


@pytest.fixture
def job(tmp_path: Path) -> Squares:
    return Squares(tmp_path / "log.txt")


def test_workers_give_the_result_of_this_process(job: Squares, tmp_path: Path) -> None:
    assert run_shards(job, SHARDS, tmp_path / "here", InProcess()) == MERGED
    assert job.processes() == {os.getpid()}
    job.log.unlink()
    assert run_shards(job, SHARDS, tmp_path / "workers", Workers(2)) == MERGED
    assert os.getpid() not in job.processes()
    assert job.worked() == sorted(SHARDS)


class Threads(Squares):
    """Leaves what a worker may keep busy."""

    def run(self, shard: int) -> Sum:
        names = ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS")
        with open(self.log, "a") as log:
            log.write(" ".join(os.environ[name] for name in names) + "\n")
        return Sum((shard,))


def test_workers_divide_the_cores_among_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functok.runtime.threads._cores", lambda: 5)
    for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS"):
        monkeypatch.delenv(name, raising=False)
    log = tmp_path / "log.txt"
    run_shards(Threads(log), SHARDS, tmp_path / "two", Workers(2))
    assert set(log.read_text().splitlines()) == {"2 2 2"}
    log.unlink()
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    run_shards(Threads(log), SHARDS, tmp_path / "told", Workers(2))
    assert set(log.read_text().splitlines()) == {"3 2 2"}


def test_partial_results_merge_in_the_order_of_the_shards(job: Squares, tmp_path: Path) -> None:
    assert run_shards(job, SHARDS, tmp_path / "partials", Backwards()) == MERGED


def test_a_finished_shard_is_not_computed_again(job: Squares, tmp_path: Path) -> None:
    run_shards(job, SHARDS[:3], tmp_path / "partials")
    job.log.unlink()
    assert run_shards(job, SHARDS, tmp_path / "partials") == MERGED
    assert job.worked() == sorted(SHARDS[3:])
    job.log.unlink()
    assert run_shards(job, SHARDS, tmp_path / "partials") == MERGED
    assert not job.log.exists()


def test_another_job_shares_no_partial_result(job: Squares, tmp_path: Path) -> None:
    run_shards(job, SHARDS, tmp_path / "partials")
    other = Squares(job.log, key="other settings")
    run_shards(other, SHARDS, tmp_path / "partials")
    assert job.worked() == sorted(2 * SHARDS)


@pytest.mark.parametrize("engine", [InProcess(), Workers(2)], ids=["here", "workers"])
def test_a_failing_shard_raises_its_error_and_keeps_the_finished_ones(
    job: Squares, tmp_path: Path, engine: InProcess | Workers
) -> None:
    partials = tmp_path / "partials"
    with pytest.raises(UserError, match=r"^Shard 9 cannot be read\.$"):
        run_shards(Squares(job.log, bad=9), SHARDS, partials, engine)
    kept = [Squares(job.log).load(folder) for folder in partials.iterdir()]
    assert {Sum((9,)), Sum((1,)), Sum((16,))} <= set(kept)
    assert Sum((81,)) not in kept
    finished = len(kept)
    job.log.unlink()
    assert run_shards(job, SHARDS, partials) == MERGED
    assert len(job.worked()) == len(SHARDS) - finished


def test_a_shard_interrupted_while_it_is_saved_leaves_no_partial_result(tmp_path: Path) -> None:
    class Torn(Squares):
        def run(self, shard: int) -> Sum:
            return HalfSaved((shard,))

    class HalfSaved(Sum):
        def save(self, folder: Path) -> None:
            (folder / "numbers.txt").write_text("1")
            raise KeyboardInterrupt

    partials = tmp_path / "partials"
    with pytest.raises(KeyboardInterrupt):
        run_shards(Torn(tmp_path / "log.txt"), [2], partials)
    assert not any(partials.rglob("*"))
    assert run_shards(Squares(tmp_path / "log.txt"), [2], partials) == Sum((4,))


def test_the_progress_counts_shards_that_were_found_finished(job: Squares, tmp_path: Path) -> None:
    from contextlib import contextmanager

    told: list[tuple[str, int]] = []

    class Listener:
        @contextmanager
        def task(self, name: str, total: int, unit: str = "") -> Iterator["Listener"]:
            told.append((name, total))
            yield self

        def advance(self, amount: int = 1, note: str = "") -> None:
            told.append(("advance", amount))

        def say(self, sentence: str) -> None:
            raise AssertionError(sentence)

    run_shards(job, SHARDS[:3], tmp_path / "partials")
    run_shards(job, SHARDS, tmp_path / "partials", progress=Listener(), name="Counting")
    assert told == [("Counting", 5), ("advance", 3), ("advance", 1), ("advance", 1)]
