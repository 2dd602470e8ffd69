"""The instruments' calibration: five worlds in the test size, and models A to D over three seeds.

    python benchmarks/calibrate.py [--worlds 5] [--seeds 3]

Exit code 1 if a world's recall is below 0.95 in some frame, or a removal's effect is farther than
0.03 from what the construction of its model says.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    good = worlds(options.worlds)
    if options.seeds:
        good &= routes(options.seeds)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
