"""The cost of three SAEs in one pass, compared with the most expensive of them alone.

    python benchmarks/several.py [--features 16384] [--tokens 16384] [--repeats 3]

A random model of 12 layers (d_model 768) runs on real text; three random JumpReLU SAEs with an L0
of about 64 take the residual stream after layers 3, 6 and 9. Methods in turn, in one process,
medians over the repeats: a graph of each SAE alone, graphs of all three in one pass, and the
products of the three encoders on activations that are already there. The bar:

    all three ≤ 1.15 × the dearest alone + the products of the other two encoders
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from functok.encoding.tokenizer import Encoded
from functok.graph.construction.pipeline import build_graphs
from functok.graph.construction.shards import GraphJob, Reading
from functok.models.dictionaries import Dictionary
from functok.models.language.hooks import HookPoint
from graph import CONTEXT, D_MODEL, MEMORY, ROWS, dictionary_for, serve, text

LAYERS = (3, 6, 9)
BAR = 1.15


def model_of(layers: int) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=50_257,
        hidden_size=D_MODEL,
        intermediate_size=2048,
        num_hidden_layers=layers,
        num_attention_heads=12,
        num_key_value_heads=12,
        max_position_embeddings=CONTEXT,
    )
    torch.manual_seed(0)
    return LlamaForCausalLM(config).eval()


def seconds(encoded: Encoded, layers: tuple[int, ...]) -> float:
    """One pass that builds a graph for the SAE at each of ``layers``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        encoded.save(folder / "encoded.safetensors")
        job = GraphJob(
            key=name,
            model="model",
            readings=tuple(Reading(f"sae-{layer}", HookPoint.residual(layer)) for layer in layers),
            encoded=folder / "encoded.safetensors",
            row_format=ROWS,
            special=(),
            memory=MEMORY,
        )
        places = [folder / f"graph-{layer}" for layer in layers]
        started = time.perf_counter()
        build_graphs(job, encoded, places, folder / "partials")
        return time.perf_counter() - started


@torch.no_grad()
def products(dictionary: Dictionary, tokens: int) -> float:
    """The encoder's products alone, on as many activations."""
    x = torch.randn(4096, D_MODEL)
    started = time.perf_counter()
    for start in range(0, tokens, len(x)):
        dictionary.encode(x[: min(len(x), tokens - start)])
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, default=16_384)
    parser.add_argument("--tokens", type=int, default=16_384)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    encoded, model = text(asked.tokens), model_of(12)
    saes = {
        layer: dictionary_for(model, encoded, asked.features, HookPoint.residual(layer))
        for layer in LAYERS
    }
    serve({f"sae-{layer}": one for layer, one in saes.items()}, model)
    seconds(encoded, LAYERS[:1])  # everything is imported and warm
    times: dict[str, list[float]] = {}
    ratios = []
    for _ in range(asked.repeats):
        alone = {layer: seconds(encoded, (layer,)) for layer in LAYERS}
        together = seconds(encoded, LAYERS)
        encoders = {layer: products(one, asked.tokens) for layer, one in saes.items()}
        dearest = max(alone, key=lambda layer: alone[layer])
        others = sum(spent for layer, spent in encoders.items() if layer != dearest)
        ratios.append((together - others) / alone[dearest])
        for name, spent in (
            ("dearest alone", alone[dearest]),
            ("all three", together),
            ("the other encoders", others),
        ):
            times.setdefault(name, []).append(spent)
    for name, spent in times.items():
        print(f"{name}: {statistics.median(spent):.1f} s")
    ratio = statistics.median(ratios)
    print(
        f"all three without the other encoders' products: {ratio:.2f} × the dearest alone "
        f"[{min(ratios):.2f}, {max(ratios):.2f}], {'within' if ratio <= BAR else 'ABOVE'} {BAR}"
    )


if __name__ == "__main__":
    main()
