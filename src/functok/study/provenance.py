"""What a run was made with: ``provenance.json``, the one record for every kind of run."""

import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from functok.runtime.store import read_json, write_json
from functok.runtime.versions import commit, package_version
from functok.study.run import Run

_PACKAGES = (
    "functok",
    "torch",
    "transformers",
    "tokenizers",
    "gigatoken",
    "sae-lens",
    "numpy",
    "polars",
    "pyarrow",
)


PLACED = "placement"
"""The fact of a step that runs a model: on which devices it did, and in which precision."""


def write_provenance(run: Run, steps: Iterable[str]) -> None:
    """Date, versions, machine, commit, seed, corpus, and the facts that finished steps recorded.

    Among these facts: how the text was encoded and what could not be read of it, the function
    tokens, what was excluded, fingerprints of tokenizer, models and SAEs, every graph, and where
    each step ran the model.
    """
    inputs, resources = run.folder.inputs, run.resources
    known = read_json(inputs)["corpus"] if inputs.exists() else None
    found = {
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {name: package_version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "resources": vars(resources),
        "commit": commit(),
        "seed": run.study.seed,
        "corpus": {"spec": run.study.corpus, "fingerprint": known},
    }
    placed: dict[str, Any] = {}
    for step in steps:
        facts = dict(run.facts(step))
        if PLACED in facts:
            placed[step] = facts.pop(PLACED)
        found |= facts
    found[PLACED] = placed
    found["device"] = ", ".join(dict.fromkeys(one["device"] for one in placed.values())) or None
    write_json(run.folder.provenance, found)
