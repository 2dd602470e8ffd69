"""Trace, steer and find-feature on a model and an SAE named on the command line; bad input."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from functok.encoding.tokenizer import load_tokenizer
from functok.retrieval.prompts.subject import Subject
from functok.retrieval.questions import traced
from functok.runtime.progress import Silent
from functok.runtime.store import RunFolder
from functok.study.asking import Named as Names
from functok.study.asking import subject_named, subject_of
from functok.study.opening import open_run
from system.tiny import Outcome, functok

PROMPT = "The old lamp of the garden, and the lamp"
CHAT = "{{ bos_token }}{% for m in messages %}Q: {{ m.content }}\n{% endfor %}A:"


class Named:
    """A finished run's model, SAE and tokenizer as a user would name them."""

    def __init__(self, run: Path, place: Path) -> None:
        self.model = shutil.copytree(run / "models" / "step-000024", place / "model")
        shutil.copytree(run / "tokenizer", self.model, dirs_exist_ok=True)
        self.sae = shutil.copytree(run / "dictionaries" / "main" / "step-000024", place / "sae")

    def ask(self, command: str, *arguments: object) -> Outcome:
        return functok(command, "--model", self.model, "--sae", self.sae, *arguments)

    def trace(self, *arguments: object) -> Outcome:
        return self.ask("trace", "--prompt", PROMPT, *arguments)

    def subject(self, counts: Path | None = None) -> Subject:
        return subject_named(Names(str(self.model), str(self.sae), function_tokens=counts))


@pytest.fixture
def named(whole_run: Path, tmp_path: Path) -> Named:
    return Named(whole_run, tmp_path)


def test_any_model_is_traced_as_the_run_that_it_comes_from(named: Named, whole_run: Path) -> None:
    expected = traced(subject_of(open_run(whole_run, Silent())), PROMPT)
    assert len(expected) > 20
    found = traced(named.subject(whole_run), PROMPT)
    assert found.drop("density").equals(expected.drop("density"))


def test_without_counts_the_text_of_a_token_says_whether_it_is_a_function_token(
    named: Named,
) -> None:
    table = traced(named.subject(), PROMPT)
    classes = dict(zip(table["token"], table["class"], strict=True))
    assert classes["The"] == classes["␣the"] == classes[","] == "function"
    assert classes["␣g"] == classes["ld"] == "content", "pieces of words"


def test_chosen_features_are_shown_at_every_token_whether_they_fire_or_not(named: Named) -> None:
    table = traced(named.subject(), PROMPT)
    fires = int(table["feature"].value_counts().sort("count", "feature")["feature"][0])
    silent = next(feature for feature in range(64) if feature not in set(table["feature"]))
    said = named.trace("--feature", fires, "--feature", silent)
    assert said.code == 0, said.err
    assert said.out.startswith("Position 0 is <|endoftext|>, which is added before the prompt.")
    assert said.out.splitlines()[1] == "No feature is left out."
    lines = [line.split() for line in said.out.splitlines()[1:]]
    assert [line[0] for line in lines[3:5]] == [str(fires), str(silent)]
    assert lines[5] == ["position", "token", "class", str(fires), str(silent)]
    seen = {int(line[0]): float(line[3]) for line in lines[6:] if len(line) == 4}
    one = table.filter(feature=fires)
    expected = dict(zip(one["position"], one["activation"], strict=True))
    assert seen == pytest.approx(expected, rel=1e-3)
    assert len(lines[6:]) == table["position"].n_unique()


def test_a_chat_prompt_is_read_through_the_template(named: Named) -> None:
    tokenizer = load_tokenizer(str(named.model))
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(named.model)
    said = named.trace("--chat")
    assert said.code == 0, said.err
    rendered = tokenizer.encode(f"Q: {PROMPT}\nA:", add_special_tokens=False)
    places = traced(named.subject(), PROMPT, chat=True).unique("position").sort("position")
    assert set(places["position"]) <= set(range(1, len(rendered) + 1)), "the separator comes once"
    assert places["token_id"].to_list() == [rendered[at - 1] for at in places["position"]]


@pytest.mark.parametrize("place", ["last-function", "function+generated", "3"])
def test_any_model_is_steered_as_the_run_that_it_comes_from(
    named: Named, whole_run: Path, place: str
) -> None:
    asked = ("--prompt", PROMPT, "--feature", "3=2", "--at", place, "--tokens", 4)
    said = named.ask("steer", *asked, "--function-tokens", whole_run)
    assert said.code == 0, said.err
    assert said.out == functok("steer", whole_run, *asked).out


