"""Training arms as a step: what it leaves in a tiny world, how it continues, what it refuses."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from functok.claims.verdicts import assemble
from functok.consolidation.arms.arm import ARMS, DECLARED, PLAIN
from functok.consolidation.arms.outcomes import held_out
from functok.consolidation.arms.watching import Training
from functok.consolidation.kneser_ney import KneserNey
from functok.encoding.documents import drawn
from functok.models.training.labels import Labels
from functok.runtime.store import RunFolder
from functok.study.run import Run
from functok.study.settings import load_study
from system.tiny import different, functok, settings, write_corpus, write_study

OWN = {"name": "after content", "groups": ["cc", "cf"], "weight": 0.5, "dose": 1}
LIKE = {"name": "too much", "groups": ["ff"], "weight": 0.5, "like": "after content"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Declared arms, one of its own and one that is infeasible, in a tiny world."""
    world = "tiny-world?entities=8&relations=2&values=4&topics=2&nouns=3&tokens=24&documents=200"
    content = settings(Path(world), dictionaries=[])
    content |= {"tokenizer": {"vocabulary_size": 600}}
    content |= {"tokens": {"definition": "lexicon", "also": ["punctuation"], "plain": True}}
    arms = [*DECLARED, OWN, LIKE]
    content |= {"arms": {"arms": arms, "seeds": 2, "dose": 0.1, "tokens": 1500}}
    content["model"]["training"] |= {"steps": 8}
    return write_study(tmp_path_factory.mktemp("arms") / "study.yaml", content)


@pytest.fixture(scope="module")
def whole(study: Path) -> Path:
    outcome = functok("counterfactual", study, "-o", study.parent / "whole")
    assert outcome.code == 0, outcome.err
    (study.parent / "said").write_text(outcome.out)
    return study.parent / "whole"


