"""A tiny model that is taught the answers to some prompts, and the tokenizer that it reads."""

from pathlib import Path

import polars as pl
import torch
import yaml

from functok.encoding.tokenizer import train_tokenizer
from functok.models.training import LlamaShape, new_llama
from functok.retrieval.causal.facts.asking import ask
from functok.retrieval.causal.facts.fact import Fact, FactSet, Frame
from functok.tokens.vocabulary import Vocabulary
from system.tiny import write_corpus

CAPITALS = {
    "Kenya": "Nairobi", "France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Chile": "Santiago",
    "Egypt": "Cairo", "Peru": "Lima", "Cuba": "Havana", "Norway": "Oslo", "Ghana": "Accra",
    "South Korea": "Seoul",
}  # fmt: skip
FRAMES = (
    ("The capital city of {} is", "function"),
    ("For {}, with its capital:", "punctuation"),
    ("So {} has a capital called", "content"),
)


def capitals(*fixed: Fact) -> FactSet:
    """Ten facts of one relation in three frames, and others of it."""
    facts = [Fact("capital", country, city) for country, city in CAPITALS.items()]
    return FactSet((*facts, *fixed), tuple(Frame("capital", *frame) for frame in FRAMES))


def small_tokenizer():
    """A byte-level BPE in which every word of the facts is one token."""
    texts = [f" {word} {text}" for pair in CAPITALS.items() for word in pair for text, _ in FRAMES]
    return train_tokenizer(texts * 9, 900)


def vocabulary(tokenizer) -> Vocabulary:
    return Vocabulary.of(tokenizer, len(tokenizer))


def blank_model(tokenizer):
    shape = LlamaShape(hidden_size=32, layers=2, heads=2, key_value_heads=2, intermediate_size=48)
    return new_llama(shape, len(tokenizer), 256, 0).eval()


def taught(tokenizer, prompts: pl.DataFrame, steps: int = 80):
    """A model that answers these rows of ``Asked.prompts``; right-padded, attention is causal."""
    model = blank_model(tokenizer)
    rows = prompts["ids"].to_list()
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for row, some in enumerate(rows):
        ids[row, : len(some)] = torch.tensor(some)
    last = torch.tensor([len(some) - 1 for some in rows])
    answers = torch.tensor(prompts["answer_id"].to_list())
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        logits = model(ids).logits[torch.arange(len(rows)), last]
        loss = torch.nn.functional.cross_entropy(logits, answers)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.requires_grad_(False)


def write_facts_study(place: Path) -> Path:
    """A study of a model that knows ten capitals, with facts and frames of its own."""
    tokenizer = small_tokenizer()
    asked = ask(capitals(), tokenizer, vocabulary(tokenizer), None, examples=0)
    taught(tokenizer, asked.prompts).save_pretrained(place / "model")
    tokenizer.save_pretrained(place / "model")
    write_corpus(place / "texts.jsonl")
    rows = [f"capital\t{country}\t{city}" for country, city in CAPITALS.items()]
    (place / "facts.tsv").write_text("\n".join(["relation\tsubject\tanswer", *rows]) + "\n")
    frames: dict[str, list[str]] = {}
    for text, name in FRAMES:
        frames.setdefault(name, []).append(text)
    (place / "frames.yaml").write_text(yaml.safe_dump({"capital": frames}))
    content = {
        "name": "my-facts",
        "corpus": str(place / "texts.jsonl"),
        "model": {"load": str(place / "model"), "row_start": "none"},
        "tokens": {"definition": "lexicon", "also": ["punctuation"]},
        "dictionaries": [],
        "facts": {
            "load": str(place / "facts.tsv"),
            "frames": str(place / "frames.yaml"),
            "examples": 0,
            "patched": 8,
            "patching": {"fillers": [" of", " Kenya"]},
        },
    }
    (place / "study.yaml").write_text(yaml.safe_dump(content))
    return place / "study.yaml"
