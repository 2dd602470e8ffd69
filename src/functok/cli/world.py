"""``functok world SPEC``: a document of a tiny world with its labels; its tokenizer."""

from pathlib import Path

import numpy as np
import polars as pl
import typer

from functok.cli.console import print_line, print_table
from functok.corpora import open_corpus
from functok.encoding.tokenizer import save_tokenizer
from functok.runtime.errors import UserError
from functok.world.corpus import TinyWorld
from functok.world.generator import NONE, Passages, World
from functok.world.grammar import FRAMES, SLOTS
from functok.world.oracle import Oracle
from functok.world.text import texts, world_tokenizer
from functok.world.words import LANGUAGES, TOPICS

_CLASSES = ("function", "content", "special")


def show_world(spec: str, document: int, output: Path | None) -> None:
    """Show one document; keep the tokenizer with one token per word, if a folder is named."""
    corpus = open_corpus(spec)
    if not isinstance(corpus, TinyWorld):
        raise UserError(
            f"{spec!r} is not a tiny world; give tiny-world, or tiny-world?entities=64."
        )
    world = corpus.world
    passages = world.passages(np.array([document]))
    language, topic = LANGUAGES[passages.language[0]], TOPICS[passages.topic[0]]
    print_line(texts(world.words, passages)[0])
    print_line(f"language: {language}, topic: {topic}")
    print_table(labels(world, passages))
    if output is not None:
        save_tokenizer(world_tokenizer(world.words), output)
        typer.echo(f"The world's own tokenizer: {output}")


def labels(world: World, passages: Passages) -> pl.DataFrame:
    """One row per word of one document, the last column the oracle's loss in nats."""
    losses = Oracle(world).losses(passages.ids[None])[0]
    return pl.DataFrame(
        {
            "word": [world.words.forms[word].replace("\n", "⏎") for word in passages.ids],
            "class": [_CLASSES[world.words.classes[word]] for word in passages.ids],
            "slot": [SLOTS[kind].lower() for kind in passages.kind],
            "sentence": passages.sentence,
            "frame": [FRAMES[frame] if frame != NONE else "" for frame in passages.frame],
            "oracle": np.abs(losses.round(3)),  # no negative zero
        }
    )
