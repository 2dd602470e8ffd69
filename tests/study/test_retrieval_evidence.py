"""The rows that steering and re-activation leave for the claims, and what they say is undecided."""

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from functok.runtime.store import RunFolder
from system.tiny import functok


def row(folder: RunFolder, test: str) -> dict:
    return pl.read_parquet(folder.test(test)).row(0, named=True)


def test_steering_leaves_an_observation_and_a_comparison(whole_run: Path) -> None:
    folder = RunFolder(whole_run)
    gains = pl.read_parquet(folder.retrieval("steering"))
    own = gains.filter(direction="feature")["gain"].mean()
    plain, beyond = row(folder, "O-steering"), row(folder, "E-steering")
    assert plain["measured"] == beyond["measured"] == pytest.approx(own)
    assert plain["effect"] == plain["measured"]
    assert plain["control_value"] == 0
    against = {name: gains.filter(direction=name)["gain"].mean() for name in ("random", "other")}
    assert beyond["effect"] == pytest.approx(beyond["measured"] - beyond["control_value"])
    assert any(beyond["control_value"] == pytest.approx(value) for value in against.values())
    assert beyond["unit"].startswith("held-out prompts × features (")
    parts = pl.read_parquet(folder.retrieval("steering_subclasses"))
    by_control = parts.group_by("control").agg(pl.col("prompts").sum())
    assert set(by_control["prompts"]) == {gains["document"].n_unique()}
    assert not folder.retrieval("steering_equal_kl").exists()
    again = pl.read_parquet(folder.retrieval("steering_definitions"))
    assert again["definition"].n_unique() == 8
    whole = again.filter(test="E-steering", units=beyond["units"])
    assert whole["effect"].to_list() == pytest.approx([beyond["effect"]] * len(whole))
    assert len(whole) > 0, "every prompt ends in a function token as studied"


def test_directions_that_leave_no_text_are_compared_at_equal_kl_or_decide_nothing(
    run_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(run_copy)
    folder.retrieval("steering").unlink()
    monkeypatch.setattr("functok.retrieval.steering.comparison.MOST", 0.0)  # nothing is left
    assert functok("steer", run_copy).code == 0
    beyond, plain = row(folder, "E-steering"), row(folder, "O-steering")
    assert "at a KL of at most 1 nat, since at equal norm" in beyond["unit"]
    assert "undecided: " in beyond["unit"]
    assert beyond["control"].endswith("of the same KL")
    assert pl.Series([beyond["effect_low"], plain["effect_high"], beyond["p_value"]]).is_nan().all()
    equal, first = (
        pl.read_parquet(folder.retrieval(name)) for name in ("steering_equal_kl", "steering")
    )
    assert equal.columns == first.columns
    assert beyond["measured"] == pytest.approx(equal.filter(direction="feature")["gain"].mean())


def test_reactivation_says_over_which_features_and_what_it_cannot_answer(whole_run: Path) -> None:
    folder = RunFolder(whole_run)
    screen = pl.read_parquet(folder.retrieval("reactivation_features"))
    plain, beyond = row(folder, "O-reactivation"), row(folder, "E-reactivation")
    passed = int(screen["predicts"].sum())
    for one in (plain, beyond):
        assert one["unit"].startswith(f"features × hash groups of documents ({passed} × ")
        assert "so pooled over features there is nothing to find" in one["unit"], "a TopK SAE"
    if passed < 2:
        assert f"undecided: {passed} features pass the screen" in plain["unit"]
    assert "as studied" in plain["statistic"]
    assert "held equal" in beyond["statistic"]
    assert "matched pairs" in beyond["statistic"]
    repeated = pl.read_parquet(folder.retrieval("reactivation_definitions"))
    assert repeated["definition"].n_unique() == 8
    studied = repeated.filter(definition="as studied", test="O-reactivation")
    assert studied["effect"].to_list() == pytest.approx([plain["effect"]], nan_ok=True)
    odds = pq.read_table(folder.retrieval("reactivation_odds"))
    assert b"4 features are active" in odds.schema.metadata[b"pooled"]
    estimates = pl.from_arrow(odds)["estimate"].unique(maintain_order=True).to_list()
    assert estimates[:3] == ["raw", "adjusted", "by feature"]
