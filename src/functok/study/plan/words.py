"""Amounts in words: what a person reads of a cost."""

from __future__ import annotations

import math

from functok.study.plan.cost import Cost

_PREFIXES = ("", "k", "M", "G", "T", "P", "E", "Z")


def expected(cost: Cost) -> str:
    """What is said before a long step: ``20,000 tokens, about 4 min``."""
    tokens = f"{cost.tokens:,} tokens, " if cost.tokens else ""
    return f"{tokens}about {duration(cost.seconds)}"


def duration(seconds: int | float) -> str:
    """``20 s``, ``4 min``, ``2.5 h``, ``3 days``."""
    if seconds < 99.5:
        return f"{max(round(seconds), 1)} s"
    if seconds < 99.5 * 60:
        return f"{round(seconds / 60)} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.2g} h"
    return f"{round(seconds / 86400):,} days"


def size(bytes_: int | float) -> str:
    """Bytes with two or three digits: ``340 MiB``, ``1.3 GiB``."""
    if bytes_ < 1 << 20:
        return f"{math.ceil(bytes_ / 1024)} KiB" if bytes_ else ""
    if bytes_ < 1000 << 20:
        return f"{bytes_ / 2**20:.0f} MiB"
    return f"{bytes_ / 2**30:,.1f} GiB"


def operations(flops: int | float) -> str:
    """Floating-point operations: ``8.4 TFLOP``."""
    if not flops:
        return ""
    power = min(int(math.log10(max(flops, 1)) // 3), len(_PREFIXES) - 1)
    return f"{flops / 1000**power:.3g} {_PREFIXES[power]}FLOP"
