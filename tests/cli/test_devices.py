"""--device, --sae-device, --memory and --dtype: where they are taken, what they do and refuse."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import typer
from transformers import AutoModelForCausalLM

from functok.cli.commands import app
from functok.study.asking import Named, subject_named
from functok.study.resources import Resources
from system.tiny import different, functok, results

PROMPT = "The old lamp of the garden"
NOWHERE = {"check", "compare", "figure", "models", "studies", "tokens", "world"}
"""Commands that run no model."""


@pytest.fixture(scope="module")
def half(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """A finished run's model, in half precision, with its SAE: as arguments of a command."""
    folder = tmp_path_factory.mktemp("half")
    shutil.copytree(whole_run / "tokenizer", folder / "model")
    trained = AutoModelForCausalLM.from_pretrained(str(whole_run / "models" / "step-000024"))
    trained.to(torch.bfloat16).save_pretrained(folder / "model")
    sae = whole_run / "dictionaries" / "main" / "step-000024"
    return ["--model", folder / "model", "--sae", sae]


def test_every_command_that_runs_a_model_says_where() -> None:
    options = {
        name: {option.name for option in command.params}
        for name, command in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]
    }
    assert {"run", "demo", "losses", "dictionaries", "report", "find-feature"} <= options.keys()
    where = {"device", "sae_device", "memory"}
    assert {name for name, taken in options.items() if not where <= taken} == NOWHERE
    assert not any("where" in taken for taken in options.values())


@pytest.mark.parametrize("command", ["run", "losses", "graph", "controls", "pretrain", "report"])
def test_a_device_that_is_not_there_is_refused_before_anything_is_written(
    command: str, tiny_study: Path, tmp_path: Path
) -> None:
    said = functok(command, tiny_study, "-o", tmp_path / "run", "--device", "cuda:97").complaint
    assert "cuda:97" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--device", "cuda:97"], "no device cuda:97"),
        (["--sae-device", "cuda:97"], "no device cuda:97"),
        (["--device", "gpu"], "--device 'gpu' is not a device; give auto, cpu, cuda, cuda:1"),
        (["--memory", "1m"], "--memory must be at least 32m"),
    ],
    ids=["device", "sae", "name", "memory"],
)
@pytest.mark.parametrize("command", ["trace", "steer"])
def test_questions_without_a_run_refuse_it_too(
    command: str, options: list[str], sentence: str, half: list[object]
) -> None:
    asked = ["--prompt", PROMPT, "--feature", 3]
    assert sentence in functok(command, *half, *asked, *options).complaint


def test_a_run_names_its_own_precision(whole_run: Path) -> None:
    asked = ["--prompt", PROMPT, "--feature", 3, "--dtype", "float32"]
    assert "names its own model" in functok("steer", whole_run, *asked).complaint
    assert "names its own model" in functok("graph", whole_run, "--dtype", "float32").complaint


def test_the_device_and_the_precision_are_said_in_one_line(half: list[object]) -> None:
    asked = ["--prompt", PROMPT, "--feature", 3, "--tokens", 2, "--device", "cpu"]
    steered = functok("steer", *half, *asked)
    own = "cpu: as requested, bfloat16 as the model's own; interventions in float32."
    assert own in steered.err.splitlines()
    steered = functok("steer", *half, *asked, "--dtype", "bfloat16")
    assert "cpu: as requested, bfloat16." in steered.err.splitlines()
    assert steered.code == 0


def test_models_are_changed_in_float32_and_traced_as_they_are(half: list[object]) -> None:
    names = Named(str(half[1]), str(half[3]))
    here = Resources(device="cpu")
    assert subject_named(names, here).model.dtype == torch.float32
    assert subject_named(names, here, exact=False).model.dtype == torch.bfloat16
    asked = names._replace(dtype="bfloat16")
    assert subject_named(asked, here).model.dtype == torch.bfloat16


def test_the_cpu_and_little_memory_give_the_same_results(
    tiny_study: Path, whole_run: Path, tmp_path: Path
) -> None:
    """The memory of the losses; that of a graph decides how its edges are cut into pieces."""
    asked = functok("losses", tiny_study, "-o", tmp_path, "--device", "cpu", "--memory", "32m")
    assert asked.code == 0, asked.err
    assert "cpu: as requested, float32 as the model's own." in asked.err.splitlines()
    made = results(tmp_path)
    assert {f"consolidation/{name}.parquet" for name in ("losses", "floors")} <= made.keys()
    assert not set(different(tmp_path, whole_run)) & made.keys()


def test_each_step_records_where_it_ran_the_model(whole_run: Path) -> None:
    told = json.loads((whole_run / "provenance.json").read_text())
    steps = {"pretrain", "dictionaries", "graph", "baselines", "losses", "trace", "steer"}
    assert steps <= told["placement"].keys()
    for one in told["placement"].values():
        assert one["device"] == one["sae_device"] == told["device"]
        assert one["dtype"] == one["interventions"] == "float32"
    for graph in told["graphs"]:
        assert graph["precision"]["model"] == "float32"
