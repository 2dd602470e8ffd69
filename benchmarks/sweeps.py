"""Sweeps of interventions: functok's shared prefixes against what a user would write instead.

One prompt of 200 tokens, 500 vectors added at positions uniform over its last quarter, a model of
the shape of Pythia-70m with random weights. The contenders take turns; what is printed is the
median of the ratios. All of them must find the same log-probabilities.

    python benchmarks/sweeps.py [--rounds 3] [--rival NAME=PYTHON ...]

* batched full passes: hooks on the Hugging Face model itself, every run from its first token on.
* nnsight, transformer-lens: each at its best (see ``sweeps_rivals.py``), under an interpreter of
  its own that ``--rival`` names, since their requirements are not functok's. To make them:

    python -m venv nnsight && nnsight/bin/pip install torch==2.13.0 nnsight==0.8.1
    python -m venv lens && lens/bin/pip install torch==2.13.0 transformer-lens==4.3.0
    python benchmarks/sweeps.py --rival nnsight=nnsight/bin/python \\
        --rival transformer-lens=lens/bin/python

  TransformerLens 3.9.0 is the last with ``HookedTransformer``, which can begin at any layer; name
  its interpreter in the same way, beside the other's.

The token counts allow a speed-up over full passes of

    500 · 200 / (200 + Σ (200 − p))

and skipping the layers below an intervention comes on top of it.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from functok.models.interventions.intervention import Intervention
from functok.models.interventions.sweeps import Trial, sweep

LENGTH, COUNT, LAYERS, WIDTH = 200, 500, 6, 512
BATCHES = (16, 64)
RIVALS = {"nnsight": "nnsight", "transformer-lens": "TransformerLens"}
WAYS = {
    "full": "batched full passes",
    "prefix": "prefix kept by hand",
    "cut": "prefix cut by hand for each batch",
}


def model() -> GPTNeoXForCausalLM:
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=8,
        intermediate_size=2048,
        vocab_size=50304,
        max_position_embeddings=2048,
    )
    return GPTNeoXForCausalLM(config).eval()


def interventions(which: str) -> list[Intervention]:
    """At layer 0, where nothing is saved below, or at every layer in turn."""
    random = torch.Generator().manual_seed(1)
    positions = torch.randint(LENGTH * 3 // 4, LENGTH, (COUNT,), generator=random).tolist()
    vectors = torch.randn(COUNT, WIDTH, generator=random)
    return [
        Intervention(0 if which == "first" else index % LAYERS, position, vector)
        for index, (position, vector) in enumerate(zip(positions, vectors, strict=True))
    ]


@torch.no_grad()
def full(
    model: GPTNeoXForCausalLM, ids: torch.Tensor, changes: list[Intervention], batch: int
) -> torch.Tensor:
    """Every run from the first token to the last, ``batch`` of them side by side."""
    found = []
    for start in range(0, len(changes), batch):
        part = changes[start : start + batch]
        rows = torch.arange(len(part))

        def write(layer: int, part: list[Intervention] = part, rows: torch.Tensor = rows):
            here = torch.tensor([change.layer == layer for change in part])
            places = torch.tensor([change.position for change in part])[here]
            vectors = torch.stack([change.vector for change in part])[here]

            def hook(module: torch.nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
                output[rows[here], places] += vectors.to(output)
                return output

            return hook

        handles = [
            layer.register_forward_hook(write(index))
            for index, layer in enumerate(model.gpt_neox.layers)
        ]
        logits = model(ids.expand(len(part), -1), use_cache=False, logits_to_keep=1).logits
        found.append(logits[:, -1].log_softmax(-1))
        for handle in handles:
            handle.remove()
    return torch.cat(found)


class Rival:
    """A library in its own environment, one process for all rounds."""

    def __init__(self, name: str, python: str, folder: Path) -> None:
        script = Path(__file__).with_name("sweeps_rivals.py")
        self.folder = folder
        self.process = subprocess.Popen(
            [python, str(script), name, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Its environment is its own; no model is looked for beyond the folder.
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            | {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"},
        )
        self.name = f"{RIVALS[name]} {self._answer()}"

    def timed(self, which: str, way: str, batch: int, count: int) -> tuple[float, torch.Tensor]:
        assert self.process.stdin is not None
        print(which, way, batch, count, file=self.process.stdin, flush=True)
        taken = float(self._answer())
        return taken, load_file(self.folder / "found.safetensors")["found"]

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} ended with exit code {self.process.wait()}")
        return json.loads(line)


def timed(work: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


Contender = Callable[[int, int], tuple[float, torch.Tensor]]
"""From the size of its batches and how many interventions, to its seconds and what it found."""


def compare(
    net: GPTNeoXForCausalLM,
    prompt: torch.Tensor,
    which: str,
    rivals: list[Rival],
    rounds: int,
) -> None:
    """Every contender in turn, each with the size of batches that suits it.

    A rival that took four times as long as functok in the first round is not asked again.
    """
    changes = interventions(which)
    trials = [Trial(0, (change,)) for change in changes]
    contenders: dict[str, Contender] = {
        WAYS["full"]: lambda batch, count: timed(
            lambda: full(net, prompt[None], changes[:count], batch)
        )
    }
    for rival in rivals:
        for way, name in WAYS.items():
            contenders[f"{rival.name}, {name}"] = lambda batch, count, rival=rival, way=way: (
                rival.timed(which, way, batch, count)
            )
    sizes = {
        name: min(BATCHES, key=lambda batch, contender=contender: contender(batch, 64)[0])
        for name, contender in contenders.items()
    }
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        taken, expected = timed(lambda: sweep(net, [prompt.tolist()], trials))
        ours.append(taken)
        for name, contender in contenders.items():
            if name != WAYS["full"] and theirs[name][:1] > [4 * ours[0]]:
                continue
            seconds, found = contender(sizes[name], COUNT)
            assert torch.allclose(found, expected, atol=1e-3), name
            theirs[name].append(seconds)
    suffixes = sum(LENGTH - change.position for change in changes)
    allowed = COUNT * LENGTH / (LENGTH + suffixes)
    print(f"Interventions after {which} layer: functok {statistics.median(ours):.2f} s")
    for name, seconds in theirs.items():
        ratios = [its / mine for its, mine in zip(seconds, ours, strict=False)]
        ratio = statistics.median(ratios)
        line = (
            f"  {name}, {sizes[name]} side by side: {statistics.median(seconds):.2f} s, "
            f"{ratio:.2f} times functok's [{min(ratios):.2f}, {max(ratios):.2f}]"
        )
        if name == WAYS["full"]:
            line += f"; the token counts allow {allowed:.1f}, {ratio / allowed:.0%} (bar: 70 %)"
        print(line, flush=True)


def installed(name: str, python: str) -> bool:
    """Whether ``python`` is an interpreter that has the library called ``name``."""
    ask = "import sys, importlib.metadata as have; have.version(sys.argv[1])"
    found = shutil.which(python) is not None
    return found and subprocess.run([python, "-c", ask, name], capture_output=True).returncode == 0


def write_cases(net: GPTNeoXForCausalLM, prompt: torch.Tensor, folder: Path) -> None:
    """The model and the interventions where a rival finds them."""
    net.save_pretrained(folder / "model")
    for which in ("first", "every"):
        changes = interventions(which)
        case = {
            "ids": prompt,
            "layers": torch.tensor([change.layer for change in changes]),
            "positions": torch.tensor([change.position for change in changes]),
            "vectors": torch.stack([change.vector for change in changes]),
        }
        save_file(case, folder / f"{which}.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--after", choices=("first", "every"), help="By default both in turn")
    parser.add_argument("--rival", action="append", default=[], metavar="NAME=PYTHON")
    options = parser.parse_args()
    named = [tuple(rival.partition("=")[::2]) for rival in options.rival]
    if unknown := {name for name, _ in named} - RIVALS.keys():
        parser.error(f"--rival knows {', '.join(RIVALS)}, not {', '.join(sorted(unknown))}")
    for name in RIVALS:
        if name not in dict(named):
            print(f"{RIVALS[name]} not measured: --rival {name}=PYTHON names no interpreter for it")
    for name, python in named:
        if not installed(name, python):
            print(f"{RIVALS[name]} not measured: it is not installed where {python} runs")
    net = model()
    prompt = torch.randint(0, 50304, (LENGTH,), generator=torch.Generator().manual_seed(2))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_cases(net, prompt, folder)
        rivals = [Rival(*one, folder) for one in named if installed(*one)]
        for which in [options.after] if options.after else ("first", "every"):
            compare(net, prompt, which, rivals, options.rounds)
        for rival in rivals:
            rival.close()


if __name__ == "__main__":
    main()
