"""How fast this machine works on tables."""

import time
from collections.abc import Callable
from functools import cache

import numpy as np

REFERENCE = 0.037
"""Seconds of ``_sample`` on the machine on which ``Forecast.work`` was measured."""


@cache
def slowness() -> float:
    """Time of work on tables, relative to the machine of ``REFERENCE``."""
    random = np.random.default_rng(0)
    key = random.integers(0, 1 << 40, 1 << 19)
    names = [str(number) for number in key[: 1 << 15].tolist()]

    def sample() -> None:
        order = np.argsort(key)
        distinct, where = np.unique(key[order] >> 24, return_inverse=True)
        np.bincount(where, minlength=len(distinct))
        counts: dict[str, int] = {}
        for name in names:
            counts[name[:3]] = counts.get(name[:3], 0) + 1

    return seconds(sample) / REFERENCE


def seconds(work: Callable[[], object], least: float = 0.2) -> float:
    """Seconds that ``work`` takes: of the quickest of as many times as fit into ``least``."""
    work()
    best, spent = float("inf"), 0.0
    while spent < least:
        started = time.perf_counter()
        work()
        taken = time.perf_counter() - started
        best, spent = min(best, taken), spent + taken
    return best
