"""What a study takes, before it is run: sizes, arithmetic, and what would make it fit."""

import re
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from functok.models.training import LlamaShape, new_llama
from functok.report.step import STEPS
from functok.runtime import disk
from functok.runtime.progress import Silent
from functok.runtime.store import RunFolder
from functok.study.opening import open_run
from functok.study.plan import machine
from functok.study.plan.cost import Cost
from functok.study.plan.forecast import Forecast
from functok.study.plan.planning import Plan
from functok.study.plan.probe import Probe
from functok.study.plan.speed import Shape
from functok.study.plan.text import CHARACTERS, text_of
from functok.study.plan.words import duration, operations, size
from functok.study.run import Run
from functok.study.runner import Runner
from functok.study.settings import DictionaryPart, Study, load_study
from functok.study.step import Step
from system.tiny import functok, settings, write_corpus, write_study


@pytest.fixture(scope="module")
def planned(tiny_study: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the command prints on the tiny study, and where its run would go."""
    place = tmp_path_factory.mktemp("plan") / "run"
    outcome = functok("plan", tiny_study, "-o", place)
    assert outcome.code == 0, outcome.err
    return outcome.out, place


def test_every_step_has_its_line_and_nothing_is_written(planned: tuple[str, Path]) -> None:
    out, place = planned
    first = [line.split()[0] for line in out.splitlines() if line.strip()]
    study = Study(name="x")
    steps = [step.name for step in STEPS if step.excuse(study) is None]
    assert [name for name in first if name in steps] == steps
    assert "In all: about" in out
    assert re.search(r"the model reads [\d,]+ tokens/s to layer 0 and [\d,]+ to the end", out)
    assert not place.exists()


def test_only_what_is_left_is_planned(run_copy: Path, tiny_study: Path) -> None:
    assert "Nothing is left to do." in functok("plan", run_copy).out
    (run_copy / "claims.parquet").unlink()
    out = functok("plan", run_copy).out
    listed = {line.split()[0] for line in out.splitlines() if line.strip()}
    assert "claims" in listed
    assert not {"graph", "losses", "pretrain"} & listed


def test_sizes_are_told_as_they_turn_out(tiny_study: Path, whole_run: Path, tmp_path: Path) -> None:
    """The text is so small that the sample is all of it."""
    before = Forecast(Run(load_study(tiny_study), RunFolder(tmp_path / "run")))
    after = Forecast(open_run(whole_run, Silent()), quick=True)
    assert after.known
    for split in ("corpus", "train", "held-out", "graph"):
        told, counted = before.tokens(split), after.tokens(split)
        assert told == pytest.approx(counted, rel=0.3), split
    assert before.tokens("corpus") == pytest.approx(after.tokens("corpus"), rel=0.02)
    assert after.tokens("held-out", 100) == 100


def test_a_large_corpus_is_told_from_its_beginning(tmp_path: Path) -> None:
    write_corpus(tmp_path / "part.jsonl", 2000)
    part = (tmp_path / "part.jsonl").read_bytes()
    times = 8 * CHARACTERS // len(part)
    (tmp_path / "whole.jsonl").write_bytes(part * times)

    def tokens(name: str) -> int:
        study = settings(tmp_path / name, tokenizer={"vocabulary_size": 300})
        file = write_study(tmp_path / "study.yaml", study)
        return text_of(Run(load_study(file), RunFolder(tmp_path / "run"))).tokens

    assert tokens("whole.jsonl") == pytest.approx(times * tokens("part.jsonl"), rel=0.05)


@pytest.mark.parametrize(("heads", "tied"), [(2, True), (1, False)])
def test_products_are_counted_as_torch_counts_them(heads: int, tied: bool) -> None:
    shape = LlamaShape(
        hidden_size=64,
        layers=4,
        heads=2,
        key_value_heads=heads,
        intermediate_size=100,
        tied_embeddings=tied,
    )
    context = 16  # attention is little, and torch counts what causality leaves out
    model = new_llama(shape, 500, context, 0).eval()
    told = Shape.of(model, context)
    ids = torch.zeros(3, context, dtype=torch.long)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        model(ids, use_cache=False)
    assert told.flops() * ids.numel() == pytest.approx(counted.get_total_flops(), rel=0.06)
    assert told.weights == sum(weight.numel() for weight in model.parameters())
    assert told.flops(2) == pytest.approx(told.flops(1) * 2)
    assert told.flops(4) < told.flops()


def test_memory_is_shared_in_time_and_the_rest_adds_up() -> None:
    one = Cost(tokens=1, flops=2.0, seconds=3.0, memory=10, device=1, disk=5)
    other = Cost(tokens=10, flops=20.0, seconds=30.0, memory=4, device=2, disk=50)
    assert one + other == Cost(11, 22.0, 33.0, 10, 2, 55)
    assert one.times(2) == Cost(2, 4.0, 6.0, 10, 1, 10)
    assert one.with_held(other) == replace(one, memory=14, device=3)


def test_amounts_in_words() -> None:
    amounts = [duration(value) for value in (0.2, 20, 240, 9000, 400_000)]
    assert amounts == ["1 s", "20 s", "4 min", "2.5 h", "5 days"]
    assert [size(value) for value in (0, 340 << 20, 3 << 29)] == ["", "340 MiB", "1.5 GiB"]
    assert operations(8.4e12) == "8.4 TFLOP"
    assert operations(0) == ""


@pytest.mark.parametrize(
    ("spec", "features", "l0", "layers"),
    [
        ("gemma-scope-9b-pt-res/layer_20/width_1m/average_l0_101", 1 << 20, 101, 21),
        ("gemma-scope-9b-pt-res/layer_26/width_16k/average_l0_116", 1 << 14, 116, 27),
        ("llama_scope_lxr_32x/l15r_32x", 32 * 32, 64, 16),
        ("somebody/unknown", 16 * 32, 64, 1),
    ],
)
def test_an_sae_that_is_elsewhere_is_told_by_its_name(
    spec: str, features: int, l0: int, layers: int, whole_run: Path
) -> None:
    probe = Probe(open_run(whole_run, Silent()))
    found = probe.sae(DictionaryPart(name="other", load=spec))
    assert (found.features, found.l0, found.layers) == (features, l0, layers)
    assert found.width == 32


class Heard(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


def test_what_a_long_step_takes_is_said_before_it(tmp_path: Path) -> None:
    heard = Heard()
    run = Run(Study(name="toy"), RunFolder(tmp_path), heard)

    def step(name: str, seconds: float) -> Step:
        return Step(
            name=name,
            title=f"Doing {name}",
            settings=lambda run: None,
            work=lambda run, key: None,
            cost=lambda run, forecast: Cost(tokens=20_000, seconds=seconds),
            leaves=lambda run: [],
        )

    runner = Runner(run, [step("losses", 240.0), step("trace", 5.0)])
    runner.bring("losses")
    runner.bring("trace")
    assert heard.said == ["Doing losses", "  losses: 20,000 tokens, about 4 min", "Doing trace"]


@pytest.fixture
def wide(tmp_path: Path) -> Plan:
    """The plan of a study whose SAE takes most of the memory and whose graph most of the disk."""
    recipe = {"width": 60_000, "k": 64, "batch": 512, "activations": 4000, "steps": 10}
    study = settings(
        write_corpus(tmp_path / "corpus.jsonl"),
        dictionaries={"recipe": recipe, "checkpoints": [24]},
        graph={"tokens": 3000},
    )
    run = Run(load_study(write_study(tmp_path / "s.yaml", study)), RunFolder(tmp_path / "run"))
    return Plan(run, Forecast(run), tuple(Runner(run, STEPS).undone("graph")))


def test_what_fits_is_not_refused(wide: Plan) -> None:
    assert [one.step.name for one in wide.planned()][-1] == "graph"
    assert wide.shortages == []


def test_memory_that_is_missing_is_named_with_the_smallest_change(
    wide: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = max(one.cost.memory for one in wide.planned())
    monkeypatch.setattr(machine, "available", lambda: round(0.8 * needed))
    monkeypatch.setattr(machine, "held", lambda: 0)
    monkeypatch.setattr(machine, "_LIBRARIES", 0)
    (said,) = wide.shortages
    assert re.match(
        r"Study tiny needs about .* of memory \(step dictionaries\) and .* are free", said
    )
    found = re.search(r"is dictionaries\.recipe\.(width|batch) ([\d,]+) \(now ([\d,]+)\)\.$", said)
    assert found, said
    value, now = (int(number.replace(",", "")) for number in (found[2], found[3]))
    assert now / 3 < value < now
    (part,) = wide.run.study.dictionaries
    for times, fits in ((1.0, True), (1.2, False)):
        recipe = replace(part.recipe, **{found[1]: round(times * value)})
        changed = wide.run.study.model_copy(
            update={"dictionaries": (part.model_copy(update={"recipe": recipe}),)}
        )
        run = Run(changed, wide.run.folder, Silent())
        assert (max(one.cost.memory for one in wide.planned(run)) <= 0.8 * needed) == fits
    monkeypatch.setattr(machine, "available", lambda: 1 << 20)
    fresh = Plan(wide.run, Forecast(wide.run), wide.steps)
    assert fresh.shortages[0].endswith("no setting alone makes it fit: take a larger machine.")


def test_a_full_disk_is_refused_by_the_command(
    tiny_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda place: usage(1 << 30, 0, 1 << 10))
    outcome = functok("plan", tiny_study, "-o", tmp_path / "run")
    assert re.search(r"of disk \(step \w+\) and 1 KiB are free", outcome.complaint)
    assert "In all: about" in outcome.out
