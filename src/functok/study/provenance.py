"""What a run was made with: ``provenance.json``, the one record for every kind of run."""

import platform
from collections.abc import Iterable

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


def write_provenance(run: Run, steps: Iterable[str]) -> None:
    """Versions, machine, commit, seed, corpus, and the facts that the finished steps recorded.

    Among these facts: how the text was encoded and what could not be read of it, the function
    tokens, what was excluded, fingerprints of tokenizer, models and SAEs, and every graph.
    """
    inputs, resources = run.folder.inputs, run.resources
    known = read_json(inputs)["corpus"] if inputs.exists() else None
    found = {
        "versions": {name: package_version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": resources.device,
        "resources": vars(resources),
        "commit": commit(),
        "seed": run.study.seed,
        "corpus": {"spec": run.study.corpus, "fingerprint": known},
    }
    for step in steps:
        found |= run.facts(step)
    write_json(run.folder.provenance, found)
