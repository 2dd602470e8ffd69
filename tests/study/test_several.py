"""A study with three SAEs: two of different width at one site, one at another site and layer."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from functok.figures.catalogue import figures
from functok.figures.draw import write_figure
from functok.models.dictionaries import activations
from functok.notebook.run import Run
from functok.report.findings import claims_table
from functok.report.sections import section
from functok.runtime.errors import UserError
from functok.runtime.progress import Silent
from functok.runtime.store import RunFolder, read_json, read_tensors
from functok.study.opening import controlled, open_run, view, views
from functok.study.settings import load_study
from functok.study.steps.baselines import compared
from system.tiny import functok, settings, write_corpus, write_study

RECIPE = settings(Path("corpus"))["dictionaries"]["recipe"]
COMMON = {"checkpoints": [24], "quality_tokens": 600}
ENTRIES = [
    {"name": "main", "layer": 0, "recipe": RECIPE, **COMMON},
    {"name": "wide", "layer": 0, "recipe": RECIPE | {"width": 96, "k": 6}, **COMMON},
    {"name": "out", "layer": 1, "site": "mlp_out", "recipe": RECIPE, **COMMON},
]
NAMES = ["main", "wide", "out"]


class Made:
    """The run, and the hook points of each pass that took samples."""

    def __init__(self, place: Path) -> None:
        self.root = place / "run"
        self.study = place / "study.yaml"
        self.passes: list[list[str]] = []

    def table(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self.root / f"{name}.parquet")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    place = tmp_path_factory.mktemp("several")
    content = settings(write_corpus(place / "corpus.jsonl")) | {"dictionaries": ENTRIES}
    content["losses"] = {"tokens": 600}
    content["controls"] = {"baselines": [], "only": ["exposure"], "of": ["main", "wide"]}
    made = Made(place)
    write_study(made.study, content)
    sampled = activations.sample_at

    def told(model: Any, encoded: Any, points: Any, *more: Any) -> Any:
        made.passes.append([point.name for point in points])
        return sampled(model, encoded, points, *more)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(activations, "sample_at", told)
        outcome = functok("claims", made.study, "-o", made.root)
    assert outcome.code == 0, outcome.err
    return made


def test_the_samples_of_several_saes_come_from_one_pass(made: Made) -> None:
    assert made.passes == [["blocks.0.hook_resid_post", "blocks.1.hook_mlp_out"]]
    left = made.root / ".state" / "partials"
    assert not list(left.rglob("activations.safetensors")), "samples are removed after training"


def test_an_sae_is_trained_at_its_site(made: Made) -> None:
    place = made.root / "dictionaries" / "out" / "step-000024"
    assert read_json(place / "cfg.json")["metadata"]["hook_name"] == "blocks.1.hook_mlp_out"
    verified = read_json(place / "verified.json")
    assert verified["hook"] == "blocks.1.hook_mlp_out"
    meta = read_json(made.root / "graph" / "out" / "step-000024" / "meta.json")
    assert meta["hook"] == "blocks.1.hook_mlp_out"


def test_every_sae_has_results_of_its_own(made: Made) -> None:
    for name in ("coverage", "degree", "scaling"):
        shares = [made.table(f"graph/{one['name']}/step-000024/{name}") for one in ENTRIES]
        assert not shares[0].equals(shares[1])
        assert not shares[0].equals(shares[2])
    for other in NAMES[1:]:
        assert made.table(f"tests/{other}/E-coverage")["test"].to_list() == ["E-coverage"]
        odds = made.table(f"retrieval/{other}/reactivation_odds")
        assert len(odds.filter(pl.col("estimate").is_in(["raw", "adjusted"]))) == 4
    assert len(made.table("retrieval/wide/steering"))
    assert not (made.root / "retrieval" / "out" / "steering.parquet").exists()
    assert (made.root / "tests" / "wide" / "P1.parquet").exists()
    assert not (made.root / "tests" / "out" / "P1.parquet").exists()
    wide = made.table("graph/wide/step-000024/coverage")
    measured = made.table("tests/wide/O-coverage")["measured"].item()
    assert measured == pytest.approx(wide["of_active"].to_list()[-1])


def test_a_view_has_the_places_of_its_sae(made: Made) -> None:
    run = open_run(made.root, Silent())
    assert [one.main.name for one in views(run)] == NAMES
    assert [one.main.name for one in controlled(run)] == ["main", "wide"]
    seen = view(run, "out")
    assert seen.judged == seen.folder.judged == made.root / "graph" / "out" / "step-000024"
    assert seen.folder.test("E-coverage") == made.root / "tests" / "out" / "E-coverage.parquet"
    assert view(run, "main").folder == run.folder
    with pytest.raises(UserError, match=r"no SAE 'other'; did you mean 'out'\?"):
        view(run, "other")


def test_coverage_is_shown_with_a_column_for_each_sae(made: Made) -> None:
    shown = functok("coverage", made.root)
    assert shown.code == 0, shown.err
    heads = next(line for line in shown.out.splitlines() if "rank" in line)
    assert all(f"SAE {name}" in heads for name in NAMES)
    one = functok("coverage", made.root, "--sae", "wide").out
    assert "SAE main" not in one
    assert "graph/wide/step-000024/coverage.parquet" in one.replace("\n", "")


@pytest.mark.parametrize("command", ["reactivation", "steer", "controls", "graph"])
def test_a_command_shows_the_sae_that_is_named(made: Made, command: str) -> None:
    shown = [functok(command, made.root, "--sae", one["name"]) for one in ENTRIES[:2]]
    assert [one.code for one in shown] == [0, 0], shown[0].err + shown[1].err
    assert shown[0].out != shown[1].out
    complaint = functok(command, made.root, "--sae", "narrow").complaint
    assert complaint.endswith("has no SAE 'narrow'; valid are main, out, wide.")


def test_what_was_not_measured_on_an_sae_is_said(made: Made) -> None:
    assert "SAE out was not steered" in functok("steer", made.root, "--sae", "out").out
    complaint = functok("controls", made.root, "--sae", "out").complaint
    assert complaint.endswith("SAE out has no controls; name it under controls.of in the study.")
    complaint = functok("trace", made.root, "--sae", "out").complaint
    assert "--sae needs --prompt" in complaint


def test_a_question_is_asked_of_the_sae_that_is_named(made: Made) -> None:
    prompt = ("--prompt", "Ada saw the old lamp in the garden")
    answers = [functok("trace", made.root, *prompt, "--sae", one["name"]) for one in ENTRIES]
    assert [one.code for one in answers] == [0, 0, 0], answers[2].err
    assert len({one.out for one in answers}) == 3
    steered = ("steer", made.root, *prompt, "--feature", "90=1", "--tokens", "2", "--sae")
    assert functok(*steered, "wide").code == 0, "only the wide one has 96 features"
    assert "90" in functok(*steered, "main").complaint


def test_a_notebook_opens_one_sae_of_a_run(made: Made) -> None:
    wide = Run(made.root, sae="wide")
    assert wide.graph.features == 96
    assert wide.table("graph/coverage").equals(made.table("graph/wide/step-000024/coverage"))
    assert wide.open().subject.dictionary.features == 96
    assert Run(made.root).graph.features == 64


def test_each_verdict_says_on_how_many_other_saes_it_holds(made: Made) -> None:
    claims = made.table("claims").unique("claim").rows_by_key("claim", named=True, unique=True)
    measured = {name: row["sae_others"] for name, row in claims.items()}
    assert measured == {
        **dict.fromkeys(("coverage", "degree", "reactivation"), 2),
        **dict.fromkeys(("hubs", "steering"), 1),
        **dict.fromkeys(("steering-class", "loss", "learned-first", "scale"), 0),
        **dict.fromkeys(("growth", "slope", "consolidation"), 0),
    }
    row = claims["reactivation"]
    shown = functok("claims", made.root).out
    assert "on other SAEs" in shown
    assert f"{row['sae_alike']} of 2" in shown
    assert f"holds on {row['sae_alike']} of 2 other SAEs" in claims_table(made.table("claims"))


def test_saes_of_the_same_kind_of_site_stand_for_one_another(made: Made) -> None:
    run = open_run(made.root, Silent())
    assert [*compared(run).alternatives] == ["wide"], "an MLP's output is no residual stream"
    assert [*compared(view(run, "wide")).alternatives] == ["main"]
    assert not compared(view(run, "out")).alternatives


def test_figures_of_one_graph_are_drawn_for_each_sae(made: Made) -> None:
    folder = RunFolder(made.root)
    names = {figure.name for figure in figures(folder)}
    drawn = {}
    for other in NAMES[1:]:
        place = folder.of(other)
        here = {figure.name for figure in figures(place)}
        assert {"token-degree", "cumulative-coverage", "reactivation-odds"} <= here < names
        assert "token-frequency" not in here, "it is of the text"
        drawn[place] = figures(place, only=["token-degree"])
        for figure in drawn[place]:
            write_figure(figure, place)
        assert (made.root / "figures" / other / "token-degree.svg").is_file()
    page = section("graph", folder, [], drawn)
    assert page.count('data-chart="spec-token-degree-') == 2
    for name in NAMES:
        assert f">SAE {name}</th>" in page, "Table 1 with a column for each"


def test_other_saes_take_the_place_of_those_before_and_seeds_are_saes_of_their_own(
    made: Made, tmp_path: Path
) -> None:
    run = shutil.copytree(made.root, tmp_path / "run")
    content = yaml.safe_load(made.study.read_text())
    content["dictionaries"] = [ENTRIES[0] | {"seeds": 2}]
    content["controls"] = {}
    fewer = write_study(tmp_path / "fewer.yaml", content)
    outcome = functok("dictionaries", fewer, "-o", run, "--replace")
    assert outcome.code == 0, outcome.err
    left = run / "dictionaries"
    assert sorted(path.name for path in left.iterdir()) == ["main", "main-seed-1"]
    weights = [read_tensors(path) for path in sorted(left.rglob("sae_weights.safetensors"))]
    assert not (weights[0]["W_enc"] == weights[1]["W_enc"]).any()
    again = read_tensors(made.root / "dictionaries/main/step-000024/sae_weights.safetensors")
    assert (weights[0]["W_enc"] == again["W_enc"]).all(), "whoever shares its pass"


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ([ENTRIES[0], ENTRIES[1] | {"name": "main"}], "two dictionaries are called 'main'"),
        ([ENTRIES[0], ENTRIES[0] | {"name": "again"}], "SAEs main and again are one SAE twice"),
    ],
)
def test_one_name_or_one_sae_twice_is_refused(
    made: Made, tmp_path: Path, entries: list, sentence: str
) -> None:
    content = yaml.safe_load(made.study.read_text()) | {"dictionaries": entries, "controls": {}}
    study = write_study(tmp_path / "study.yaml", content)
    assert sentence in functok("dictionaries", study, "-o", tmp_path / "run").complaint
    assert not (tmp_path / "run" / "dictionaries").exists()


def test_controls_of_an_sae_that_there_is_not_are_refused(made: Made, tmp_path: Path) -> None:
    content = yaml.safe_load(made.study.read_text()) | {"controls": {"of": ["wider"]}}
    study = write_study(tmp_path / "study.yaml", content)
    with pytest.raises(UserError, match=r"controls\.of: there is no SAE 'wider'; did you mean"):
        load_study(study)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"seeds": 0}, "seeds must be a whole number from 1 to 100"),
        ({"seeds": 2, "seed": 1}, "in place of seed"),
        ({"load": "some/sae", "seed": 1}, "a loaded SAE has no seed"),
    ],
)
def test_seeds_are_of_saes_that_are_trained_here(
    tmp_path: Path, wrong: dict, sentence: str
) -> None:
    study = write_study(tmp_path / "study.yaml", {"name": "x", "dictionaries": [wrong]})
    with pytest.raises(UserError, match=sentence):
        load_study(study)
