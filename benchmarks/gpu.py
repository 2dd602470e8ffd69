"""Every path of a GPU in one command: the results of the CPU, and how near each comes to its limit.

    python benchmarks/gpu.py                          # 60 GB of a GPU, at most eight minutes
    python benchmarks/gpu.py --device cpu --quick     # the script itself, on any machine

* study: a model of 2 layers and its SAE, trained on the tiny world by the CPU, then a whole study
  of both on either device: losses, graph, traces, re-activation, steering, one more SAE on each.
* graph: the shape of Gemma-2-9B and three SAEs of 2²⁰ features, random, on random text: the time,
  in times of the forward pass and the encoders' products.
* sweeps: 500 interventions on a prompt, against full passes in batches on the same device.
* training: ``train`` with group losses against a bare loop; the losses of the first updates against
  those of the CPU.

A line each, with its bar; the exit code is 1 where one is missed.
"""

import argparse
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
import training as loops
import yaml
from sweeps import LENGTH, full, interventions
from sweeps import model as neox

from functok.cli import main as functok
from functok.encoding.tokenizer import Encoded
from functok.models.interventions.sweeps import Trial, sweep
from functok.models.losses.groups import GroupLoss
from functok.models.training import LlamaShape, TrainingSettings, new_llama, train
from graph import CONTEXT, gemma

SECONDS = 480
"""Of all parts together."""


class Found(NamedTuple):
    """One comparison."""

    what: str
    value: float
    most: float | None
    """What it may be at most; None: it is only shown."""

    @property
    def missed(self) -> bool:
        return self.most is not None and not self.value <= self.most

    def __str__(self) -> str:
        bar = "" if self.most is None else f" (at most {self.most:g})"
        return f"  {self.what}: {self.value:.3g}{bar}{', MISSED' if self.missed else ''}"


class Asked(NamedTuple):
    """What was typed."""

    device: str
    quick: bool


def command(*words: object) -> None:
    """``functok WORDS``, silent unless it fails."""
    before, said = sys.argv, io.StringIO()
    sys.argv = ["functok", *map(str, words)]
    try:
        with redirect_stdout(said), redirect_stderr(said):
            functok()
    except SystemExit as end:
        if end.code:
            raise SystemExit(f"functok {' '.join(sys.argv[1:])}:\n{said.getvalue()}") from end
    finally:
        sys.argv = before


def study(asked: Asked) -> Iterator[Found]:
    """A whole study on either device, with the same weights."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = {
            "name": "first",
            "corpus": f"tiny-world?documents={1500 if asked.quick else 6000}",
            "held_out": 0.3,
            "tokenizer": {"vocabulary_size": 400},
            "model": {
                "shape": {"hidden_size": 64, "layers": 2, "intermediate_size": 172},
                "training": {
                    "steps": 40 if asked.quick else 300,
                    "batch": 16,
                    "context": 64,
                    "warm_up": 10,
                },
            },
            "dictionaries": {"layer": 0, "recipe": {"width": 256, "k": 8, "steps": 100}},
        }
        _write(folder / "first.yaml", first)
        command("dictionaries", folder / "first.yaml", "-o", folder / "first", "--device", "cpu")
        second = {
            "name": "second",
            "corpus": first["corpus"],
            "held_out": 0.3,
            "model": {"load": str(max((folder / "first/models").iterdir())), "context": 64},
            "dictionaries": [
                {"name": "main", "load": str(folder / "first/dictionaries/main"), "layer": 0},
                {"name": "own", "layer": 1, "recipe": {"width": 256, "k": 8, "steps": 100}},
            ],
            "graph": {"tokens": 10_000},
            "controls": {"baselines": ["shuffled-document"], "only": ["exposure"]},
            "steer": {"strength": 0.5, "features": 8, "prompts": 16, "generated": 8},
        }
        for step in (folder / "first/dictionaries/main").glob("step-*"):
            second["dictionaries"][0]["load"] = str(step)
        _write(folder / "second.yaml", second)
        spent = {}
        for place, device in (("here", "cpu"), ("there", asked.device)):
            started = time.perf_counter()
            run = (folder / "second.yaml", "-o", folder / place, "--device", device)
            command("run", *run)
            spent[place] = time.perf_counter() - started
        yield Found("seconds on the CPU", spent["here"], None)
        yield Found("seconds on the device", spent["there"], None)
        yield from _compared(folder / "here", folder / "there")


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(yaml.safe_dump(content), "utf-8")


def _compared(here: Path, there: Path) -> Iterator[Found]:
    """How far the tables of two runs lie apart."""

    def both(name: str) -> list[pl.DataFrame]:
        return [pl.read_parquet(next(root.glob(f"{name}.parquet"))) for root in (here, there)]

    def apart(name: str, column: str) -> float:
        one, other = (table[column].to_numpy() for table in both(name))
        assert len(one) == len(other), name
        return float(np.nanmax(np.abs(one - other)))

    yield Found("mean losses, nats apart", apart("consolidation/loss_summary", "mean"), 1e-3)
    one, other = (table["degree"].to_numpy() for table in both("graph/main/degree"))
    yield Found("degrees, share apart", float(np.abs(one - other).sum() / one.sum()), 2e-3)
    keys = ("prompt", "position", "feature")
    one, other = (table.select(*keys, "activation") for table in both("retrieval/traces"))
    joined = one.join(other, on=keys, how="full", suffix="_there").fill_null(0.0)
    far = (joined["activation"] - joined["activation_there"]).abs().max()
    yield Found("activations of a trace, apart", float(far), 1e-2)
    yield Found("steering gains, nats apart", apart("retrieval/steering", "gain"), 2e-2)
    one, other = (table["answer"].to_list() for table in both("retrieval/steered_text"))
    yield Found("steered answers that differ", sum(map(str.__ne__, one, other)), 0)
    odds = apart("retrieval/reactivation_odds", "odds_ratio")
    yield Found("odds ratios of re-activation, apart", odds, 5e-2)
    variance = apart("consolidation/dictionaries-own", "explained_variance")
    yield Found("explained variance of an SAE trained on each, apart", variance, 2e-2)


def graph(asked: Asked) -> Iterator[Found]:
    """The paper's own width."""
    tokens = 8192 if asked.quick else 200_000
    random = np.random.default_rng(0)
    ids = (random.zipf(1.3, tokens) % 50_000).astype(np.int32)
    offsets = np.append(np.arange(0, tokens, CONTEXT), tokens)
    text = Encoded(ids, offsets, random.integers(0, 2**62, len(offsets) - 1))
    yield Found("times the limit", gemma(asked.quick, text, asked.device), 1.35)


