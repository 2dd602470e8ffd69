"""Shards on a Ray cluster: one that is running, or a local one made for the occasion.

A shard is a Ray task. A node that dies loses the shards in flight; Ray runs them again elsewhere.
Partial results are written where the run keeps them, so that folder and the corpus must be
visible under the same path on every machine. A shard uses one core, and a GPU of its own where its
job computes on one: nothing spreads over what Ray has given to others.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from functok.runtime.errors import UserError, first_line, require
from functok.runtime.threads import limit_threads

RETRIES = 20
"""How often a shard is tried again after its node or process has died."""


ANSWER = 60.0
"""Seconds within which a cluster must answer."""

_ELSEWHERE = os.sep
"""Where this process stands while it connects: Ray lets workers import from the driver's working
directory, which may be a folder of somebody else's."""


def _alone(piece: Callable[[], None], here: str) -> None:
    limit_threads(1)
    if os.path.isdir(here):
        os.chdir(here)
    piece()


@dataclass(frozen=True)
class RayCluster:
    """Shards as tasks of a Ray cluster."""

    address: str | None = None
    """``host:port`` or ``auto``; without one, a local cluster of this machine's cores."""
    count: int | None = None
    """Cores of the local cluster."""

    def each(self, work: Sequence[Callable[[], None]]) -> Iterator[None]:
        ray = _ray()
        mine = not ray.is_initialized()
        if mine:
            self._connect(ray)
        try:
            gpus = max((getattr(piece, "gpus", 0) for piece in work), default=0)
            there = ray.cluster_resources().get("GPU", 0)
            require(
                gpus <= there,
                f"Each shard asks Ray for {gpus} GPU, and the cluster has {there:g}; give --device "
                "cpu, or a cluster with GPUs.",
            )
            task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=RETRIES)(_alone)
            pending = [task.remote(piece, os.getcwd()) for piece in work]
            while pending:
                done, pending = ray.wait(pending, num_returns=1)
                try:
                    ray.get(done)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
                yield
        finally:
            if mine:
                ray.shutdown()

    def _connect(self, ray: Any) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        if self.address is None:
            options |= {"num_cpus": self.count, "include_dashboard": False}
        else:
            _check_answers(self.address)
        here = os.getcwd()
        os.chdir(_ELSEWHERE)
        try:
            ray.init(address=self.address, **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise _no_answer(self.address, first_line(error)) from error
        finally:
            os.chdir(here)


def _check_answers(address: str) -> None:
    """Refuse an address where no Ray cluster answers in time; ``ray.init`` would wait or abort."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return  # auto, or what Ray itself refuses
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER / 6).close()
    except (OSError, OverflowError) as error:
        raise _no_answer(address, first_line(error)) from error
    if address.startswith("ray://"):
        return  # Ray's client gives up by itself
    asked = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        subprocess.run(asked, cwd=_ELSEWHERE, timeout=ANSWER, capture_output=True, check=True)
    except subprocess.TimeoutExpired as error:
        raise _no_answer(address, f"no answer within {ANSWER:.0f} s") from error
    except subprocess.CalledProcessError as error:
        raise _no_answer(
            address, "what listens there is not a cluster of this Ray version"
        ) from error


def _no_answer(address: str | None, why: str) -> UserError:
    return UserError(
        f"No Ray cluster answers at {address!r} ({why}); start one with ray start --head, or omit "
        "the address."
    )


def _ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise UserError(
            "The Ray engine needs the package ray; pip install 'functok[ray]', or omit --engine."
        ) from error
    return ray
