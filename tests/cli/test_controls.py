"""``functok controls`` of a graph that stands alone: what it runs, keeps, and does anew."""

import random
import shutil
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from functok.controls.names import CONTROL_NAMES as NAMES
from functok.tokens.grammar.treebanks import read_treebank
from system.lone_graph import graph, write_inputs
from system.tiny import Outcome, functok

ROLES = {"like": ("ADP", "VERB"), "round": ("ADP", "NOUN")}
"""Words with two uses, by turns."""


def write_treebank(path: Path, documents: int = 80) -> Path:
    """Sentences in which some words are now of a closed class, now of an open one."""
    chance = random.Random(0)
    lines = []
    for number in range(documents):
        lines.append(f"# newdoc id = {number}")
        for use in (0, 1):
            for word, tags in ROLES.items():
                before, after = (
                    chance.choice(["cats", "dogs", "birds", "lamps"]) for _ in range(2)
                )
                row = [("the", "DET"), (before, "NOUN"), (word, tags[use]), (after, "NOUN")]
                for place, (form, tag) in enumerate(row, 1):
                    lines.append(f"{place}\t{form}\t_\t{tag}" + "\t_" * 6)
                lines.append("")
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a treebank and the graph of its text."""
    folder = tmp_path_factory.mktemp("alone")
    treebank = write_treebank(folder / "small.conllu")
    inputs = write_inputs(folder / "inputs", list(read_treebank(treebank).texts))
    outcome = graph(inputs, "--massive", 0, "-o", folder / "graphs")
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "alone"))


def controls(here: Path, *more: object) -> Outcome:
    outcome = functok("controls", here / "graphs", *more)
    assert outcome.code == 0, outcome.err
    return outcome


def table(here: Path, name: str) -> pl.DataFrame:
    (found,) = here.glob(f"graphs/graph/*/controls/{name}.parquet")
    return pl.read_parquet(found)


def test_a_graph_alone_has_its_controls_and_says_what_could_not_be_run(here: Path) -> None:
    said = controls(here).out
    ran = table(here, "ran")
    assert ran["control"].to_list() == list(NAMES)
    for row in ran.iter_rows(named=True):
        assert bool(row["tables"]) != bool(row["absent"]), row["control"]
        for name in row["tables"].split():
            table(here, name)
    assert "Not run, homographs: The uses of one token cannot be distinguished" in said
    (place,) = here.glob("graphs/graph/*/")
    assert f"Tables: {place / 'controls'}" in said
    assert "P1" in said


def test_only_the_controls_that_are_named_are_run(here: Path) -> None:
    controls(here, "--only", "hubs", "--only", "poisson")
    assert table(here, "ran")["control"].to_list() == ["hubs", "poisson"]
    assert not list(here.glob("graphs/graph/*/controls/richness*"))
    controls(here, "--only", "degree")
    assert table(here, "ran")["control"].to_list() == ["hubs", "poisson", "degree"]


def test_a_treebank_tells_the_uses_of_a_word_apart(here: Path) -> None:
    controls(here, "--only", "homographs", "--treebank", here / "small.conllu")
    uses = table(here, "uses")
    assert {name.strip(" ␣Ġ") for name in uses["token"]} >= ROLES.keys()
    for word, tags in ROLES.items():
        own = uses.filter(pl.col("token").str.contains(word))
        assert set(own["use"]) == set(tags)
        assert own["occurrences"].to_list() == [80, 80]
    assert len(table(here, "use_pairs")) == len(ROLES)


def test_a_treebank_of_other_text_is_no_help_and_that_is_said(here: Path) -> None:
    text = (here / "small.conllu").read_text("utf-8").replace("cats", "cows")
    (here / "other.conllu").write_text(text.replace("dogs", "sows"), "utf-8")
    said = controls(here, "--only", "homographs", "--treebank", here / "other.conllu").out
    assert "No occurrence in the graph is one of the treebank's words" in said
    assert table(here, "ran")["tables"].to_list() == [""]


def test_what_is_done_is_kept_until_the_treebank_changes(here: Path, monkeypatch) -> None:
    treebank = here / "small.conllu"
    asked = ("--only", "homographs", "--treebank")
    controls(here, *asked, treebank)
    first = table(here, "uses")

    def never(*_: object) -> None:
        raise AssertionError("run again")

    with monkeypatch.context() as patch:
        patch.setattr("functok.controls.suite.tables.homographs", never)
        controls(here, *asked, treebank)
        (here / "moved").mkdir()
        shutil.copy(treebank, here / "moved")
        controls(here, *asked, here / "moved")  # the same file elsewhere
    text = treebank.read_text("utf-8")
    treebank.write_text(text.replace("\tround\t_\tNOUN", "\tround\t_\tVERB"), "utf-8")
    controls(here, *asked, treebank)
    assert "NOUN" in set(first["use"])
    assert set(table(here, "uses")["use"]) == {"ADP", "VERB"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["graphs", "--only", "hub"], "no control 'hub'; did you mean 'hubs'"),
        (["graphs", "-o", "elsewhere"], "omit -o"),
        (["inputs"], "There is no run in inputs"),
        (["graphs", "--treebank", "nowhere"], "no .conllu file at nowhere"),
        (["graphs", "--treebank", "inputs/corpus.jsonl"], "is not CoNLL-U"),
    ],
)
def test_bad_input_is_one_sentence(here: Path, monkeypatch, arguments, sentence: str) -> None:
    monkeypatch.chdir(here)
    assert sentence in functok("controls", *arguments).complaint
    assert not list(here.glob("graphs/graph/*/controls/ran.parquet"))


def test_what_is_deleted_is_made_again(here: Path) -> None:
    controls(here, "--only", "hubs")
    before = table(here, "hubs")
    shutil.rmtree(here / "graphs/tokenizer")
    shutil.rmtree(here / "graphs/graph")
    controls(here, "--only", "hubs")
    assert_frame_equal(table(here, "hubs"), before)


def test_a_graph_is_a_run_on_which_every_other_command_works(here: Path) -> None:
    for command in ("coverage", "tokens", "trace", "graph", "dictionaries", "pretrain"):
        outcome = functok(command, here / "graphs")
        assert outcome.code == 0, outcome.err
    refused = functok("losses", here / "graphs").complaint
    assert "holds out no documents" in refused
    assert "has no tiny world" in functok("answers", here / "graphs").complaint


def test_other_choices_see_the_graphs_of_the_other_saes(made: Path, tmp_path: Path) -> None:
    """Another SAE of the run is a choice more; with the same weights it changes nothing."""
    inputs, run = made / "inputs", tmp_path / "two"
    shutil.copytree(inputs / "sae", tmp_path / "other")
    outcome = graph(inputs, "--sae", tmp_path / "other", "--massive", 0, "-o", run)
    assert outcome.code == 0, outcome.err
    assert functok("controls", run, "--only", "specification").code == 0
    (found,) = run.glob("graph/*/controls/specifications.parquet")
    both = pl.read_parquet(found)
    first, second = both["sae"].unique(maintain_order=True)
    assert first == "this one"
    mine, theirs = (both.filter(sae=name).drop("sae") for name in (first, second))
    assert_frame_equal(mine, theirs, check_row_order=False)
