"""A study's own prompts: named features, chat templates, and traits with their tables."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import yaml
from statsmodels.stats.proportion import proportion_confint

from functok.encoding.chat import chat_ids
from functok.encoding.tokenizer import load_tokenizer, special_ids
from functok.report.sections import section
from functok.runtime.errors import UserError
from functok.runtime.store import RunFolder
from functok.study.settings import load_study
from functok.study.steps.dictionaries import _said
from functok.study.steps.trace import _check_features
from system.tiny import functok, laid_over, write_study

PROMPT = "The old lamp of the garden, and the lamp"
CHAT = "{{ bos_token }}{% for m in messages %}Q: {{ m.content }}\n{% endfor %}A:"
TESTS = ["The river and the", "Ada saw the lamp in the", "In the garden of"]
TRAITS = [
    {"name": "vowels", "prompt": PROMPT, "tests": TESTS, "success": "a|e|i|o|u", "generated": 3},
    {"name": "snow", "prompt": PROMPT, "tests": TESTS, "success": "☃", "generated": 2},
    {
        **{"name": "the", "prompt": "The lamp of the", "tests": TESTS[:2], "success": "th|a "},
        **{"layers": [1], "threshold": 0.9, "generated": 4},
    },
]


def changed(study: Path, place: Path, **changes: Any) -> Path:
    """The study with other settings, as another file."""
    return write_study(place, laid_over(yaml.safe_load(study.read_text()), changes))


def test_the_features_that_a_study_names_are_the_rows_of_its_figure(
    run_copy: Path, tiny_study: Path, tmp_path: Path
) -> None:
    prompts = [PROMPT, "The river and the garden"]
    study = changed(
        *(tiny_study, tmp_path / "s.yaml"), trace={"features": [5, 3, 60], "prompts": prompts}
    )
    said = functok("trace", study, "-o", run_copy, "--replace")
    assert said.code == 0, said.err
    rows = [line.split()[0] for line in said.out.splitlines() if line.strip()]
    assert [row for row in rows if row in ("5", "3", "60")] == ["5", "3", "60"] * 2
    traces = pl.read_parquet(run_copy / "retrieval/traces.parquet")
    for number in (1, 2):
        drawn = pl.read_parquet(run_copy / f"figures/trace-{number}.parquet")
        named = drawn.drop_nulls("feature").unique("row").sort("row")["feature"]
        assert named.to_list() == [5, 3, 60]
        cells = drawn.drop_nulls(["feature", "position"]).select("position", "feature")
        fired = traces.filter(pl.col("prompt") == number - 1, pl.col("feature").is_in([5, 3, 60]))
        assert set(cells.rows()) == set(fired.select("position", "feature").rows())


def test_a_feature_that_the_graph_leaves_out_cannot_be_shown() -> None:
    subject: Any = SimpleNamespace(left_out=(3, 9), dictionary=SimpleNamespace(features=64))
    _check_features(subject, (5, 7))
    _check_features(subject, 16)
    with pytest.raises(UserError, match="names 3, 9, which the graph leaves out as too dense"):
        _check_features(subject, (9, 5, 3))


@pytest.fixture
def chatting(whole_run: Path, tiny_study: Path, tmp_path: Path) -> Path:
    """A study of the tiny run's last model, whose tokenizer has a chat template."""
    model = shutil.copytree(whole_run / "models" / "step-000024", tmp_path / "model")
    tokenizer = load_tokenizer(str(whole_run / "tokenizer"))
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(model)
    content = yaml.safe_load(tiny_study.read_text())
    sae = whole_run / "dictionaries" / "main" / "step-000024"
    del content["tokenizer"]
    content |= {
        "model": {"load": str(model), "context": 32},
        "dictionaries": {"load": str(sae), "quality_tokens": 0},
        "trace": {"prompts": [PROMPT], "chat": True},
    }
    return write_study(tmp_path / "chat.yaml", content)


