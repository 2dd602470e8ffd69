"""The tiny study and one finished run of it, made once for all tests and all workers."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from system.tiny import functok, settings, write_corpus, write_study
from system.writes import Writes


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The user's own cache is left alone."""
    os.environ["FUNCTOK_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def tiny_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny study's file; its corpus lies beside it."""
    return _made(tmp_path_factory) / "study.yaml"


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the tiny study; copy it before changing anything in it."""
    return _made(tmp_path_factory) / "run"


@pytest.fixture
def run_copy(whole_run: Path, tmp_path: Path) -> Path:
    """A finished run that may be changed."""
    return shutil.copytree(whole_run, tmp_path / "finished")


def _made(factory: pytest.TempPathFactory) -> Path:
    """The folder of study and run."""
    with shared_folder(factory, "tiny") as place:
        if not (place / "finished").exists():
            study = write_study(
                place / "study.yaml", settings(write_corpus(place / "corpus.jsonl"))
            )
            watched, began = Writes(log=str(place / "writes.jsonl")), time.process_time()
            watched.watch()
            try:
                outcome = functok("run", study, "-o", place / "run")
            finally:
                watched.unwatch()
            assert outcome.code == 0, outcome.err
            (place / "finished").write_text(str(time.process_time() - began))
    return place


@contextmanager
def shared_folder(factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """One folder for all workers: the first that asks fills it, the others wait."""
    base = factory.getbasetemp()
    place = (base.parent if base.name.startswith("popen-") else base) / name
    place.mkdir(exist_ok=True)
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield place
