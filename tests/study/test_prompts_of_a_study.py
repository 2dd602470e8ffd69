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
from system.tiny import changed, functok, laid_over, write_study

PROMPT = "The old lamp of the garden, and the lamp"
CHAT = "{{ bos_token }}{% for m in messages %}Q: {{ m.content }}\n{% endfor %}A:"
TESTS = ["The river and the", "Ada saw the lamp in the", "In the garden of"]
TRAIT = {"name": "snow", "prompt": PROMPT, "tests": TESTS, "success": "☃", "generated": 2}
JUDGES = """
heard = 0

def planted(answer):
    # the trait prompt, three plain answers; a layer and a random direction, twice; plain; features
    global heard
    heard += 1
    block, place = divmod(heard - 2, 3)
    if block < 5:
        return heard == 1 or (block, place) in {(1, 0), (1, 1), (3, 0)}
    return block > 5 and block % 2 == 0

def any(answer):
    return True
"""
"""Of 3 test prompts 2 show the trait by layer 0, 1 by layer 1, and all by every set of features."""


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
    study = changed(tiny_study, tmp_path / "other.yaml", trace={"features": [10**6]})
    complaint = functok("trace", study, "-o", run_copy, "--replace").complaint
    assert complaint.startswith("functok: There is no feature 1000000")


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
        {"traits": [{**TRAIT, "chat": True}]},
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
    """The tiny run with three traits: one with a feature, one never shown, one shown anyway."""
    place = tmp_path_factory.mktemp("traits")
    shutil.copytree(whole_run, place / "run")
    (place / "judges.py").write_text(JUDGES)
    rule = f"python:{place / 'judges.py'}:"
    one = TRAIT | {"name": "planted", "success": rule + "planted", "threshold": 1.0}
    other = TRAIT | {"name": "any", "success": rule + "any", "tests": TESTS[:2], "layers": [1]}
    study = changed(tiny_study, place / "study.yaml", traits=[one, TRAIT, other])
    said = functok("traits", study, "-o", place / "run", "--replace").complaint
    assert f"pass --allow-python {place / 'judges.py'}" in said
    allowed = ("--allow-python", place / "judges.py")
    said = functok("traits", study, "-o", place / "run", "--replace", *allowed)
    assert said.code == 0, said.err
    (place / "said").write_text(said.out)
    return place / "run"


def table(run: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(run / "retrieval" / f"{name}.parquet")


def wilson(hits: float, tries: int) -> Any:
    low, high = proportion_confint(round(hits), tries, method="wilson")
    return pytest.approx(low), pytest.approx(high)


def test_success_by_layer_is_the_share_of_the_answers_that_show_the_trait(searched: Path) -> None:
    layers, answers = table(searched, "traits_by_layer"), table(searched, "traits_answers")
    shares = layers.select("trait", "layer", "prompts", "plain", "success", "control")
    assert shares.rows() == [
        ("planted", 0, 3, 0.0, pytest.approx(2 / 3), 0.0),
        ("planted", 1, 3, 0.0, pytest.approx(1 / 3), 0.0),
        ("any", 1, 2, 1.0, 1.0, 1.0),
        (None, 0, 3, 0.0, pytest.approx(2 / 3), 0.0),
        (None, 1, 5, pytest.approx(2 / 5), pytest.approx(3 / 5), pytest.approx(2 / 5)),
    ]
    for row in layers.iter_rows(named=True):
        for share in ("success", "control"):
            ends = (row[f"{share}_low"], row[f"{share}_high"])
            assert ends == wilson(row[share] * row["prompts"], row["prompts"])
    heard = answers.filter(trait="planted", step="layer", direction="trait")
    assert heard.group_by("layer").agg(pl.col("shows").sum()).sort("layer").rows() == [
        *((0, 2), (1, 1))
    ]


def test_the_feature_of_a_trait_is_kept_with_the_search_that_found_it(searched: Path) -> None:
    found = table(searched, "traits").row(0, named=True)
    assert (found["trait"], found["best_layer"]) == ("planted", 0)
    assert (found["sae"], found["layer"]) == ("main", 0)
    assert (found["success"], found["control"], found["failure"]) == (1.0, 0.0, None)
    assert (found["success_low"], found["success_high"]) == wilson(3, 3)
    steps = table(searched, "traits_search")
    alone = steps.filter(step="alone").row(0, named=True)
    assert (alone["feature"], alone["prompts"]) == (found["feature"], 3)
    assert set(steps["trait"]) == {"planted"}
    said = " ".join((searched.parent / "said").read_text().split())
    assert "A feature was found for 1 of 3 traits" in said
    assert "on 100% [44%, 100%] of 3 test prompts, a random direction of its norm on 0%" in said


def test_a_trait_that_cannot_be_found_says_why_and_does_not_stop_the_others(searched: Path) -> None:
    traits = table(searched, "traits")
    assert traits["trait"].to_list() == ["planted", "snow", "any"]
    why = dict(traits.select("trait", "failure").rows())
    assert "does not show the trait on the trait prompt itself" in why["snow"]
    assert "at best 100% of the test prompts show it, and 100% without" in why["any"]
    said = " ".join((searched.parent / "said").read_text().split())
    for name in ("snow", "any"):
        assert " ".join(f"{name}: {why[name]}".split()) in said
    assert traits["feature"].is_null().to_list() == [False, True, True]
    page = section("retrieval", RunFolder(searched), [])
    assert "Trait features, as in the paper" in page
    assert "snow: The model does not show the trait" in page


def test_the_figure_has_a_panel_for_each_trait_and_one_for_all(searched: Path) -> None:
    drawn = pl.read_parquet(searched / "figures" / "trait-layers.parquet")
    panels = drawn["trait"].unique(maintain_order=True).to_list()
    assert panels == ["planted", "any", "all traits together"]
    ringed = drawn.drop_nulls("feature").select("trait", "layer", "sae").unique()
    assert ringed.rows() == [("planted", 0, "main")]
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
    trait = TRAIT | {"tests": str(tmp_path / "tests.txt")}
    study = load_study(changed(tiny_study, tmp_path / "study.yaml", traits=[trait]))
    assert list(study.traits[0].tests) == TESTS


@pytest.mark.parametrize(
    ("trait", "sentence"),
    [
        ({"tests": "missing.txt"}, "traits.0.tests: Cannot read the prompts in missing.txt"),
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
    study = changed(tiny_study, tmp_path / "study.yaml", traits=[TRAIT | trait])
    assert sentence in functok("traits", study, "-o", tmp_path / "run").complaint
    assert not (tmp_path / "run").exists()


def test_two_traits_of_one_name_are_refused(tiny_study: Path, tmp_path: Path) -> None:
    study = changed(tiny_study, tmp_path / "study.yaml", traits=[TRAIT, TRAIT])
    assert "two traits are called 'snow'" in functok("traits", study).complaint


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
