"""Questions to a finished run: trace, steer and find-feature, and bad input to them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from system.tiny import different, functok


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["trace", "--prompt", ""], "The prompt is empty"),
        (["trace", "--prompt", "the lamp " * 200], "but the model accepts at most 64; shorten it."),
        (["trace", "--prompt", "the lamp", "--feature", "64"], "There is no feature 64"),
        (["trace", "--prompt", "the lamp", "--chat"], "The tokenizer has no chat template"),
        (["steer", "--prompt", "the lamp"], "--prompt needs --feature"),
        (
            ["steer", "--prompt", "the lamp " * 200, "--feature", "1"],
            "tokens, 24 more are to be generated, but the model accepts at most 64; shorten it.",
        ),
        (["steer", "--prompt", "the lamp", "--feature", "1=nan"], "values that are not finite"),
        (["steer", "--prompt", "the lamp", "--feature", "1", "--chat"], "no chat template"),
        (["steer", "--prompt", "", "--feature", "1"], "The prompt is empty"),
        (["steer", "--prompt", "the lamp", "--feature", "64"], "There is no feature 64"),
        (["steer", "--prompt", "the lamp", "--feature", "-1"], "There is no feature -1"),
        (
            ["steer", "--prompt", "the lamp", "--feature", "1", "--at", "99"],
            "There is no position 99: the prompt has positions 0 to ",
        ),
        (
            ["steer", "--prompt", "the lamp", "--feature", "1", "--at", "-99"],
            "There is no position -99: the prompt has positions 0 to ",
        ),
        (
            ["steer", "--prompt", "the lamp", "--feature", "1", "--at", "functoin"],
            "There is no class of tokens 'functoin'; did you mean 'function'?",
        ),
        (["steer", "--prompt", "the lamp", "--feature", "x"], "--feature 'x' is not a feature"),
        (["steer", "--prompt", "the lamp", "--feature", "1=x"], "--feature '1=x' is not a feature"),
        (["steer", "--prompt", "QXZ", "--feature", "1"], "has no function token to change"),
    ],
)
def test_a_question_that_has_no_answer_is_refused_and_the_run_left_as_it_is(
    arguments: list[str], sentence: str, run_copy: Path, whole_run: Path
) -> None:
    command, *rest = arguments
    assert sentence in functok(command, run_copy, *rest).complaint
    assert different(run_copy, whole_run) == []


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"--trait": ""}, "The prompt is empty"),
        ({"--trait": "the lamp " * 200}, "but the model accepts at most 64; shorten it."),
        ({"--trait": "QXZ"}, "The prompt has no function token to change"),
        ({"--tests": "the lamp " * 200}, "2 more are to be generated, but the model accepts"),
        ({"--tests": ""}, "There is no prompt in "),
        ({"--strength": "nan", "--success": " "}, "Give at least one string to look for"),
        ({"--success": "language:xx"}, "There is no language 'xx'"),
    ],
    ids=["empty", "long", "no function token", "long test", "no test", "no string", "language"],
)
def test_a_trait_that_cannot_be_searched_is_refused(
    changed: dict[str, str], sentence: str, run_copy: Path, whole_run: Path, tmp_path: Path
) -> None:
    if "language:" in changed.get("--success", ""):
        pytest.importorskip("lingua", reason="lingua-language-detector is not installed")
    asked = {"--trait": "The garden of the", "--tests": "The river and the", "--success": "a"}
    asked |= changed
    (tmp_path / "tests.txt").write_text(asked["--tests"])
    asked |= {"--tests": str(tmp_path / "tests.txt"), "--tokens": "2"}
    options = [part for option in asked.items() for part in option]
    assert sentence in functok("find-feature", run_copy, *options).complaint
    assert different(run_copy, whole_run) == []


def damaged(run: Path, folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Copy the run's last SAE, and change its weights and its settings with them."""
    shutil.copytree(run / "dictionaries" / "main" / "step-000024", folder)
    weights = load_file(folder / "sae_weights.safetensors")
    change(weights)
    contiguous = {name: weight.contiguous() for name, weight in weights.items()}
    save_file(contiguous, folder / "sae_weights.safetensors")
    config = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps(config | {"d_in": len(weights["b_dec"])}))


def widened(weights: dict[str, torch.Tensor]) -> None:
    weights["W_enc"] = weights["W_enc"].repeat(2, 1)
    weights["W_dec"] = weights["W_dec"].repeat(1, 2)
    weights["b_dec"] = weights["b_dec"].repeat(2)


