"""What a run was made with: ``provenance.json``."""

import hashlib
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from functok.store import write_json
from functok.study.run import Run

_PACKAGES = ("functok", "torch", "transformers", "tokenizers", "sae-lens", "numpy", "polars")


def write_provenance(run: Run) -> None:
    """Versions, commit, seed, fingerprints of tokenizer and models, and what was excluded."""
    models = {}
    for checkpoint in run.checkpoints:
        files = sorted(Path(checkpoint.model).glob("*.safetensors"))
        models[str(checkpoint.step)] = {
            "model": checkpoint.model,
            "revision": checkpoint.revision,
            "sha256": {file.name: _sha256(file) for file in files},
        }
    write_json(
        run.folder.provenance,
        {
            "versions": {name: _version(name) for name in _PACKAGES},
            "python": platform.python_version(),
            "machine": platform.machine(),
            "device": "cpu",
            "commit": _commit(),
            "seed": run.study.seed,
            "corpus": {"spec": run.study.corpus, "fingerprint": run.corpus_fingerprint},
            "tokenizer": {"sha256": _sha256(run.folder.tokenizer / "tokenizer.json")},
            "models": models,
            "excluded": {
                "token_ids": run.special,
                "tokens": [run.shown[index] for index in run.special],
                "from": "counts, function tokens, graph, losses, SAE training",
            },
            "active": "activation > 0",
            "function_tokens": {
                "coverage": run.study.tokens.coverage,
                "boundary": run.study.tokens.boundary,
            },
        },
    )


def _sha256(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the source tree that is running, if it runs from one."""
    command: list[Any] = ["git", "-C", Path(__file__).parent, "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