def test_a_studys_prompts_are_read_through_the_chat_template(
    chatting: Path, tmp_path: Path
) -> None:
    said = functok("trace", chatting, "-o", tmp_path / "run")
    assert said.code == 0, said.err
    tokenizer = load_tokenizer(str(tmp_path / "run" / "tokenizer"))
    ids = chat_ids(tokenizer, PROMPT)
    assert tokenizer.decode(ids).startswith("<|endoftext|>Q: The old lamp")
    places = pl.read_parquet(tmp_path / "run/retrieval/traces.parquet").unique("position")
    special = set(special_ids(tokenizer))
    expected = {(at, token) for at, token in enumerate(ids) if token not in special}
    assert set(places.select("position", "token_id").rows()) <= expected
    assert len(places) > len(expected) / 2
    grid = {"prompts": [PROMPT], "conditions": [{"name": "x", "features": {3: 1.0}}], "at": "-1"}
    study = changed(chatting, tmp_path / "grid.yaml", steer={"grid": {**grid, "chat": True}})
    said = functok("steer", study, "-o", tmp_path / "run", "--replace")
    assert said.code == 0, said.err
    cells = pl.read_parquet(tmp_path / "run/retrieval/grid.parquet")
    assert set(cells["at"]) == {f"{tokenizer.decode(ids[-1:])}@{len(ids) - 1}"}


