"""Sweeps of interventions: functok's shared prefixes against batched full forward passes.

One prompt of 200 tokens, 500 vectors added at positions uniform over its last quarter, a model of
the shape of Pythia-70m with random weights. The contenders take turns in one process; what is
printed is the median of the ratios.

    python benchmarks/sweeps.py [--rounds 3]

The token counts allow a speed-up of

    500 · 200 / (200 + Σ (200 − p))

and skipping the layers below an intervention comes on top of it.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from functok.models.interventions import Intervention
from functok.models.sweeps import Trial, sweep

LENGTH, COUNT, LAYERS, WIDTH = 200, 500, 6, 512


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
                output[rows[here], places] += vectors
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


def timed(work: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    net = model()
    prompt = torch.randint(0, 50304, (LENGTH,), generator=torch.Generator().manual_seed(2))
    ids = prompt[None]
    for which in ("first", "every"):
        changes = interventions(which)
        trials = [Trial(0, (change,)) for change in changes]
        suffixes = sum(LENGTH - change.position for change in changes)
        allowed = COUNT * LENGTH / (LENGTH + suffixes)
        ratios: dict[int, list[float]] = {16: [], 64: []}
        for _ in range(rounds):
            shared, found = timed(lambda trials=trials: sweep(net, [prompt.tolist()], trials))
            for batch, ratio in ratios.items():
                taken, expected = timed(
                    lambda changes=changes, batch=batch: full(net, ids, changes, batch)
                )
                ratio.append(taken / shared)
                assert torch.allclose(found, expected, atol=1e-3)
            print(f"  functok {shared:.2f} s, batched full passes of 64 {taken:.2f} s")
        best = min(statistics.median(ratio) for ratio in ratios.values())
        print(
            f"Interventions after {which} layer: {best:.1f}x the speed of batched full forward "
            f"passes; the token counts allow {allowed:.1f}x; {best / allowed:.0%} of it "
            f"(bar: 70 %)."
        )


if __name__ == "__main__":
    main()
