"""What group losses cost in pre-training, beside the loops that a user would write instead.

    python benchmarks/training.py [--rounds 3] [--steps 8]

A Llama of 13 M parameters, 4,096 tokens per update, the same weights, windows and settings for
all; every contender in a fresh process, in turns. Printed are medians over the rounds of the
median update, as ratios, with their least and most, and peak memory.

* bare: a loop as nanoGPT's, ``F.cross_entropy`` and nothing by group: the limit.
* functok: ``train``, group losses at every update.
* trainer: Hugging Face's ``Trainer`` with the same group losses.

``GroupLoss`` alone is timed against ``F.cross_entropy`` on the same logits, as a share of the bare
update. On a GPU: a Llama of about 1 B in bf16, its tokens per second, and the model FLOPs
utilisation, 6 · parameters · tokens ÷ time, of the peak given with ``--peak``.
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
from types import SimpleNamespace

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from functok.models.losses.groups import GroupLoss
from functok.models.training import LlamaShape, TrainingSettings, learning_rate, new_llama, train

CUDA = torch.cuda.is_available()
VOCABULARY = 32_000 if CUDA else 8_192
SHAPE = (
    LlamaShape(hidden_size=2048, layers=16, heads=32, key_value_heads=8, intermediate_size=8192)
    if CUDA
    else LlamaShape(hidden_size=320, layers=8, heads=5, key_value_heads=5, intermediate_size=864)
)
BATCH, CONTEXT = (32, 2048) if CUDA else (16, 256)


def settings(steps: int) -> TrainingSettings:
    return TrainingSettings(
        steps=steps,
        batch=BATCH,
        context=CONTEXT,
        learning_rate=1e-3,
        warm_up=1,
        save_every=1 << 30,
        precision="bfloat16" if CUDA else "float32",
    )


def model() -> torch.nn.Module:
    return new_llama(SHAPE, VOCABULARY, CONTEXT, seed=0).to("cuda" if CUDA else "cpu")


def windows(steps: int) -> np.ndarray:
    """Ids as frequent as Zipf's law has them."""
    draws = np.random.default_rng(0).zipf(1.2, (steps * BATCH, CONTEXT + 1))
    return draws % VOCABULARY


def classes() -> np.ndarray:
    return (np.arange(VOCABULARY) > 100).astype(np.int64)


def bare(steps: int) -> list[float]:
    """The loop without groups, as short as nanoGPT's."""
    plan, net, data, times = settings(steps), model(), torch.from_numpy(windows(steps)), []
    groups = [
        {"params": [p for p in net.parameters() if p.ndim >= 2], "weight_decay": plan.weight_decay},
        {"params": [p for p in net.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(plan.beta1, plan.beta2), fused=True)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(plan, step)
        batch = data[step * BATCH : (step + 1) * BATCH].to(net.device)
        with torch.autocast(net.device.type, torch.bfloat16, enabled=CUDA):
            logits = net(batch[:, :-1], use_cache=False).logits
            loss = cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), plan.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        times.append(time.perf_counter())
    return times


def functok(steps: int) -> list[float]:
    times: list[float] = []
    with tempfile.TemporaryDirectory() as state:
        train(
            model(),
            windows(steps),
            settings(steps),
            GroupLoss(classes()),
            seed=0,
            checkpoints=(),
            save=lambda trained, step: None,
            state=Path(state) / "state",
            watch=lambda figures: times.append(time.perf_counter()),
        )
    return times


def trainer(steps: int) -> list[float]:
    import transformers

    from functok.models.losses.trainer import GroupLossMixin

    class Grouped(GroupLossMixin, transformers.Trainer):
        pass

    class Clock(transformers.TrainerCallback):
        def on_step_end(self, *arguments: object, **options: object) -> None:
            times.append(time.perf_counter())

    times: list[float] = []
    plan = settings(steps)
    rows = [{"input_ids": row[:-1], "labels": row[:-1]} for row in windows(steps)]
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder,
            max_steps=steps,
            per_device_train_batch_size=BATCH,
            learning_rate=plan.learning_rate,
            weight_decay=plan.weight_decay,
            adam_beta2=plan.beta2,
            max_grad_norm=plan.clip,
            warmup_steps=plan.warm_up,
            lr_scheduler_type="cosine",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            bf16=CUDA,
            use_cpu=not CUDA,
        )
        Grouped(
            model=model(),
            args=arguments,
            train_dataset=rows,
            group_loss=GroupLoss(classes()),
            callbacks=[Clock()],
        ).train()
    return times


CONTENDERS: dict[str, Callable[[int], list[float]]] = {
    work.__name__: work for work in (bare, functok, trainer)
}


def child(name: str, steps: int) -> None:
    """One measurement in a process of its own."""
    times = CONTENDERS[name](steps)
    print(json.dumps([float(np.median(np.diff(times)[1:])), peak_memory()]))


def peak_memory() -> float:
    """MB."""
    if CUDA:
        return torch.cuda.max_memory_allocated() / 1e6
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1e3


def share_of_group_loss(update: float, repeats: int = 7) -> float:
    """What ``GroupLoss`` takes beyond ``F.cross_entropy``, forward and backward, of an update."""
    device = "cuda" if CUDA else "cpu"
    logits = torch.randn(BATCH, CONTEXT, VOCABULARY, device=device, requires_grad=True)
    ids = torch.randint(0, VOCABULARY, (BATCH, CONTEXT), device=device)
    loss, taken = GroupLoss(classes(), device=device), SimpleNamespace(plain=[], grouped=[])
    for _ in range(repeats):
        for times, compute in (
            (taken.plain, lambda: cross_entropy(logits.flatten(0, 1), ids.flatten())),
            (taken.grouped, lambda: loss(logits, ids, ids)),
        ):
            logits.grad = None
            begin = time.perf_counter()
            compute().backward()
            if CUDA:
                torch.cuda.synchronize()
            times.append(time.perf_counter() - begin)
    return (statistics.median(taken.grouped) - statistics.median(taken.plain)) / update


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--peak", type=float, default=989e12, help="FLOP/s of the GPU in bf16")
    parser.add_argument("--child", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.steps)
        return
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    memory: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(options.rounds):
        for name in CONTENDERS:
            command = [sys.executable, __file__, "--child", name, "--steps", str(options.steps)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            taken, peak = json.loads(done.stdout.splitlines()[-1])
            seconds[name].append(taken)
            memory[name].append(peak)
    parameters = sum(weight.numel() for weight in model().parameters())
    print(f"{parameters / 1e6:.1f} M parameters, {BATCH * CONTEXT:,} tokens per update")
    for name in CONTENDERS:
        print(
            f"{name:8} {statistics.median(seconds[name]):.3f} s per update, "
            f"peak {statistics.median(memory[name]):,.0f} MB"
        )
    for other, bar in (("bare", 1.05), ("trainer", 1.0)):
        ratios = [mine / its for mine, its in zip(seconds["functok"], seconds[other], strict=True)]
        print(
            f"functok / {other}: {statistics.median(ratios):.3f} "
            f"[{min(ratios):.3f}, {max(ratios):.3f}] (bar: at most {bar})"
        )
    update = statistics.median(seconds["bare"])
    print(f"GroupLoss itself: {share_of_group_loss(update):.2%} of an update (bar: at most 2 %)")
    if CUDA:
        speed = BATCH * CONTEXT / statistics.median(seconds["functok"])
        used = 6 * parameters * speed / options.peak
        print(f"{speed:,.0f} tokens/s, MFU {used:.1%} (goal: 45 %)")


if __name__ == "__main__":
    main()