def _table(run: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(run / f"consolidation/{name}.parquet")


def test_every_arm_and_seed_has_its_outcomes_and_the_infeasible_one_its_reason(
    whole: Path,
) -> None:
    arms, drops = _table(whole, "arms"), _table(whole, "arm_drops")
    names = [PLAIN, *(ARMS[number].name for number in DECLARED), "after content"]
    cells = arms.group_by("arm", "seed").len()
    assert {*cells.select("arm", "seed").rows()} == {(name, n) for name in names for n in (0, 1)}
    assert cells["len"].n_unique() == 1
    asked = arms.filter(outcome="answer")
    assert {*asked["group"]} == {"function", "punctuation", "content"}
    assert (arms.filter(outcome="loss")["value"] > 0).all()
    why = drops.filter(arm="too much")["problem"].to_list()
    assert all("all of its targets together have loss" in one for one in why)
    fine = drops.filter(pl.col("arm") != "too much")
    assert fine["problem"].null_count() == len(fine) == 2 * 5
    by_arm = {row["arm"]: row for row in fine.filter(seed=1).iter_rows(named=True)}
    for number, quantity in ((6, "loss"), (7, "excess"), (8, "gradient")):
        first, other = (by_arm[ARMS[n].name][quantity] for n in (1, number))
        assert other == pytest.approx(first, abs=12), "two visits of one target at most"
    assert by_arm["after content"]["weight"] == 0.5


def test_plain_training_at_the_first_seed_is_the_studys_own_model(whole: Path) -> None:
    run = Run(load_study(whole / "study.yaml"), RunFolder(whole))
    text = drawn(run.encoded("held-out"), 1500)
    classes = run.vocabulary.classes
    floor = KneserNey.fit(run.encoded("train"), classes, order=1)
    model = run.model(run.last_trained)
    found = held_out(model, text, run.row_format, classes, floor)
    kept = _table(whole, "arms").filter(pl.col("outcome") != "answer", arm=PLAIN, seed=0)
    assert kept.select(found.columns).equals(found)


def test_effects_are_differences_of_the_table_and_p8_wants_more_seeds(
    whole: Path, tmp_path: Path
) -> None:
    arms, effects = _table(whole, "arms"), _table(whole, "arm_effects")
    one, six = ARMS[1].name, ARMS[6].name
    pick = {"outcome": "answer", "group": "content"}
    (row,) = effects.filter(arm=one, control=six, **pick).to_dicts()
    of_arm = {
        name: arms.filter(arm=name, **pick).sort("seed")["value"].to_numpy() for name in (one, six)
    }
    assert row["difference"] == pytest.approx((of_arm[one] - of_arm[six]).mean())
    assert row["seeds"] == 2
    assert "too much" not in {*effects["arm"], *effects["control"]}
    (evidence,) = pl.read_parquet(whole / "tests/P8.parquet").to_dicts()
    assert evidence["p_value"] != evidence["p_value"]
    judged = assemble(RunFolder(shutil.copytree(whole, tmp_path / "judged")))
    (claim,) = judged.filter(test="P8").to_dicts()
    assert (claim["claim"], claim["answer"]) == ("consolidation", "undecided")
    assert claim["size"] == "2 paired seeds (no interval: 15 seeds are needed)"
    said = (whole.parent / "said").read_text()
    assert "Arm too much is infeasible: all of its targets" in said
    assert "1 drop fc" in said
    shown = functok("figure", "arm-effects", whole, "-o", whole.parent / "arms.svg")
    assert shown.code == 0, shown.err


def test_a_killed_run_trains_the_arms_that_are_missing_and_ends_alike(
    study: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []
    arm = Training.arm

    def stopped(self: Training, seed: int, labels: Labels, progress: object = None) -> object:
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(seed)
        return arm(self, seed, labels, progress)  # type: ignore[arg-type]

    monkeypatch.setattr(Training, "arm", stopped)
    place = shutil.copytree(whole, study.parent / "killed")
    shutil.rmtree(place / ".state/partials")
    (place / "consolidation/arms.parquet").unlink()
    assert functok("counterfactual", study, "-o", place).code == 130
    assert not (place / "consolidation/arms.parquet").exists()
    monkeypatch.undo()
    again: list[int] = []

    def counted(self: Training, seed: int, labels: Labels, progress: object = None) -> object:
        again.append(seed)
        return arm(self, seed, labels, progress)  # type: ignore[arg-type]

    monkeypatch.setattr(Training, "arm", counted)
    outcome = functok("counterfactual", study, "-o", place)
    assert outcome.code == 0, outcome.err
    assert (trained, again) == ([0, 0, 0], [0, 0, 1, 1, 1, 1, 1])
    assert different(place, whole) == []


@pytest.mark.parametrize(
    ("arms", "sentence"),
    [
        ({"arms": [{"name": "x", "groups": ["fx"]}]}, "There is no transition group 'fx'"),
        ({"arms": [{"name": "x", "groups": []}]}, "Arm 'x' has no groups"),
        ({"arms": [9]}, "there is no arm 9; those that come with functok are 1, 2, 3"),
        ({"arms": [6]}, "is matched to '1 drop fc', which is none of the study's arms"),
        ({"arms": [1, 1]}, "Two arms are called '1 drop fc'"),
        ({"arms": []}, "There are no arms"),
        ({"arms": [{"name": "x", "groups": ["cc"], "dose": 1.5}]}, "dose 1.5 must lie between"),
        ({"arms": [{"name": "x", "groups": ["cc"], "wieght": 0}]}, "did you mean 'weight'?"),
        ({"dose": 1.5}, "arms.dose: Input should be less than or equal to 1."),
        ({"dose": 0}, "arms.dose: Input should be greater than 0."),
        ({"seeds": 1}, "1 seed gives no interval"),
    ],
)
def test_arms_that_cannot_be_compared_end_in_one_sentence(
    arms: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl", documents=2)
    study = write_study(tmp_path / "study.yaml", settings(corpus, arms=arms))
    assert sentence in functok("counterfactual", study, "-o", tmp_path / "run").complaint


def test_a_study_without_arms_or_with_a_loaded_model_says_why_none_are_trained(
    whole_run: Path, tiny_study: Path, tmp_path: Path
) -> None:
    assert "add arms: {}" in functok("counterfactual", tiny_study, "-o", whole_run).complaint
    content = settings(tmp_path / "corpus.jsonl", arms={})
    write_corpus(tmp_path / "corpus.jsonl", documents=2)
    content["model"] = {"load": str(whole_run / "models/step-000024")}
    content["dictionaries"] = []
    study = write_study(tmp_path / "study.yaml", content)
    said = functok("counterfactual", study, "-o", tmp_path / "run").complaint
    assert "loads its model" in said
