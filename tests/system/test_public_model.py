"""The whole study on a model that others trained, and a walk over its checkpoints."""

import io
import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import torch
import zstandard
from safetensors.torch import load_file, save_file

from functok import Intervention, Trial, load_model, load_tokenizer, steer, sweep
from functok.models.language.generation import generate
from functok.retrieval.prompts.trace import prompt_ids
from functok.runtime.progress import Silent
from functok.study.opening import open_run
from system.tiny import functok, laid_over, settings, write_study

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
MODEL = DATA / "models" / "stories260K"
STORIES = DATA / "texts" / "tinystories.jsonl.zst"

RECIPE = {
    "width": 128,
    "k": 8,
    "steps": 300,
    "batch": 256,
    "activations": 15_000,
    "learning_rate": 5e-3,
}

pytestmark = pytest.mark.skipif(
    not (MODEL / "model.safetensors").is_file() or not STORIES.is_file(),
    reason="stories260K and TinyStories are not beside the repository (../shared/data)",
)


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 150 TinyStories."""
    place = tmp_path_factory.mktemp("stories") / "stories.jsonl"
    with open(STORIES, "rb") as file, open(place, "w", encoding="utf-8") as kept:
        text = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8")
        kept.writelines(line for _, line in zip(range(150), text, strict=False))
    return place


def public(stories: Path, model: Path, **changes: object) -> dict:
    """The study of a loaded model; nothing is pre-trained."""
    study = settings(stories)
    del study["model"]
    return laid_over(
        study,
        {
            "model": {"load": str(model), "context": 128},
            "tokenizer": {"load": str(MODEL)},
            "dictionaries": {"layer": 2, "checkpoints": [], "recipe": RECIPE},
            "trace": {"prompts": ["Once upon a time, there was a little girl"]},
            "steer": {"shown": "Once upon a time, there was a"},
            **changes,
        },
    )


@pytest.fixture(scope="module")
def run(stories: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the published model."""
    place = tmp_path_factory.mktemp("public")
    study = write_study(place / "study.yaml", public(stories, MODEL))
    outcome = functok("run", study, "-o", place / "run")
    assert outcome.code == 0, outcome.err
    return place / "run"


def mean_loss(run: Path, step: int | None) -> float:
    losses = pl.read_parquet(run / "consolidation" / "losses.parquet")
    losses = losses.filter(pl.col("step").eq_missing(step))
    return losses["loss_sum"].sum() / losses["count"].sum()


def floor(run: Path) -> float:
    losses = pl.read_parquet(run / "consolidation" / "floors.parquet")
    return losses["loss_sum"].sum() / losses["count"].sum()


def test_a_published_model_is_far_below_the_bigram_floor(run: Path) -> None:
    assert mean_loss(run, None) < floor(run) - 0.5


def test_a_published_model_leaves_the_tables_of_a_study_and_no_weights(run: Path) -> None:
    assert not (run / "models").exists()
    step = run / "graph" / "main"
    for path in (
        run / "claims.parquet",
        run / "tokens" / "function_tokens.parquet",
        run / "dictionaries" / "main" / "sae_weights.safetensors",
        step / "edges/by-token.parquet",
        step / "degree.parquet",
        step / "coverage.parquet",
        run / "consolidation" / "growth.parquet",
        run / "retrieval" / "traces.parquet",
        run / "retrieval" / "steering.parquet",
    ):
        assert path.is_file(), path
    claims = pl.read_parquet(run / "claims.parquet")
    answers = dict(zip(claims["test"], claims["answer"], strict=True))
    assert answers["E-growth"] == "not run", "its control, the untrained model, was not run"
    measured = claims.filter(pl.col("measured").is_not_null())["test"]
    made = {
        "P1",
        "E-coverage",
        "E-loss",
        "E-reactivation",
        "E-steering",
        "E-loss-target",
        *(f"O-{name}" for name in ("coverage", "power-law", "hubs", "reactivation", "steering")),
        *("O-loss-hardest", "O-loss-share"),
    }  # P2 to P4 if the text has enough of each class
    assert set(measured) - {"P2", "P3", "P4"} == made


def test_the_function_tokens_of_stories_are_what_everyone_would_call_so(run: Path) -> None:
    table = pl.read_parquet(run / "tokens" / "function_tokens.parquet")
    assert table["cumulative"][-1] >= 0.4
    assert table["cumulative"][-2] < 0.4
    shown = {token.strip("␣▁") for token in table["token"]}
    assert shown >= {".", ",", "the", "and", "to"}


def test_a_trained_sae_recovers_most_of_what_the_layer_carries(run: Path) -> None:
    row = pl.read_parquet(run / "consolidation" / "dictionaries.parquet").row(0, named=True)
    assert row["l0"] <= 8
    assert row["explained_variance"] > 0.3
    assert 0.2 < row["ce_recovered"] <= 1


