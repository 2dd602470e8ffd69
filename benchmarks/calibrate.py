"""The instruments' calibration: what must come out where the answer is known, in one table.

    python benchmarks/calibrate.py [--folder runs/calibration] [--only NAME …] [--nulls 200]
                                   [--planted 50] [--corpora 40] [--processes 2]

Parts, each of which ``--only`` may name:

* the planted worlds of ``functok.calibration.rows.every``: every declared test in nulls and
  artefacts that it must not reject, and in effects that it must find;
* ``corpora``: 40 corpora of the demo's size, drawn again from its documents, must give one account
  of the degree;
* ``recall``: five tiny worlds are learned; ``routes``: models with one known route for memory lose
  what they know if it is cut, and nothing otherwise.

Every run is kept as a file, in a folder that is named after the code, and none is done twice: a
calibration that was stopped goes on. It takes about an hour on two cores.

Exit code 1 if anything lies outside its bound.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
from redrawn import ACCOUNT, accounts, prepare

import functok
from functok.calibration.knockout import SIZES, calibrate, misses
from functok.calibration.planted import POWER, Row, rejections
from functok.calibration.recall import excess, recall
from functok.calibration.rows.every import WORLDS
from functok.claims.explanation import Reading, account
from functok.claims.rule import corrected
from functok.runtime.engine import InProcess, Workers
from functok.runtime.store import fingerprint, read_json, write_json
from functok.runtime.versions import sha256
from functok.world.profiles import trained_world
from functok.world.recipes import HELD_OUT

TRUE = {"frequency": "artefact", "hub": "class"}
"""Of the planted worlds, what explains their degrees."""
LEARNED = 0.95
"""Least recall of a tiny world, in every frame."""
PARTS = (*(world.name for world in WORLDS), "corpora", "recall", "routes")


@dataclass(frozen=True)
class Kept:
    """One run, which is done once: its result lies in a file."""

    file: Path
    work: Callable[[], Any]

    def __call__(self) -> None:
        if not self.file.exists():
            started = time.perf_counter()
            found = self.work()
            seconds = round(time.perf_counter() - started, 2)
            write_json(self.file, {"found": found, "seconds": seconds})

    @property
    def result(self) -> Any:
        return read_json(self.file)["found"]


def planted(place: Path, only: Iterable[str], nulls: int, least: int, processes: int) -> bool:
    """Whether every declared test says what it must in every planted world."""
    worlds = [world for world in WORLDS if world.name in only]
    runs = {
        world.name: [
            Kept(place / world.name / f"{seed}.json", partial(world.run, seed))
            for seed in range(least if world.there and not world.null else nulls)
        ]
        for world in worlds
    }
    done(runs, processes)
    rows = [row for some in runs.values() for one in some for row in one.result]
    table = rejections(rows, worlds)
    seconds = {
        name: sum(read_json(one.file)["seconds"] for one in some) / 60
        for name, some in runs.items()
    }
    table = table.with_columns(minutes=pl.col("world").replace_strict(seconds).round(1))
    named = named_accounts(rows)
    shown = pl.concat([table, named], how="diagonal") if len(named) else table
    with pl.Config(tbl_rows=-1, tbl_cols=-1, fmt_str_lengths=60, tbl_width_chars=160):
        print(shown, flush=True)
    return bool(shown["good"].all())


def done(runs: dict[str, list[Kept]], processes: int) -> None:
    """Do what is not done yet, and say after each part."""
    for name, some in runs.items():
        left = [one for one in some if not one.file.exists()]
        if not left:
            continue
        started = time.perf_counter()
        engine = InProcess() if processes == 1 else Workers(processes)
        with patch.dict(os.environ, {"OMP_NUM_THREADS": "1"}):  # of workers that are started now
            for _ in engine.each(left):
                pass
        print(f"{name}: {len(left)} runs, {time.perf_counter() - started:.0f} s", flush=True)


def named_accounts(rows: list[Row]) -> pl.DataFrame:
    """How often the tests of one world together name what explains it; columns as the others."""
    found = []
    for world, true in TRUE.items():
        by_seed: dict[int, dict[str, Row]] = {}
        for row in rows:
            if row["world"] == world:
                ends = {"effect_low": row["low"], "effect_high": row["high"]}
                by_seed.setdefault(row["seed"], {})[row["test"]] = row | ends
        said = []
        for tests in by_seed.values():
            p_values = {test: row["p_value"] for test, row in tests.items()}
            said.append(account(Reading(None, None, tests, corrected(p_values))))
        if said:
            least = int(np.ceil(POWER * len(said)))
            found.append(
                {"test": f"account {true}", "world": world, "truth": f"it is {true}"}
                | {"runs": len(said), "rejected": said.count(true), "bound": f"at least {least}"}
                | {"good": said.count(true) >= least}
            )
    return pl.DataFrame(found)


def corpora(place: Path, folder: Path, count: int, processes: int) -> bool:
    """Whether corpora drawn again agree on a decided account, in at least 95 of 100."""
    places = folder / "demo", place / "documents"
    runs = [
        Kept(place / "corpora" / f"{seed}.json", partial(accounts, *places, seed))
        for seed in range(count)
    ]
    if not all(one.file.exists() for one in runs):
        prepare(*places)
    done({"corpora": runs}, processes)
    said = [one.result[ACCOUNT] for one in runs]
    decided = [one for one in said if one != "undecided"]
    most = max(map(decided.count, decided), default=0)
    good = most >= 0.95 * count
    counts = {one: said.count(one) for one in dict.fromkeys(said)}
    print(f"corpora: account by the {ACCOUNT} in {count} corpora: {counts}; good: {good}")
    return good


def learned(place: Path, count: int) -> bool:
    """Whether every tiny world is learned."""
    runs = [
        Kept(place / "recall" / f"{seed}.json", partial(_learned, seed)) for seed in range(count)
    ]
    done({"recall": runs}, 1)
    for seed, one in enumerate(runs):
        print(f"recall: world {seed}: least {one.result['recall']:.3f}, "
              f"excess {one.result['excess']:.4f} nat")  # fmt: skip
    return all(one.result["recall"] >= LEARNED for one in runs)


def _learned(seed: int) -> dict[str, float]:
    with TemporaryDirectory() as folder:
        trained = trained_world("ci", seed, Path(folder))
    least = recall(trained.model, trained.world)["recall"].min()
    over = excess(trained.model, trained.world, np.arange(300) + HELD_OUT)
    return {"recall": float(least), "excess": over.value}  # type: ignore[arg-type]


def routes(place: Path, count: int) -> bool:
    """Whether every removal does what it must."""
    settings = SIZES["full"]
    runs = [Kept(place / "routes" / f"{seed}.json", partial(_route, seed)) for seed in range(count)]
    done({"routes": runs}, 1)
    table = pl.concat(pl.DataFrame(one.result) for one in runs)
    with pl.Config(tbl_rows=-1, float_precision=3):
        print(table.pivot("removed", index=["seed", "model"], values="right_topic"))
    wrong = misses(table, settings.world.topics)
    print(wrong if len(wrong) else "routes: every removal does what it must, within 0.03")
    return wrong.is_empty()


def _route(seed: int) -> list[dict[str, Any]]:
    return calibrate(SIZES["full"], [seed]).to_dicts()


@cache
def code() -> str:
    """Names the code that is calibrated: its sources, and these benchmarks."""
    root = Path(functok.__file__).parent
    files = sorted([*root.rglob("*.py"), *Path(__file__).parent.glob("*.py")])
    return fingerprint(*(sha256(file) for file in files))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/calibration"))
    parser.add_argument("--only", nargs="*", default=PARTS, choices=PARTS, metavar="NAME")
    parser.add_argument("--nulls", type=int, default=200)
    parser.add_argument("--planted", type=int, default=50)
    parser.add_argument("--corpora", type=int, default=40)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    place, good = given.folder / code(), True
    if {*given.only} & {world.name for world in WORLDS}:
        good &= planted(place, given.only, given.nulls, given.planted, given.processes)
    if "corpora" in given.only:
        good &= corpora(place, given.folder, given.corpora, given.processes)
    if "recall" in given.only:
        good &= learned(place, 5)
    if "routes" in given.only:
        good &= routes(place, 3)
    print("everything is within its bounds" if good else "something lies outside its bounds")
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
