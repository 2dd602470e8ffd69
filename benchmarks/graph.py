"""How fast a graph is built, beside the limit and beside what a user would write instead.

    python benchmarks/graph.py [--features 16384 131072 262144] [--batches N] [--repeats 3]
    python benchmarks/graph.py --memory-only
    python benchmarks/graph.py --gemma [--small]

A random model (d_model 768) reads real text in batches of 4,096 tokens; a random JumpReLU SAE has
its thresholds set for an L0 of about 64. Methods in turn, in one process; times are medians over
the repeats, ratios the median of those within one repeat, with the lowest and highest in brackets:

* limit: forward pass and tiled encoder product, outputs discarded.
* functok: the whole of ``build_graphs``: edges by hash group sorted both ways, strongest
  occurrences with their contexts, occurrence store.
* sae_lens: SAELens' ``encode``, then a scipy COO matrix of token and feature, summed up.
* delphi: dense activations, ``nonzero``, every firing kept in memory, counted at the end (what
  delphi's LatentCache does, without its files).

The last two count and do nothing else. ``--memory-only`` takes the peak beyond the weights on the
corpus once, twice and four times over, in fresh processes. ``--gemma`` is Gemma-2-9B's shape with
2²⁰ features at layers 9, 20 and 31 on a GPU; ``--small`` runs the same on any machine, reduced.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zstandard
from scipy import sparse
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM

from functok.encoding.contexts import RowFormat, context_rows
from functok.encoding.tokenizer import Encoded, load_tokenizer
from functok.graph.construction import pipeline, shards
from functok.graph.construction.pipeline import build_graphs
from functok.graph.construction.shards import GraphJob, Reading
from functok.models.dictionaries import Dictionary
from functok.models.dictionaries.encoding import CACHED, tiles
from functok.models.language.capture import capture
from functok.models.language.hooks import HookPoint

SHARED = Path(__file__).parents[2] / "shared" / "data"
BATCH, CONTEXT, D_MODEL, L0, LAYER = 4096, 512, 768, 64, 1
ROWS = RowFormat(CONTEXT, start=None)
MEMORY = 1 << 30
DENSE_ROWS = {262_144: 1024}
"""Rows at once of the methods with dense blocks, where 4,096 would not fit into 24 GiB."""


class Bench:
    """A model, an SAE and some text, all in memory."""

    def __init__(self, features: int, tokens: int, folder: Path) -> None:
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=50_257,
            hidden_size=D_MODEL,
            intermediate_size=2048,
            num_hidden_layers=LAYER + 1,
            num_attention_heads=12,
            num_key_value_heads=12,
            max_position_embeddings=CONTEXT,
        )
        self.model = LlamaForCausalLM(config).eval()
        self.encoded = text(tokens)
        self.path = folder / f"encoded-{tokens}.safetensors"
        self.encoded.save(self.path)
        self.hook = HookPoint.residual(LAYER)
        self.dictionary = dictionary_for(self.model, self.encoded, features, self.hook)
        serve({"sae": self.dictionary}, self.model)

    def rows(self) -> Any:
        return context_rows(self.encoded, ROWS, BATCH // CONTEXT)

    def hidden(self, rows: Any) -> tuple[torch.Tensor, np.ndarray]:
        kept = rows.document >= 0
        seen = capture(self.model, torch.from_numpy(rows.ids), [self.hook]).hidden[0]
        return seen[torch.from_numpy(kept)], rows.ids[kept]


def text(tokens: int) -> Encoded:
    """``tokens`` tokens of real prose, each document once, cut to rows of the context."""
    tokenizer = load_tokenizer(str(SHARED / "tokenizers/gpt2/tokenizer.json"))
    ids: list[int] = []
    with zstandard.open(SHARED / "texts/openstax.jsonl.zst", "rt", encoding="utf-8") as lines:
        for line in lines:
            ids += tokenizer.backend_tokenizer.encode(json.loads(line)["text"]).ids
            if len(ids) >= tokens:
                break
    repeated = np.resize(np.array(ids, np.int32), tokens)
    offsets = np.append(np.arange(0, tokens, CONTEXT), tokens)
    return Encoded(repeated, offsets, np.random.default_rng(0).integers(0, 2**62, len(offsets) - 1))


def dictionary_for(
    model: Any, encoded: Encoded, features: int, hook: HookPoint, l0: float = L0
) -> Dictionary:
    """Random directions of norm 1; each feature's threshold so many deviations above its mean."""
    device = model.device
    generator = torch.Generator(device).manual_seed(1)
    ids = torch.from_numpy(encoded.ids[: len(encoded.ids) // CONTEXT * CONTEXT].astype(np.int64))
    rows = ids.view(-1, CONTEXT)
    rows = rows[:: max(len(rows) // 256, 1)]  # rows differ: a random model mixes what it attends to
    seen = [capture(model, some, [hook]).hidden[0] for some in rows.split(8)]
    x = torch.cat(seen).flatten(0, 1).float()
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(2))[:4096].to(device)]
    W = torch.randn(x.shape[1], features, generator=generator, device=device)
    W /= W.norm(dim=0)
    mean, deviation = torch.empty(2, features, device=device)
    for start, stop in tiles(features, len(x), 1 << 24):
        before = x @ W[:, start:stop]
        mean[start:stop], deviation[start:stop] = before.mean(0), before.std(0)
    some = slice(0, 2048)  # one feature is as random as another
    height = (x @ W[:, some] - mean[some]) / deviation[some]
    up = height.flatten().topk(int(l0 / features * height.numel())).values[-1]
    return Dictionary(
        W_enc=W,
        b_enc=torch.zeros(features, device=device),
        W_dec=torch.empty(0, x.shape[1], device=device),
        b_dec=torch.zeros(x.shape[1], device=device),
        architecture="jumprelu",
        threshold=(mean + up * deviation).clamp(min=0),
        subtract_b_dec=False,
    )


def serve(dictionaries: dict[str, Dictionary], model: Any) -> None:
    """Let the jobs of this process have what lies in memory already."""
    shards.loaded_dictionary = lambda name, *_: dictionaries[name]  # type: ignore[assignment]
    shards.loaded_model = lambda *_: model  # type: ignore[assignment]
    pipeline.loaded_dictionary = shards.loaded_dictionary
    pipeline.loaded_model = shards.loaded_model


def limit(bench: Bench) -> int:
    dictionary, found = bench.dictionary, 0
    width, block = bench.dictionary.features, torch.empty(CACHED)
    with torch.no_grad():
        for rows in bench.rows():
            x, _ = bench.hidden(rows)
            for start, stop in tiles(width, len(x), CACHED):
                columns = dictionary.W_enc[:, start:stop]
                into = block[: len(x) * (stop - start)].view(len(x), stop - start)
                torch.addmm(dictionary.b_enc[start:stop], x, columns, out=into)
            found += len(x)
    return found


def job(bench: Bench, folder: Path, memory: int = MEMORY) -> GraphJob:
    return GraphJob(
        key=str(folder),
        model="model",
        readings=(Reading("sae", bench.hook),),
        encoded=bench.path,
        row_format=ROWS,
        special=(),
        memory=memory,
    )


def functok(bench: Bench) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asked = job(bench, folder)
        (graph,) = build_graphs(asked, bench.encoded, [folder / "graph"], folder / "partials")
        bench.found = (graph.meta["l0"], int(graph.activity.sum()))  # type: ignore[attr-defined]
        return graph.positions


def _sae(bench: Bench) -> Any:
    import sae_lens

    one = bench.dictionary
    config = sae_lens.JumpReLUSAEConfig(
        d_in=D_MODEL, d_sae=one.features, apply_b_dec_to_input=False
    )
    config.device = "meta"
    sae = sae_lens.JumpReLUSAE(config)
    weights = {"W_enc": one.W_enc, "b_enc": one.b_enc, "threshold": one.threshold}
    weights |= {"b_dec": one.b_dec, "W_dec": one.W_enc.T}
    sae.load_state_dict(weights, assign=True)
    return sae


def sae_lens(bench: Bench) -> int:
    if not hasattr(bench, "sae"):
        bench.sae = _sae(bench)  # type: ignore[attr-defined]
    size = (50_257, bench.dictionary.features)
    total, found = sparse.csr_array(size, dtype=np.int64), 0
    step = DENSE_ROWS.get(bench.dictionary.features, BATCH)
    with torch.no_grad():
        for rows in bench.rows():
            x, token = bench.hidden(rows)
            for start in range(0, len(x), step):
                z = bench.sae.encode(x[start : start + step])  # type: ignore[attr-defined]
                row, feature = (part.numpy() for part in z.nonzero(as_tuple=True))
                ones = np.ones(len(row), np.int64)
                pairs = (token[start : start + step][row], feature)
                total += sparse.coo_array((ones, pairs), shape=size).tocsr()
            found += len(x)
    return found


def delphi(bench: Bench) -> int:
    one = bench.dictionary
    step = DENSE_ROWS.get(one.features, BATCH)
    locations, activations, tokens, found = [], [], [], 0
    with torch.no_grad():
        for rows in bench.rows():
            x, token = bench.hidden(rows)
            for start in range(0, len(x), step):
                before = x[start : start + step] @ one.W_enc + one.b_enc
                z = before.relu() * (before > one.threshold)
                where = (z.abs() > 1e-5).nonzero()
                activations.append(z[where[:, 0], where[:, 1]])
                where[:, 0] += found + start
                locations.append(where)
            tokens.append(token)
            found += len(x)
    place, token = torch.cat(locations).numpy(), np.concatenate(tokens)
    torch.cat(activations)
    np.unique(token[place[:, 0]] * one.features + place[:, 1], return_counts=True)
    return found


METHODS: dict[str, Callable[[Bench], int]] = {
    "limit": limit,
    "functok": functok,
    "sae_lens": sae_lens,
    "delphi": delphi,
}
BARS = {16_384: 1.25}
"""Times the limit; 1.35 at other widths."""
BATCHES = {16_384: 16, 131_072: 4}
"""So many that a round takes minutes, 2 at other widths."""


def compare(features: int, batches: int, repeats: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(features, batches * BATCH, Path(folder))
        spent: dict[str, list[float]] = {name: [] for name in METHODS}
        for _ in range(repeats):
            for name, method in METHODS.items():
                started = time.perf_counter()
                tokens = method(bench)
                spent[name].append(time.perf_counter() - started)
                assert tokens == batches * BATCH
        l0, firings = bench.found  # type: ignore[attr-defined]
    print(
        f"\n{features:,} features, {batches} batches of {BATCH:,}, L0 {l0:.0f}, {firings:,} firings"
    )
    middle = {name: statistics.median(seconds) for name, seconds in spent.items()}
    ratio = {}
    for name, seconds in spent.items():
        ratios = [one / other for one, other in zip(seconds, spent["limit"], strict=True)]
        ratio[name] = statistics.median(ratios)
        print(
            f"  {name:10} {middle[name]:8.2f} s  {batches * BATCH / middle[name]:8.0f} tokens/s  "
            f"{ratio[name]:.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"
        )
    bar = BARS.get(features, 1.35)
    faster = all(ratio["functok"] < ratio[name] for name in ("sae_lens", "delphi"))
    met = "met" if ratio["functok"] <= bar and faster else "MISSED"
    print(f"  bar: at most {bar} times the limit, and faster than the others: {met}")


def memory_child(features: int, batches: int, memory: int) -> None:
    """Peak beyond what is held after loading, in MB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = Bench(features, batches * BATCH, folder)
        before = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")
        asked = job(bench, folder, memory)
        build_graphs(asked, bench.encoded, [folder / "graph"], folder / "partials")
        print(json.dumps([before, _status("VmHWM")]))


def _status(field: str) -> float:
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) / 1024


def peaks(features: int, batches: int) -> None:
    print(f"\npeak memory of functok, {features:,} features, --memory {MEMORY >> 20} MB")
    for times in (1, 2, 4):
        command = [sys.executable, __file__, "--child", str(features), str(times * batches)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        held, peak = json.loads(said.splitlines()[-1])
        tokens = times * batches * BATCH
        print(
            f"  {tokens:8,} tokens: {peak - held:6.0f} MB beyond {held:.0f} MB of weights and text"
        )


def gemma(small: bool, encoded: Encoded | None = None, device: str | None = None) -> float:
    """Gemma-2-9B's shape and three SAEs in one pass; how many times the limit that takes.

    Args:
        small: the same, reduced.
        encoded: by default real prose.
        device: by default a GPU for the whole, where there is one.
    """
    shape = {"num_hidden_layers": 32}  # of 42: nothing above the deepest SAE is computed
    features, layers, tokens = 1 << 20, (9, 20, 31), 1_000_000
    if small:
        shape |= {"hidden_size": 96, "intermediate_size": 256, "num_attention_heads": 4}
        shape |= {"num_key_value_heads": 2, "head_dim": 24, "vocab_size": 50_257}
        features, tokens = 1 << 12, 8192
    else:
        shape |= {"hidden_size": 3584, "intermediate_size": 14336, "num_attention_heads": 16}
        shape |= {"num_key_value_heads": 8, "head_dim": 256, "vocab_size": 256_000}
    device = device or ("cpu" if small or not torch.cuda.is_available() else "cuda")
    torch.manual_seed(0)
    with torch.device(device):
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        model = Gemma2ForCausalLM(Gemma2Config(**shape)).to(dtype).eval()
    encoded = text(tokens) if encoded is None else encoded
    hooks = [HookPoint.residual(layer) for layer in layers]
    saes = {
        hook.name: dictionary_for(model, encoded, features, hook, 100 if not small else 30)
        for hook in hooks
    }
    serve(saes, model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        encoded.save(folder / "encoded.safetensors")
        asked = GraphJob(
            key="gemma",
            model="model",
            readings=tuple(Reading(hook.name, hook) for hook in hooks),
            encoded=folder / "encoded.safetensors",
            row_format=ROWS,
            special=(),
            memory=MEMORY if device == "cpu" else 16 << 30,
            device=device,
            sae_device=device,
            precision="fp32" if device == "cpu" else "tf32",
        )
        started = time.perf_counter()
        places = [folder / f"graph-{layer}" for layer in layers]
        graphs = build_graphs(asked, encoded, places, folder / "partials")
        spent = time.perf_counter() - started
        started = time.perf_counter()
        _gemma_limit(model, encoded, hooks, saes, asked.tile())
        bound = time.perf_counter() - started
        density = ", ".join(f"{graph.meta['l0']:.0f}" for graph in graphs)
        print(
            f"\n{device}: {len(encoded.ids):,} tokens, {len(layers)} layers, {features:,} "
            f"features, L0 {density}: {spent:.1f} s, {spent / bound:.2f} times the limit of "
            f"{bound:.1f} s"
        )
    return spent / bound


def _gemma_limit(
    model: Any, encoded: Encoded, hooks: list[HookPoint], saes: dict[str, Dictionary], tile: int
) -> None:
    with torch.no_grad():
        for rows in context_rows(encoded, ROWS, BATCH // CONTEXT):
            seen = capture(model, torch.from_numpy(rows.ids), hooks)
            for hook, hidden in zip(hooks, seen.hidden, strict=True):
                x, one = hidden.flatten(0, 1).float(), saes[hook.name]
                for start, stop in tiles(one.features, len(x), tile):
                    torch.addmm(one.b_enc[start:stop], x, one.W_enc[:, start:stop])
        if model.device.type == "cuda":
            torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, nargs="*", default=[16_384, 131_072, 262_144])
    parser.add_argument("--batches", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory-only", action="store_true")
    parser.add_argument("--gemma", action="store_true")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--child", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        memory_child(*options.child, MEMORY)
    elif not SHARED.is_dir():
        parser.exit(message=f"There is no text in {SHARED}.\n")
    elif options.gemma:
        gemma(options.small)
    elif options.memory_only:
        peaks(options.features[0], options.batches or 2)
    else:
        for features in options.features:
            compare(features, options.batches or BATCHES.get(features, 2), options.repeats)


if __name__ == "__main__":
    main()
