"""The golden runs: which studies they are, and how they are run.

This is the only module here that touches functok's insides, and it does so in one place
(``_baselines_as_committed``). Everything else goes through the
commands ``functok trace``, ``claims`` and ``dictionaries``.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from string import Template
from typing import Any
from unittest.mock import patch

import yaml

from system.tiny import functok, laid_over, write_study

from .story import write_corpus, write_treebank

HERE = Path(__file__).parent
MODEL, SAE = HERE / "model", HERE / "sae"
"""Committed weights, one folder per step."""

_TRAINED = {
    "model": {
        "load": None,
        "revisions": [],
        "shape": {
            "hidden_size": 32,
            "layers": 2,
            "heads": 2,
            "key_value_heads": 2,
            "intermediate_size": 32,
        },
        "training": {"steps": 300, "batch": 8, "context": 32, "warm_up": 20},
    },
    "dictionaries": {"load": None},
}
_SHORT = {
    "model": {"training": {"steps": 6, "warm_up": 2}},
    "dictionaries": {"checkpoints": [6], "recipe": {"steps": 20}},
}


def run_committed(folder: Path) -> Path:
    """Run the whole study on the committed weights; the run folder."""
    study = _study(folder)
    with _baselines_as_committed():
        _bring("trace", study, folder)
        return _bring("claims", study, folder)


def run_short_training(folder: Path) -> Path:
    """Train a model for 6 steps and an SAE for 20, from the seed; the run folder."""
    return _bring("dictionaries", _study(folder, _TRAINED, _SHORT), folder)


def run_training(folder: Path) -> Path:
    """Train the model and the SAEs that are committed; the run folder."""
    return _bring("dictionaries", _study(folder, _TRAINED), folder)


def _study(folder: Path, *changes: dict[str, Any]) -> Path:
    """The study's file, with its corpus and treebank, in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    text = Template((HERE / "study.yaml").read_text("utf-8")).substitute(
        corpus=write_corpus(folder / "corpus.jsonl"),
        treebank=write_treebank(folder / "story.conllu"),
        model=MODEL,
        sae=SAE,
    )
    return write_study(folder / "study.yaml", reduce(laid_over, changes, yaml.safe_load(text)))


def _bring(command: str, study: Path, folder: Path) -> Path:
    """Run the study as far as ``functok COMMAND`` does; figures and report are left out."""
    outcome = functok(command, study, "-o", folder / "run", simulated=100)
    assert outcome.code == 0, outcome.err
    return folder / "run"


@contextmanager
def _baselines_as_committed() -> Iterator[None]:
    """Give the baselines that train an SAE of their own the committed SAE of step 0."""

    def place(activations: Any, recipe: Any, layer: int, seed: int, folder: Path, *_: Any) -> None:
        shutil.copytree(SAE / "step-000000", folder)

    with patch("functok.controls.baselines.build.train_dictionary", place):
        yield
