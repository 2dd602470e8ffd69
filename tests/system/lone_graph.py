"""A model, an SAE that reads it and a corpus, so small that a graph is built in a second."""

import json
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from functok.encoding.tokenizer import train_tokenizer
from system.tiny import Outcome, functok

WIDTH, FEATURES, VOCABULARY = 16, 48, 300


def write_sae(folder: Path, layer: int = 1, width: int = WIDTH, hook: str | None = None) -> Path:
    import sae_lens

    sae = sae_lens.JumpReLUSAE(sae_lens.JumpReLUSAEConfig(d_in=width, d_sae=FEATURES))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in sae.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight.copy_(noise.abs() * 4 if name == "threshold" else noise)
    sae.cfg.metadata.hook_name = hook or f"blocks.{layer}.hook_resid_post"
    sae.save_model(folder)
    return folder


def write_inputs(folder: Path, texts: list[str]) -> Path:
    """Folders ``model`` (with its tokenizer) and ``sae``, and the texts in ``corpus.jsonl``."""
    folder.mkdir(exist_ok=True)
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (folder / "corpus.jsonl").write_text(lines)
    tokenizer = train_tokenizer(texts, VOCABULARY)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=128,
        initializer_range=0.4,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(str(folder / "model"))
    write_sae(folder / "sae")
    return folder


def graph(inputs: Path, *more: object, **changed: object) -> Outcome:
    options: dict[str, object] = {
        "model": inputs / "model",
        "sae": inputs / "sae",
        "corpus": inputs / "corpus.jsonl",
        "context": 64,
        **changed,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return functok("graph", *words, *more)