def sweeps(asked: Asked) -> Iterator[Found]:
    """Interventions on one prompt."""
    changes = interventions("every")[: 40 if asked.quick else None]
    prompt = torch.randint(0, 50304, (LENGTH,), generator=torch.Generator().manual_seed(2))
    trials = [Trial(0, (change,)) for change in changes]
    net = neox()
    expected = sweep(net, [prompt.tolist()], trials)
    net = net.to(asked.device)
    sweep(net, [prompt.tolist()], trials[:8])
    started = time.perf_counter()
    found = sweep(net, [prompt.tolist()], trials)
    ours = time.perf_counter() - started
    yield Found("log-probabilities, apart", float((found - expected).abs().max()), 1e-3)
    batch, ids = 64, prompt[None].to(asked.device)
    full(net, ids, changes[:8], batch)
    started = time.perf_counter()
    whole = full(net, ids, changes, batch).cpu()
    theirs = time.perf_counter() - started
    yield Found("log-probabilities of full passes, apart", float((whole - found).abs().max()), 1e-3)
    suffixes = sum(LENGTH - change.position for change in changes)
    allowed = len(changes) * LENGTH / (LENGTH + suffixes)
    yield Found("times as fast as full passes", theirs / ours, None)
    yield Found("times that the counts of tokens allow", allowed, None)


def training(asked: Asked) -> Iterator[Found]:
    """The loop, and the numbers that it computes."""
    steps = 4 if asked.quick else 8
    middle = {}
    for loop in (loops.bare, loops.functok):
        times = loop(steps)
        middle[loop.__name__] = statistics.median(np.diff(times)[1:])
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    bar = None if asked.quick else 1.05
    yield Found("times a bare loop", middle["functok"] / middle["bare"], bar)
    shape = LlamaShape(hidden_size=64, layers=2, heads=2, key_value_heads=2)
    settings = TrainingSettings(steps=10, batch=8, context=64, warm_up=2, save_every=1 << 30)
    windows = np.random.default_rng(0).integers(0, 500, (80, 65))
    losses = {}
    for device in ("cpu", asked.device):
        with tempfile.TemporaryDirectory() as state:
            ledger = train(
                new_llama(shape, 500, 64, 0).to(device),
                windows,
                settings,
                GroupLoss(np.arange(500) % 2),
                seed=0,
                checkpoints=(),
                save=lambda trained, step: None,
                state=Path(state) / "state",
            )
        sums, counts = ledger["loss_sum"].to_numpy(), ledger["count"].to_numpy()
        losses[device] = sums[counts > 0] / counts[counts > 0]
    far = float(np.abs(losses["cpu"] - losses[asked.device]).max())
    yield Found("losses by group in ten updates, nats apart", far, 1e-3)


PARTS: tuple[Callable[[Asked], Iterator[Found]], ...] = (study, graph, sweeps, training)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="Everything small.")
    parser.add_argument("--only", choices=[part.__name__ for part in PARTS])
    options = parser.parse_args()
    if options.device != "cpu" and not torch.cuda.is_available():
        parser.exit(2, f"torch sees no {options.device} here; give --device cpu --quick.\n")
    asked, missed, began = Asked(options.device, options.quick), False, time.perf_counter()
    for part in PARTS:
        if options.only not in (None, part.__name__):
            continue
        started = time.perf_counter()
        print(f"{part.__name__} on {asked.device}", flush=True)
        for found in part(asked):
            missed |= found.missed
            print(found, flush=True)
        print(f"  {time.perf_counter() - started:.0f} s", flush=True)
    whole = Found("seconds in all", time.perf_counter() - began, SECONDS)
    print(whole)
    sys.exit(int(missed or whole.missed))


if __name__ == "__main__":
    main()
