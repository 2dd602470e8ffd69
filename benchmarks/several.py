"""What several SAEs cost in one pass of the text, beside the dearest of them alone.

    python benchmarks/several.py [--features 16384] [--batches 4] [--repeats 3]

A random Llama of eight layers reads real text; SAEs of an L0 of about 64 are at three of its
layers. The dearest is the deepest, for which most of the model is run. Medians over the repeats, in
turns, in one process:

* samples: activations of all three layers in one pass, over those of the deepest alone; and the
  three taken one after another, over the same.
* graph: the graphs of all three in one pass, over that of the deepest alone and the encoders'
  products of the other two.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from functok.encoding.contexts import context_rows
from functok.encoding.tokenizer import Encoded
from functok.graph.construction.pipeline import build_graphs
from functok.graph.construction.shards import GraphJob, Reading
from functok.models.dictionaries import Dictionary
from functok.models.dictionaries.activations import sample_at
from functok.models.dictionaries.encoding import CACHED, tiles
from functok.models.exclusions import Exclusions
from functok.models.language.capture import capture
from functok.models.language.hooks import HookPoint
from graph import BATCH, CONTEXT, D_MODEL, MEMORY, ROWS, dictionary_for, serve, text

HOOKS = [HookPoint.residual(layer) for layer in (2, 4, 6)]


def model() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50_257,
        hidden_size=D_MODEL,
        intermediate_size=2048,
        num_hidden_layers=8,
        num_attention_heads=12,
        num_key_value_heads=12,
        max_position_embeddings=CONTEXT,
    )
    return LlamaForCausalLM(config).eval()


def products(dictionaries: list[Dictionary], x: torch.Tensor, batches: int) -> None:
    """The encoders' products alone, outputs discarded."""
    block = torch.empty(CACHED)
    with torch.no_grad():
        for _ in range(batches):
            for one in dictionaries:
                for start, stop in tiles(one.features, len(x), CACHED):
                    into = block[: len(x) * (stop - start)].view(len(x), stop - start)
                    torch.addmm(one.b_enc[start:stop], x, one.W_enc[:, start:stop], out=into)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def medians(repeats: int, **works: Callable[[], object]) -> dict[str, float]:
    """In turns, so that a busy machine slows all alike."""
    times = [{name: seconds(work) for name, work in works.items()} for _ in range(repeats)]
    return {name: statistics.median(one[name] for one in times) for name in works}


def samples(language: Any, encoded: Encoded, repeats: int) -> None:
    def taken(*hooks: HookPoint) -> None:
        list(sample_at(language, encoded, hooks, ROWS, Exclusions(massive=5.0), len(encoded.ids)))

    found = medians(
        repeats,
        dearest=lambda: taken(HOOKS[-1]),
        together=lambda: taken(*HOOKS),
        apart=lambda: [taken(hook) for hook in HOOKS],
    )
    alone = found["dearest"]
    print(
        f"samples of three layers: {found['together'] / alone:.2f} times the deepest alone "
        f"({alone:.1f} s); one after another {found['apart'] / alone:.2f} times"
    )


def graphs(language: Any, encoded: Encoded, features: int, repeats: int) -> None:
    saes = {hook.name: dictionary_for(language, encoded, features, hook) for hook in HOOKS}
    serve(saes, language)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        encoded.save(folder / "encoded.safetensors")
        asked = GraphJob(
            key="several",
            model="model",
            readings=(),
            encoded=folder / "encoded.safetensors",
            row_format=ROWS,
            special=(),
            memory=MEMORY,
        )

        def built(*hooks: HookPoint) -> None:
            with tempfile.TemporaryDirectory(dir=folder) as place:
                job = replace(asked, readings=tuple(Reading(hook.name, hook) for hook in hooks))
                places = [Path(place) / str(hook.layer) for hook in hooks]
                build_graphs(job, encoded, places, Path(place) / "partials")

        rows = next(iter(context_rows(encoded, ROWS, BATCH // CONTEXT)))
        x = capture(language, torch.from_numpy(rows.ids), HOOKS[:1]).hidden[0].flatten(0, 1)
        others = [saes[hook.name] for hook in HOOKS[:-1]]
        found = medians(
            repeats,
            dearest=lambda: built(HOOKS[-1]),
            together=lambda: built(*HOOKS),
            products=lambda: products(others, x, len(encoded.ids) // len(x)),
        )
    bound = found["dearest"] + found["products"]
    print(
        f"graphs of three layers, {features:,} features: {found['together'] / bound:.2f} times the "
        f"deepest alone ({found['dearest']:.1f} s) and the products of the other two "
        f"({found['products']:.1f} s)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, default=16_384)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    language, encoded = model(), text(asked.batches * BATCH)
    samples(language, encoded, asked.repeats)
    graphs(language, encoded, asked.features, asked.repeats)


if __name__ == "__main__":
    main()
