"""What a run was made with: ``provenance.json``."""

import platform
from pathlib import Path

from functok.runtime.store import write_json
from functok.runtime.versions import commit, package_version, sha256
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
            "sha256": {file.name: sha256(file) for file in files},
        }
    write_json(
        run.folder.provenance,
        {
            "versions": {name: package_version(name) for name in _PACKAGES},
            "python": platform.python_version(),
            "machine": platform.machine(),
            "device": "cpu",
            "commit": commit(),
            "seed": run.study.seed,
            "corpus": {"spec": run.study.corpus, "fingerprint": run.corpus_fingerprint},
            "tokenizer": {"sha256": sha256(run.folder.tokenizer / "tokenizer.json")},
            "models": models,
            "excluded": {
                "token_ids": run.special,
                "tokens": [run.vocabulary.shown[index] for index in run.special],
                "from": "counts, function tokens, graph, losses, SAE training",
            },
            "active": "activation > 0",
            "function_tokens": run.study.tokens.model_dump(mode="json"),
        },
    )