def test_the_published_model_is_traced(run: Path) -> None:
    names = ("--model", MODEL, "--sae", run / "dictionaries" / "main")
    prompts = ("--prompt", "Once upon a time, there was", "--prompt", "One day, there was a dog")
    for target in ([run], [*names, "--layer", 2, "--function-tokens", run]):
        said = functok("trace", *target, *prompts)
        assert said.code == 0, said.err
        assert "there was – compared with – One day, there was a dog" in said.out
    assert "has no chat template" in functok("trace", *names, *prompts, "--chat").complaint


def test_the_published_model_is_steered_and_one_feature_changes_what_it_says(run: Path) -> None:
    prompt = ("--prompt", "Once upon a time, there was a", "--tokens", 4)
    said = functok("steer", run, *prompt, "--feature", "7=8", "--feature", "9=8")
    assert said.code == 0, said.err
    header, plain, steered, random = (line.split() for line in said.out.splitlines()[2:6])
    assert header == ["direction", "answer", "probability", "unsteered", "kl", "norm"]
    assert (plain[0], steered[0], random[0]) == ("none", "feature", "random")
    assert float(plain[-2]) == 0 < float(steered[-2])


def test_the_feature_of_a_trait_is_found_in_the_published_model(run: Path, tmp_path: Path) -> None:
    """The trait: to say anything but what the model says by itself, which a strong push brings."""
    tests = ["Tim saw a", "The cat and the", "Lily went to the"]
    model, tokenizer = load_model(str(MODEL)), load_tokenizer(str(MODEL))
    start = open_run(run, Silent()).row_start.id
    plain = generate(model, [prompt_ids(tokenizer, text, model, start) for text in tests], 4)
    own = [tokenizer.decode(answer) for answer in plain]
    (tmp_path / "tests.txt").write_text("\n".join(tests))
    (tmp_path / "judges.py").write_text(f"def other(answer):\n    return answer not in {own!r}\n")
    asked = {
        "--trait": "Once upon a time, there was a",
        "--success": f"python:{tmp_path / 'judges.py'}:other",
        "--tests": tmp_path / "tests.txt",
        "--strength": 40,
        "--tokens": 4,
        "--screen": 3,
    }
    said = functok("find-feature", run, *(part for option in asked.items() for part in option))
    assert said.code == 0, said.err
    assert "at layer 2: added alone with strength 40, it elicits the trait on " in said.out
    assert len([line for line in said.out.splitlines() if line.startswith(("top", "sample"))]) == 6


@pytest.mark.parametrize("layers", [[0], [2, 4]])
def test_sweeps_of_the_published_model_equal_full_passes(layers: list[int]) -> None:
    model, tokenizer = load_model(str(MODEL)), load_tokenizer(str(MODEL))
    text = "Once upon a time, there was a little girl. She saw a big dog in the"
    ids = tokenizer.encode(text, add_special_tokens=False)
    vectors = torch.randn(9, model.config.hidden_size, generator=torch.Generator().manual_seed(1))
    changes = [
        tuple(Intervention(layer, len(ids) - 9 + number, vector) for layer in layers)
        for number, vector in enumerate(vectors)
    ]
    found = sweep(model, [ids], [Trial(0, change) for change in changes])
    for change, row in zip(changes, found, strict=True):
        with torch.no_grad(), steer(model, change):
            logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        torch.testing.assert_close(row, logits.log_softmax(-1), atol=1e-4, rtol=1e-4)
    assert (found - found[0]).abs().max() > 0.1


def test_subfolders_are_walked_as_checkpoints_in_order_of_step(
    stories: Path, tmp_path: Path
) -> None:
    suite = tmp_path / "suite"
    for name in ("step10", "step0"):
        shutil.copytree(MODEL, suite / name, copy_function=shutil.copy)
        for copied in [suite / name, *(suite / name).iterdir()]:
            copied.chmod(0o755)
    weights = load_file(suite / "step0" / "model.safetensors")
    chance = torch.Generator().manual_seed(0)
    blank = {
        name: torch.randn(weight.shape, generator=chance) * 0.02 if weight.ndim > 1 else weight
        for name, weight in weights.items()
    }
    save_file(blank, suite / "step0" / "model.safetensors", {"format": "pt"})
    study = write_study(
        tmp_path / "study.yaml",
        laid_over(
            public(stories, suite),
            {"model": {"revisions": ["step10", "step0"]}, "graph": {"tokens": 2000}},
        ),
    )
    outcome = functok("claims", study, "-o", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    run = tmp_path / "run"
    assert mean_loss(run, 10) < floor(run) - 0.5 < floor(run) < mean_loss(run, 0)
    growth = pl.read_parquet(run / "consolidation" / "growth.parquet")
    assert growth["step"].unique(maintain_order=True).to_list() == [0, 10]
    assert growth["positions"].n_unique() == 1, "the same held-out tokens at every checkpoint"
    claims = pl.read_parquet(run / "claims.parquet")
    assert claims.filter(test="E-growth")["measured"].is_not_null().all()
    made = json.loads((run / "provenance.json").read_text())["models"]
    assert made["0"]["sha256"] != made["10"]["sha256"]
