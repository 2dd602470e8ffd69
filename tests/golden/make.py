"""Train the weights that the golden run reads, and write them beside this file.

    cd tests && python -m golden.make

Needed only when the corpus, the tokenizer or the shape of the model changes. Every pinned number
moves with the weights, so ``pin.py`` runs after it.
"""

import shutil
import tempfile
from pathlib import Path

from .running import MODEL, SAE, run_training

_STEPS = ("step-000000", "step-000300")
_KEPT = {"config.json", "generation_config.json", "model.safetensors", "cfg.json"}
_KEPT |= {"sae_weights.safetensors"}


def main() -> None:
    """Train, then copy what loading needs."""
    with tempfile.TemporaryDirectory() as temporary:
        run = run_training(Path(temporary))
        for source, target in ((run / "models", MODEL), (run / "dictionaries" / "main", SAE)):
            shutil.rmtree(target, ignore_errors=True)
            for step in _STEPS:
                (target / step).mkdir(parents=True)
                for file in (source / step).iterdir():
                    if file.name in _KEPT:
                        shutil.copy(file, target / step / file.name)
    for file in sorted([*MODEL.rglob("*.*"), *SAE.rglob("*.*")]):
        print(f"{file.stat().st_size:8d}  {file.relative_to(MODEL.parent)}")


if __name__ == "__main__":
    main()
