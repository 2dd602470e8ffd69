"""The instruments' calibration: worlds, models and tests of which the answer is known.

Five worlds in the test size, models A to D over three seeds, and the graph's tests in 200 worlds
of each null and 50 with a planted effect; beside them, how often the tests together name the
account that is true.

    python benchmarks/calibrate.py [--worlds 5] [--seeds 3] [--nulls 200] [--planted 50]
                                   [--keep FILE]

With ``--keep`` each world's tests are appended to a file of JSON lines, and those in it are not run
again: the graph's part takes an hour.

Exit code 1 if a world's recall is below 0.95 in some frame, a removal's effect is farther than 0.03
from what the construction of its model says, a test rejects more than 16 of 200 nulls, it finds
fewer than .8 of the planted effects, or the tests name the true account in fewer than .8 of the
worlds.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from functok.calibration.graph import NULLS, POWER, every_test, rejections
from functok.calibration.knockout import SIZES, calibrate, misses
from functok.calibration.recall import excess, recall
from functok.calibration.synthetic import Kind
from functok.claims.explanation import Reading, account
from functok.claims.rule import corrected
from functok.world.profiles import trained_world
from functok.world.recipes import HELD_OUT

TRUE = {"frequency": "artefact", "hub": "class"}
"""Of the synthetic worlds, what explains their degrees."""


def worlds(count: int) -> bool:
    """Whether every world is learned."""
    good = True
    for seed in range(count):
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            trained = trained_world("ci", seed, Path(folder))
        took = time.perf_counter() - started
        least = recall(trained.model, trained.world)["recall"].min()
        over = excess(trained.model, trained.world, np.arange(300) + HELD_OUT)
        print(
            f"world {seed}: least recall {least:.3f}, excess {over.value:.4f} nat, "
            f"model and SAE in {took:.0f} s (goal 30)",
            flush=True,
        )
        good &= least >= 0.95
    return good


def routes(seeds: int) -> bool:
    """Whether every removal does what it must."""
    settings = SIZES["full"]
    tables = []
    for seed in range(seeds):
        started = time.perf_counter()
        tables.append(calibrate(settings, [seed]))
        with pl.Config(tbl_rows=-1, float_precision=3):
            shown = tables[-1].pivot("removed", index=["seed", "model"], values="right_topic")
            print(shown)
        print(f"seed {seed}: {time.perf_counter() - started:.0f} s", flush=True)
    wrong = misses(pl.concat(tables), settings.world.topics)
    print(wrong if len(wrong) else "every removal does what it must, within 0.03")
    return wrong.is_empty()


def graph_tests(nulls: int, planted: int, kept: Path | None) -> bool:
    """Whether every test of the graph rejects where it should, and not where it should not."""
    plan: list[tuple[Kind, int]] = [(kind, seed) for kind in NULLS for seed in range(nulls)]
    plan += [("hub", seed) for seed in range(planted)]
    lines = kept.read_text().splitlines() if kept is not None and kept.exists() else []
    rows = [json.loads(line) for line in lines]
    done = {(row["world"], row["seed"]) for row in rows}
    for kind, seed in plan:
        if (kind, seed) not in done:
            fresh = every_test(kind, seed)
            rows += fresh
            if kept is not None:
                with kept.open("a") as file:
                    file.writelines(json.dumps(row) + "\n" for row in fresh)
    found, named = rejections(rows), accounts(rows)
    with pl.Config(tbl_rows=-1, tbl_cols=-1, float_precision=3):
        print(found)
        print(named, flush=True)
    return bool(found["good"].all() and named["good"].all())


def accounts(rows: list[dict]) -> pl.DataFrame:
    """How often the tests of one world name what explains it.

    Columns: world, true (account), worlds, named (of them, truly), undecided, good.
    """
    found = []
    for world, true in TRUE.items():
        said = []
        for seed in {row["seed"] for row in rows if row["world"] == world}:
            tests = {
                row["test"]: {"effect_low": row["low"], "effect_high": row["high"], **row}
                for row in rows
                if (row["world"], row["seed"]) == (world, seed)
            }
            p_values = {test: row["p_value"] for test, row in tests.items()}
            said.append(account(Reading(None, None, tests, corrected(p_values))))
        named = said.count(true)
        found.append(
            {
                "world": world,
                "true": true,
                "worlds": len(said),
                "named": named,
                "undecided": said.count("undecided"),
                "good": named >= POWER * len(said),
            }
        )
    return pl.DataFrame(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--nulls", type=int, default=200)
    parser.add_argument("--planted", type=int, default=50)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    good = worlds(options.worlds)
    if options.seeds:
        good &= routes(options.seeds)
    if options.nulls:
        good &= graph_tests(options.nulls, options.planted, options.keep)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
