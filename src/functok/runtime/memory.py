"""Whether what is about to be allocated fits into this machine's memory."""

import os
import resource
import sys

from functok.runtime.errors import UserError


def available() -> int:
    """Bytes that can be allocated without swapping, as far as the system says."""
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def held() -> int:
    """Bytes of memory that this process holds; where the system does not say, at its peak."""
    try:
        with open("/proc/self/statm") as counts:
            return int(counts.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1 << 10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def check_memory(size: int, what: str) -> None:
    """Refuse what cannot fit, before the system kills the process for it.

    Args:
        size: bytes that it will take at least.
        what: a clause that names it and the settings that decide its size.

    Raises:
        UserError: if there is not as much.
    """
    there = available()
    if size > there:
        raise UserError(
            f"{what} needs at least {size / 2**30:,.1f} GiB of memory, but {there / 2**30:,.1f} "
            "GiB are available; choose smaller sizes or a larger machine."
        )
