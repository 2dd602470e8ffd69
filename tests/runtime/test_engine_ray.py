"""Shards on Ray: the result of one process, even where a node dies on the way."""

import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from functok.runtime.engine import InProcess, run_shards
from functok.runtime.errors import UserError
from functok.runtime.ray import RayCluster
from functok.tokens.counting.counts import TokenCounts


class SlowCounts(NamedTuple):
    """A job whose shards take a moment, so that a node can die in the middle of one."""

    seconds: float
    log: Path
    key: str = "slow"

    def shard_key(self, shard: int) -> str:
        return str(shard)

    def run(self, shard: int) -> TokenCounts:
        time.sleep(self.seconds)
        with open(self.log, "a") as log:
            log.write(f"{os.getpid()}\n")
        return TokenCounts(np.arange(5) * shard, np.arange(5), 1)

    def load(self, folder: Path) -> TokenCounts:
        return TokenCounts.load(folder)


class Refused(SlowCounts):
    def run(self, shard: int) -> TokenCounts:
        raise UserError(f"Shard {shard} cannot be read; fix it.")


def same(one: TokenCounts, other: TokenCounts) -> bool:
    return (
        np.array_equal(one.occurrences, other.occurrences)
        and np.array_equal(one.documents, other.documents)
        and one.corpus_documents == other.corpus_documents
    )


def test_without_ray_the_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"functok\[ray\]"):
        next(RayCluster().each([print]))


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch):
    """A cluster of two nodes on this machine; the head has no core to work with."""
    pytest.importorskip("ray", reason="ray is not installed: the extra functok[ray]")
    import ray
    from ray.cluster_utils import Cluster

    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", here)
    monkeypatch.setenv("RAY_health_check_period_ms", "500")
    monkeypatch.setenv("RAY_health_check_failure_threshold", "2")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.filterwarnings("ignore")
def test_a_node_that_dies_on_the_way_changes_nothing(two_nodes, tmp_path: Path) -> None:
    job = SlowCounts(0.5, tmp_path / "log")
    shards = list(range(10))
    expected = run_shards(job._replace(seconds=0.0), shards, tmp_path / "one", InProcess())
    dying = two_nodes.list_all_nodes()[-1]

    class Killing(RayCluster):
        def each(self, work):
            for done, _ in enumerate(super().each(work)):
                if done == 1:
                    two_nodes.remove_node(dying, allow_graceful=False)
                yield

    found = run_shards(job, shards, tmp_path / "two", Killing(two_nodes.address))
    assert same(found, expected)
    assert same(found, run_shards(job, shards, tmp_path / "two", InProcess()))


@pytest.mark.filterwarnings("ignore")
def test_what_a_user_can_mend_comes_back_as_one_sentence(two_nodes, tmp_path: Path) -> None:
    job = Refused(0.0, tmp_path / "log")
    with pytest.raises(UserError, match="Shard 3 cannot be read; fix it"):
        run_shards(job, [3], tmp_path / "two", RayCluster(two_nodes.address))


class OnGpu(SlowCounts):
    """Notes which GPUs it was given."""

    device = "cuda"

    def run(self, shard: int) -> TokenCounts:
        with open(self.log, "a") as log:
            log.write(f"{os.environ['CUDA_VISIBLE_DEVICES']} {os.environ['OMP_NUM_THREADS']}\n")
        return TokenCounts(np.arange(5) * shard, np.arange(5), 1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("gpus", [0, 1])
def test_a_shard_on_a_gpu_asks_for_one(
    gpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="ray is not installed: the extra functok[ray]")
    import ray

    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", here)
    ray.init(num_cpus=1, num_gpus=gpus, include_dashboard=False, log_to_driver=False)
    job = OnGpu(0.0, tmp_path / "log")
    try:
        if gpus:
            run_shards(job, [3, 4], tmp_path / "parts", RayCluster())
            assert job.log.read_text().splitlines() == ["0 1", "0 1"]
        else:
            with pytest.raises(UserError, match="asks Ray for 1 GPU, and the cluster has 0; give"):
                run_shards(job, [3], tmp_path / "parts", RayCluster())
    finally:
        ray.shutdown()
