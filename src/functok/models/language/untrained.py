"""Re-initialised models: the same architecture with untrained weights.

With ``with_embeddings``, the trained token embeddings (and the output head, if it is not tied) are
kept: the model knows each token but nothing about context (arXiv 2501.17727). A further untrained
model is a run's own step 0.
"""

from pathlib import Path

import torch

from functok.models.language.model import architecture, load_model
from functok.runtime.store import writing_folder


def write_untrained(
    name: str, revision: str | None, folder: Path, seed: int, with_embeddings: bool = False
) -> None:
    """Write model ``name``, re-initialised, as a Hugging Face folder.

    Args:
        name: a folder, or a name on the hub.
        revision: on the hub.
        folder: where it goes.
        seed: of the weights.
        with_embeddings: whether the trained token embeddings are kept.
    """
    from transformers import AutoModelForCausalLM

    # Without its embeddings the trained model would only take memory.
    trained = load_model(name, revision) if with_embeddings else architecture(name, revision)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(trained.config, dtype=trained.config.dtype)
    if with_embeddings:
        with torch.no_grad():
            for part in ("get_input_embeddings", "get_output_embeddings"):
                old, new = getattr(trained, part)(), getattr(model, part)()
                if old is not None:
                    new.weight.copy_(old.weight)
    with writing_folder(folder) as temporary:
        model.save_pretrained(temporary)
