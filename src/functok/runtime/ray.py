"""Shards on a Ray cluster: one that is running, or a local one made for the occasion.

A shard is a Ray task. A node that dies loses the shards in flight; Ray runs them again elsewhere.
Partial results are written where the run keeps them, so that folder and the corpus must be
visible under the same path on every machine. A shard uses one core: encoding does not spread
over cores that Ray has given to others.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from functok.runtime.errors import UserError, first_line

RETRIES = 20
"""How often a shard is tried again after its node or process has died."""


def _alone(piece: Callable[[], None]) -> None:
    os.environ["RAYON_NUM_THREADS"] = "1"  # read by tokenizers and gigatoken when first used
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
            task = ray.remote(num_cpus=1, max_retries=RETRIES)(_alone)
            pending = [task.remote(piece) for piece in work]
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
        try:
            ray.init(address=self.address, **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(
                f"No Ray cluster answers at {self.address!r} ({first_line(error)}); start one with "
                "ray start --head, or omit the address."
            ) from error


def _ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise UserError(
            "The Ray engine needs the package ray; pip install 'functok[ray]', or omit --engine."
        ) from error
    return ray