def test_a_trait_is_searched_in_any_model(named: Named, whole_run: Path, tmp_path: Path) -> None:
    (tmp_path / "tests.txt").write_text("The old lamp of the\nThe river and the\n")
    asked = ("--trait", "The garden of the", "--tests", tmp_path / "tests.txt", "--tokens", 2)
    counts = ("--function-tokens", whole_run)
    never = named.ask("find-feature", *asked, "--success", "☃", *counts).complaint
    assert "does not show the trait on the trait prompt itself" in never


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--layer", "7"], "There is no layer 7: the model has layers 0 to 1."),
        (["--layer", "1"], "not layer 1; omit --layer"),
        (["--function-tokens", "missing"], "missing contains no function tokens"),
        (["--sae", "missing"], "There is no SAE 'missing'"),
        (["--model", "missing"], "'missing' cannot be loaded"),
    ],
)
def test_what_cannot_be_traced_is_refused(
    named: Named, arguments: list[str], sentence: str
) -> None:
    assert sentence in named.trace(*arguments).complaint


@pytest.mark.parametrize(
    "arguments",
    [[], ["--model", "m"], ["--model", "m", "--sae", "s"], ["--prompt", "the"]],
    ids=["nothing", "model", "no prompt", "prompt"],
)
def test_a_trace_of_nothing_is_refused(arguments: list[str]) -> None:
    complaint = functok("trace", *arguments).complaint
    assert complaint.startswith("functok: functok trace needs a run folder or a study file, or ")


def test_what_a_corpus_would_say_is_not_known_without_one(named: Named) -> None:
    asked = ("--prompt", PROMPT, "--feature", 3, "--unit", "maximum")
    assert "the largest activations are unknown" in named.ask("steer", *asked).complaint


def test_features_are_steered_only_where_the_sae_reads_the_residual_stream(named: Named) -> None:
    text = (named.sae / "cfg.json").read_text()
    (named.sae / "cfg.json").write_text(
        text.replace("blocks.0.hook_resid_post", "blocks.0.hook_mlp_out")
    )
    assert named.trace().code == 0
    complaint = named.ask("steer", "--prompt", PROMPT, "--feature", 3).complaint
    assert (
        "The SAE's site is 'blocks.0.hook_mlp_out'; features are steered and searched" in complaint
    )


def test_a_run_names_its_own_model(whole_run: Path, named: Named) -> None:
    complaint = functok("trace", whole_run, "--model", named.model).complaint
    assert complaint.endswith("is a run or a study, which names its own model and SAE.")
    complaint = functok("trace", whole_run, "--feature", 3).complaint
    assert "--feature and --chat need --prompt" in complaint
    assert "--replace needs a run or a study." in named.trace("--replace").complaint
    assert "name another folder with -o" in named.trace("-o", whole_run).complaint
    assert "name another folder with -o" in named.trace("-o", named.sae / "cfg.json").complaint
    searched = named.ask(
        *("find-feature", "-o", "somewhere", "--trait", PROMPT, "--success", "a"),
        *("--tests", named.sae / "cfg.json"),
    )
    assert "without one, nothing is saved" in searched.complaint


def test_a_trace_and_a_steering_without_a_run_are_kept(named: Named, tmp_path: Path) -> None:
    kept = RunFolder(tmp_path / "kept")
    said = named.trace("--prompt", "The old garden of the lamp", "-o", kept.root)
    assert said.code == 0, said.err
    assert str(kept.retrieval("traces")) in said.out
    table = pl.read_parquet(kept.retrieval("traces"))
    expected = traced(named.subject(), PROMPT)
    assert table.filter(prompt=0).drop("prompt", "text").equals(expected)
    assert table["text"].unique(maintain_order=True).to_list() == [
        PROMPT,
        "The old garden of the lamp",
    ]
    for name in ("trace-1", "trace-2", "trace-difference"):
        for suffix in ("svg", "png", "parquet"):
            assert kept.figure(name, suffix).is_file()
    told = json.loads(kept.provenance.read_text())
    assert told == {
        "command": "trace",
        "asked": {"model": str(named.model), "sae": str(named.sae)},
    }
    said = named.ask("steer", "--prompt", PROMPT, "--feature", 3, "--tokens", 3, "-o", kept.root)
    assert said.code == 0, said.err
    grid = pl.read_parquet(kept.retrieval("grid"))
    assert grid["direction"].to_list() == ["none", "feature", "random"]
    drawn = pl.read_parquet(kept.figure("steering-grid", "parquet"))
    assert drawn["row"].to_list() == ["unsteered", "3, steered", "3, random direction"]
    assert drawn["answer"].to_list() == [" ".join(text.split()) for text in grid["answer"]]
