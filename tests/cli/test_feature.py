"""``functok feature``: faces of a run's features, of any model's, and bad input."""

import json
from pathlib import Path

import polars as pl
import pytest

from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.faces import labels
from functok.runtime.store import RunFolder
from system.lone_graph import write_inputs
from system.tiny import different, functok, write_corpus


def fired(run: Path) -> list[int]:
    """Features that fire, the most active first."""
    judged = RunFolder(run).judged
    assert judged is not None
    active = TokenFeatureGraph.load(judged).activity.sum(0)
    return [int(feature) for feature in (-active).argsort() if active[feature]]


def test_a_feature_has_its_tokens_texts_neighbours_and_output(
    run_copy: Path, whole_run: Path
) -> None:
    one, two, *_ = fired(run_copy)
    said = functok("feature", run_copy, one, two)
    assert said.code == 0, said.err
    judged = RunFolder(run_copy).judged
    for number, label in labels(judged, [one, two]).items():
        assert f"Feature {label}: fires at " in said.out
        assert label.startswith(f"{number} · ")
    for heading in (
        "Tokens by summed activation",
        "Tokens by the share of their occurrences",
        "Where it fires most",
        "Features with the most similar decoder directions",
        "Tokens whose logits its direction raises and lowers most (direct effect)",
    ):
        assert said.out.count(heading) == 2, heading
    assert said.out.count("⟦") > 2 * 3
    assert different(run_copy, whole_run) == []


def test_the_strongest_text_is_told_with_its_activation(whole_run: Path) -> None:
    one = fired(whole_run)[0]
    judged = RunFolder(whole_run).judged
    assert judged is not None
    best = pl.read_parquet(judged / "contexts.parquet").filter(feature=one)["value"].max()
    assert isinstance(best, float)
    assert f"⟦{best:.2g}⟧" in functok("feature", whole_run, one).out


def test_a_feature_that_never_fires_is_one_sentence(whole_run: Path) -> None:
    silent = next(feature for feature in range(64) if feature not in fired(whole_run))
    said = functok("feature", whole_run, silent)
    assert said.code == 0, said.err
    assert said.out.startswith(f"Feature {silent} never fires at the ")
    assert said.out.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["RUN"], "needs the number of a feature after the run"),
        (["RUN", "64"], "There is no feature 64: the SAE has features 0 to 63."),
        (["RUN", "1", "64"], "There is no feature 64"),
        (["RUN", "99999999999999999999"], "is not a feature; give its number"),
        (["RUN", "three"], "'three' is not a feature; give its number"),
        (["RUN", "3", "--sae", "mian"], "has no SAE 'mian'; did you mean 'main'?"),
        (["RUN", "3", "--corpus", "x.txt"], "which names its own model and SAE"),
        (["RUN", "3", "--layer", "1"], "which names its own model and SAE"),
        (["3"], "needs a run folder or a study file, or --model, --sae and --corpus"),
        (["3", "--model", "m", "--sae", "s"], "or --model, --sae and --corpus"),
        (["missing", "3"], "There is no run folder and no study file at missing"),
    ],
)
def test_a_question_that_has_no_answer_is_refused(
    arguments: list[str], sentence: str, run_copy: Path, whole_run: Path
) -> None:
    typed = [run_copy if one == "RUN" else one for one in arguments]
    assert sentence in functok("feature", *typed).complaint
    assert different(run_copy, whole_run) == []


def test_an_sae_of_the_run_is_chosen_by_its_name(whole_run: Path) -> None:
    one = fired(whole_run)[0]
    named = functok("feature", whole_run, one, "--sae", "main")
    assert named.code == 0, named.err
    assert named.out == functok("feature", whole_run, one).out


def test_any_model_sae_and_corpus_make_a_graph_and_control_characters_stay_away(
    tmp_path: Path,
) -> None:
    corpus = write_corpus(tmp_path / "written.jsonl", documents=40)
    texts = [json.loads(line)["text"] for line in corpus.read_text().splitlines()]
    inputs = write_inputs(tmp_path / "inputs", [f"{text}\x1b[2J\u202e." for text in texts])
    names = ("--model", inputs / "model", "--sae", inputs / "sae")
    run = ("--corpus", inputs / "corpus.jsonl", "-o", tmp_path / "run")
    said = functok("feature", *range(8), *names, *run)
    assert said.code == 0, said.err
    some = [feature for feature in fired(tmp_path / "run") if feature < 8]
    assert said.out.count("Where it fires most") == len(some) > 3
    assert "␛" in said.out
    assert not set(said.out) & set("\x1b\x07\u202e")
    again = functok("feature", tmp_path / "run", some[0])
    assert again.code == 0, again.err
    assert again.out in said.out