@pytest.mark.parametrize(
    "changes",
    [
        {"trace": {"chat": True}},
        {
            "steer": {
                "grid": {
                    "chat": True,
                    "prompts": ["a"],
                    "conditions": [{"name": "x", "features": {1: 1.0}}],
                }
            }
        },
        {"traits": [{**TRAITS[0], "chat": True}]},
    ],
    ids=["trace", "grid", "traits"],
)
def test_without_a_template_a_chat_is_refused_before_anything_is_made(
    changes: dict, chatting: Path, tiny_study: Path, tmp_path: Path
) -> None:
    command = {"trace": "trace", "steer": "steer", "traits": "traits"}[next(iter(changes))]
    trained = changed(tiny_study, tmp_path / "trained.yaml", **changes)
    assert "has no chat template" in functok(command, trained, "-o", tmp_path / "run").complaint
    (tmp_path / "model" / "chat_template.jinja").unlink()
    content = laid_over(yaml.safe_load(chatting.read_text()), {"trace": {"chat": False}} | changes)
    loaded = write_study(tmp_path / "loaded.yaml", content)
    said = functok(command, loaded, "-o", tmp_path / "run").complaint
    assert "The tokenizer has no chat template; omit --chat, or chat in the study" in said
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def searched(whole_run: Path, tiny_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run with three traits: one that is always shown, one never, one of one layer."""
    place = tmp_path_factory.mktemp("traits")
    shutil.copytree(whole_run, place / "run")
    study = changed(tiny_study, place / "study.yaml", traits=TRAITS)
    said = functok("traits", study, "-o", place / "run", "--replace")
    assert said.code == 0, said.err
    (place / "said").write_text(said.out)
    return place / "run"


def table(run: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(run / "retrieval" / f"{name}.parquet")


def wilson(hits: float, tries: int) -> tuple[float, float]:
    low, high = proportion_confint(round(hits), tries, method="wilson")
    return pytest.approx(low), pytest.approx(high)


def test_success_by_layer_is_the_share_of_the_answers_that_show_the_trait(searched: Path) -> None:
    layers, answers = table(searched, "traits_by_layer"), table(searched, "traits_answers")
    assert set(layers["trait"]) == {"vowels", "the", None}
    assert layers.filter(trait="vowels")["layer"].to_list() == [0, 1]
    assert layers.filter(trait="the")["layer"].to_list() == [1], "the study has one SAE"
    for row in layers.iter_rows(named=True):
        names = ["vowels", "the"] if row["trait"] is None else [row["trait"]]
        scanned = [name for name in names if row["layer"] == 1 or name == "vowels"]
        heard = answers.filter(
            pl.col("trait").is_in(scanned), pl.col("step") == "layer", layer=row["layer"]
        )
        for share, direction in (("success", "trait"), ("control", "random")):
            shows = heard.filter(direction=direction)["shows"]
            assert row["prompts"] == len(shows)
            assert row[share] == pytest.approx(shows.mean())
            ends = (row[f"{share}_low"], row[f"{share}_high"])
            assert ends == wilson(shows.sum(), len(shows))


def test_a_trait_that_cannot_be_found_says_why_and_does_not_stop_the_others(searched: Path) -> None:
    traits = table(searched, "traits")
    assert traits["trait"].to_list() == ["vowels", "snow", "the"]
    assert traits["prompts"].to_list() == [3, 3, 2]
    why = dict(traits.select("trait", "failure").rows())
    assert "does not show the trait on the trait prompt itself" in why["snow"]
    assert "snow" not in set(table(searched, "traits_by_layer")["trait"])
    said = " ".join((searched.parent / "said").read_text().split())
    for name, failure in why.items():
        assert failure is None or f"{name}: {failure}" in said
    assert all(row["feature"] is None for row in traits.drop_nulls("failure").to_dicts())
    page = section("retrieval", RunFolder(searched), [])
    assert "The features of traits" in page
    assert "snow: The model does not show the trait" in page


def test_the_figure_has_a_panel_for_each_trait_and_one_for_all(searched: Path) -> None:
    drawn = pl.read_parquet(searched / "figures" / "trait-layers.parquet")
    panels = drawn["trait"].unique(maintain_order=True).to_list()
    assert panels == ["vowels", "the", "all traits together"]
    assert (searched / "figures" / "trait-layers.svg").is_file()


def test_the_step_is_done_once_and_goes_with_the_traits(searched: Path, tmp_path: Path) -> None:
    run = shutil.copytree(searched, tmp_path / "run")
    study = searched.parent / "study.yaml"
    before = (run / "retrieval/traits.parquet").stat().st_mtime_ns
    assert functok("traits", study, "-o", run).code == 0
    assert (run / "retrieval/traits.parquet").stat().st_mtime_ns == before
    content = yaml.safe_load(study.read_text())
    del content["traits"]
    without = write_study(tmp_path / "without.yaml", content)
    assert "names no traits" in functok("traits", without, "-o", run, "--replace").complaint
    assert functok("trace", without, "-o", run, "--replace").code == 0
    assert not list((run / "retrieval").glob("traits*"))


def test_test_prompts_in_a_file_become_part_of_the_runs_own_study(
    tiny_study: Path, tmp_path: Path
) -> None:
    (tmp_path / "tests.txt").write_text("\n".join(["", *TESTS, " "]))
    trait = TRAITS[0] | {"tests": str(tmp_path / "tests.txt")}
    study = load_study(changed(tiny_study, tmp_path / "study.yaml", traits=[trait]))
    assert list(study.traits[0].tests) == TESTS


@pytest.mark.parametrize(
    ("trait", "sentence"),
    [
        ({"tests": "missing.txt"}, "traits.0.tests: Cannot read the test prompts in missing.txt"),
        ({"tests": []}, "traits.0.tests: "),
        ({"sucess": "a"}, "did you mean 'success'?"),
        ({"layers": [2]}, "there is no layer 2; the model has layers 0 to 1."),
        ({"success": " | "}, "at least one string"),
        ({"success": "python:judge.py:short"}, "pass --allow-python judge.py"),
    ],
)
def test_a_trait_that_cannot_be_searched_is_refused_before_anything_is_made(
    trait: dict, sentence: str, tiny_study: Path, tmp_path: Path
) -> None:
    study = changed(tiny_study, tmp_path / "study.yaml", traits=[TRAITS[0] | trait])
    assert sentence in functok("traits", study, "-o", tmp_path / "run").complaint
    assert not (tmp_path / "run").exists()


def test_two_traits_of_one_name_are_refused(tiny_study: Path, tmp_path: Path) -> None:
    study = changed(tiny_study, tmp_path / "study.yaml", traits=[TRAITS[0], TRAITS[0]])
    assert "two traits are called 'vowels'" in functok("traits", study).complaint


def test_keys_that_came_later_leave_what_was_made_before_them_done(whole_run: Path) -> None:
    """By the keys of the steps as they were: without the new settings where these say nothing."""
    study = load_study(whole_run / "study.yaml")
    said = _said(study.dictionaries[0])
    assert not {"decay", "bandwidth", "threshold", "tanh_scale", "l0_warm_up"} & set(said["recipe"])
    assert said["recipe"]["width"] == 64
    part, recipe = study.dictionaries[0], study.dictionaries[0].recipe
    assert recipe is not None
    constant = part.model_copy(update={"recipe": replace(recipe, decay=0.0)})
    assert _said(constant) == said | {"recipe": said["recipe"] | {"decay": 0.0}}