def without_numbers(weights: dict[str, torch.Tensor]) -> None:
    weights["W_dec"][3] = torch.nan


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (widened, "expects 64 dimensions but the model's residual stream has 32"),
        (without_numbers, "has values in W_dec that are not finite"),
    ],
)
def test_an_sae_of_another_width_or_without_numbers_is_refused(
    change: Callable[[dict[str, torch.Tensor]], None],
    sentence: str,
    whole_run: Path,
    tmp_path: Path,
) -> None:
    damaged(whole_run, tmp_path / "sae", change)
    names = ("--model", whole_run / "models" / "step-000024", "--sae", tmp_path / "sae")
    assert sentence in functok("trace", *names, "--prompt", "the lamp").complaint


def test_a_prompt_is_traced_through_a_finished_run(run_copy: Path) -> None:
    said = functok("trace", run_copy, "--prompt", "The old lamp of the garden")
    assert said.code == 0, said.err
    assert "again at function tokens" in said.out


def test_two_prompts_are_traced_against_each_other(run_copy: Path) -> None:
    first, second = "The old lamp of the garden", "The old lamp of the river"
    said = functok("trace", run_copy, "--prompt", first, "--prompt", second)
    assert said.code == 0, said.err
    assert f"{first} – compared with – {second}" in said.out
    assert "peak_second" in said.out


@pytest.mark.parametrize("place", ["last-function", "all", "-1", "content"])
def test_features_are_steered_in_a_finished_run(run_copy: Path, place: str) -> None:
    prompt = ("--prompt", "The old lamp of the garden", "--tokens", 3)
    said = functok("steer", run_copy, *prompt, "--feature", "3=2", "--feature", 5, "--at", place)
    assert said.code == 0, said.err
    assert "– changed at " in said.out
    assert [line.split()[0] for line in said.out.splitlines()[3:6]] == ["none", "feature", "random"]


def test_a_feature_given_twice_is_added_twice(whole_run: Path) -> None:
    asked = ("steer", whole_run, "--prompt", "The old lamp of the garden", "--tokens", 2)
    once = functok(*asked, "--feature", "3=3")
    assert once.code == 0, once.err
    assert functok(*asked, "--feature", "3=2", "--feature", "3=1").out == once.out
    assert functok(*asked, "--feature", "3=1").out != once.out


def test_the_search_for_a_trait_ends_with_its_reason_and_keeps_its_answers(
    run_copy: Path, tmp_path: Path
) -> None:
    """A trait that the model never shows, and one that only the trait prompt's answer shows."""
    (tmp_path / "tests.txt").write_text("The old lamp of the\n\nThe river and the\n")
    trait = ("--trait", "The garden of the", "--tests", tmp_path / "tests.txt", "--tokens", 2)
    never = functok("find-feature", run_copy, *trait, "--success", "☃").complaint
    assert "does not show the trait on the trait prompt itself" in never
    missing = tmp_path / "missing.txt"
    assert functok("find-feature", run_copy, *trait[:2], "--tests", missing, "--success", "a").code
    (tmp_path / "rule.py").write_text(
        "heard = []\ndef first(answer):\n    heard.append(answer)\n    return len(heard) == 1\n"
    )
    rule = ("--success", f"python:{tmp_path / 'rule.py'}:first", "--layers", "1")
    said = functok("find-feature", run_copy, *trait, *rule, "--screen", 2)
    assert "At no layer does the trait prompt's residual stream induce the trait" in said.complaint
    assert "Best layer 1: 0% of the test prompts show the trait" in said.out
    assert "Rank correlation of estimated and measured effects" in said.out, "the screen ran"
    kept = pl.read_parquet(run_copy / "retrieval" / "trait_answers.parquet")
    assert kept.filter(step="trait")["prompt"].to_list() == ["The garden of the"]
    rows = kept.filter(step="layer").select("layer", "direction", "prompt").rows()
    tests = ["The old lamp of the", "The river and the"]
    assert rows == [(1, way, prompt) for way in ("trait", "random") for prompt in tests]


@pytest.mark.parametrize("layers", ["7", "one", "1-", ""])
def test_layers_that_are_none_are_refused(layers: str, run_copy: Path, tmp_path: Path) -> None:
    (tmp_path / "tests.txt").write_text("The river and the")
    asked = ("--trait", "The garden of the", "--tests", tmp_path / "tests.txt", "--success", "a")
    said = functok("find-feature", run_copy, *asked, "--layers", layers).complaint
    assert ("There is no layer 7" if layers == "7" else "write one like 4,8-12") in said
