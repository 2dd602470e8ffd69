"""The instruments' calibration: worlds, models and tests of which the answer is known.

Five worlds in the test size, models A to D over three seeds, and the graph's tests in 200 worlds
of each null and 50 with a planted effect.

    python benchmarks/calibrate.py [--worlds 5] [--seeds 3] [--nulls 200] [--planted 50]

Exit code 1 if a world's recall is below 0.95 in some frame, a removal's effect is farther than 0.03
from what the construction of its model says, a test rejects more than 16 of 200 nulls, or it finds
fewer than .8 of the planted effects.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from functok.graph.controls.calibration import NULLS, every_test, rejections
from functok.graph.controls.synthetic import Kind
from functok.world.calibration import SIZES, calibrate, misses
from functok.world.profiles import trained_world
from functok.world.quality import excess, recall
from functok.world.recipes import HELD_OUT


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


def graph_tests(nulls: int, planted: int) -> bool:
    """Whether every test of the graph rejects where it should, and not where it should not."""
    plan: list[tuple[Kind, int]] = [(kind, seed) for kind in NULLS for seed in range(nulls)]
    plan += [("hub", seed) for seed in range(planted)]
    found = rejections(row for kind, seed in plan for row in every_test(kind, seed))
    with pl.Config(tbl_rows=-1, tbl_cols=-1, float_precision=3):
        print(found, flush=True)
    return bool(found["good"].all())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--nulls", type=int, default=200)
    parser.add_argument("--planted", type=int, default=50)
    options = parser.parse_args()
    good = worlds(options.worlds)
    if options.seeds:
        good &= routes(options.seeds)
    if options.nulls:
        good &= graph_tests(options.nulls, options.planted)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
