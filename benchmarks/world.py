"""How long a tiny world takes: documents, oracle, model and SAE; and how well it is learned.

    python benchmarks/world.py [--profile default] [--seed 0]

The goal is 80 s for model and SAE together on two cores, with a recall of 0.98 or more in every
frame and a mean excess over the oracle of at most 0.02 nat. The SAE's time holds the import of
SAELens.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from functok.calibration.dictionaries import scores
from functok.calibration.recall import excess, recall
from functok.world import profiles, recipes
from functok.world.generator import World
from functok.world.oracle import Oracle
from functok.world.text import texts


def timed(name: str, work: Callable[[], Any]) -> Any:
    started = time.perf_counter()
    found = work()
    print(f"  {name:28} {time.perf_counter() - started:6.1f} s", flush=True)
    return found


def announce(module: Any, name: str, title: str) -> None:
    """Time every call of a function by its name in a module."""
    original = getattr(module, name)
    setattr(module, name, lambda *a, **k: timed(title, lambda: original(*a, **k)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="default", choices=list(profiles.PROFILES))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    world = World(profiles.PROFILES[options.profile].world)
    passages = timed("10,000 documents", lambda: world.passages(np.arange(10_000)))
    timed("their text", lambda: texts(world.words, passages))
    ids = passages.ids[passages.rows(world.settings.tokens)][:2000]
    timed(f"the oracle, {ids.size:,} words", lambda: Oracle(world).losses(ids))
    announce(profiles, "pretrained", "the model")
    announce(profiles, "sample_activations", "its activations")
    announce(profiles, "train_dictionary", "the SAE")
    with tempfile.TemporaryDirectory() as folder:
        trained = timed(
            "model and SAE in all (goal 80)",
            lambda: profiles.trained_world(options.profile, options.seed, Path(folder)),
        )
    held_out = np.arange(500) + recipes.HELD_OUT
    found = recall(trained.model, trained.world)
    over = excess(trained.model, trained.world, held_out)
    worst = found.sort("recall").row(0, named=True)
    print(
        f"  recall {found['recall'].min():.3f} to {found['recall'].max():.3f} "
        f"(least in {worst['frame']!r}, bar 0.98)"
    )
    print(f"  excess {over.value:.4f} nat [{over.low:.4f}, {over.high:.4f}] (bar 0.02)")
    learned, judged = (trained.world.passages(some) for some in (np.arange(1000), held_out))
    place = (trained.model, trained.dictionary, trained.layer, trained.world)
    table = scores(*place, learned, judged)
    with pl.Config(tbl_rows=-1, tbl_cols=-1, float_precision=2, tbl_hide_column_data_types=True):
        for column in ("f1", "recovery"):
            print(f"  {column} by kind of latent")
            print(table.pivot("kind", index=["place", "method"], values=column))


if __name__ == "__main__":
    main()
