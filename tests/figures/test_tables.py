"""The exact tables that are drawn, from the tables of a run."""

import numpy as np
import polars as pl
import pytest

from figures.small_run import GROUPS, STEPS, write_small_run
from functok.figures.charts import (
    claims,
    exposures,
    graph,
    reactivation,
    steering,
    tokens,
    traces,
)
from functok.figures.charts.consolidation import losses
from functok.figures.style import spread, thinned, uncrowded
from functok.runtime.store import RunFolder, control_table, graph_table


@pytest.fixture
def folder(tmp_path):
    return write_small_run(tmp_path / "run")


def test_binning_steps_keeps_every_loss_and_token(folder: RunFolder):
    training = pl.read_parquet(folder.consolidation("training"))
    for bins in (1, 7, 48, 500):
        binned = losses.training_losses(training, bins)
        kept = training.filter(pl.col("group") != "special")
        together = pl.col("transition") == "all tokens"
        for part in (binned.filter(~together), binned.filter(together)):
            total = (part["mean"] * part["count"]).sum()
            assert total == pytest.approx(kept["loss_sum"].sum())
            assert part["count"].sum() == kept["count"].sum()
        assert len(binned) <= 5 * bins
        assert (binned["first_step"] <= binned["step"]).all()
        assert (binned["step"] <= binned["last_step"]).all()


def test_floor_of_a_group_and_of_all_tokens_is_the_loss_per_token(folder: RunFolder):
    floors = pl.read_parquet(folder.consolidation("floors"))
    drawn = losses.held_out_losses(pl.read_parquet(folder.consolidation("loss_summary")), floors)
    part = floors.filter(pl.col("group") == "fc")
    expected = part["loss_sum"].sum() / part["count"].sum()
    found = drawn.filter(pl.col("transition") == "function→content")
    assert found["floor"].to_list() == pytest.approx([expected] * len(STEPS))
    assert found["step"].to_list() == STEPS
    together = drawn.filter(pl.col("transition") == "all tokens")
    mean = floors["loss_sum"].sum() / floors["count"].sum()
    assert together["floor"].to_list() == pytest.approx([mean] * len(STEPS))
    assert together["mean"].to_list() == pytest.approx([mean - step / 8 for step in STEPS])


def test_every_bar_of_shares_adds_to_one(folder: RunFolder):
    drawn = losses.loss_shares(pl.read_parquet(folder.consolidation("loss_summary")))
    totals = drawn.group_by("bar", maintain_order=True).agg(pl.col("share").sum())
    assert totals["bar"].to_list() == ["tokens", *(str(step) for step in STEPS)]
    assert totals["share"].to_list() == pytest.approx([1.0] * 4)
    assert drawn.filter(pl.col("bar") == "tokens")["order"].to_list() == list(range(len(GROUPS)))


def test_class_is_function_for_the_listed_tokens_alone(folder: RunFolder):
    drawn = tokens.tokens_by_rank(
        pl.read_parquet(folder.tokens("counts")), pl.read_parquet(folder.tokens("function_tokens"))
    )
    assert drawn.filter(pl.col("class") == "function")["rank"].to_list() == [1, 2, 3, 4, 5]


def test_an_even_spread_gives_each_token_its_own_share_of_the_corpus(folder: RunFolder):
    bins = pl.read_parquet(folder.tokens("bins"))
    drawn = tokens.bins_with_expected(bins)
    for (token,), part in drawn.group_by("token"):
        share = 1000 * part["occurrences"].sum() / part["positions"].sum()
        assert part["expected"].to_list() == pytest.approx([share] * 10), token
    assert drawn.drop("expected").equals(bins)


def test_shares_of_independent_neighbours_lie_on_their_own_lines(folder: RunFolder):
    drawn = tokens.shares_by_threshold(pl.read_parquet(folder.tokens("sweep")))
    assert drawn["share"].to_list() == pytest.approx(drawn["independent"].to_list())
    totals = drawn.group_by("coverage").agg(pl.col("share").sum())
    assert totals["share"].to_list() == pytest.approx([1.0] * 3)


def test_tokens_without_features_are_not_drawn_and_the_highest_are_named(folder: RunFolder):
    degree = pl.read_parquet(graph_table(folder.graph("main", 8), "degree"))
    degree = degree.with_columns(token=pl.format("t{}", "rank"))  # short, so that all have room
    drawn = graph.degrees(degree, labelled=3)
    assert len(drawn) == len(degree) - 1
    named = drawn.filter(pl.col("label").is_not_null())
    assert named["label"].to_list() == degree.sort("degree", descending=True)["token"].to_list()[:3]


def test_repeated_tokens_keep_their_own_columns(folder: RunFolder):
    trace = pl.read_parquet(folder.retrieval("traces")).filter(pl.col("prompt") == 0)
    drawn = traces.traced(trace, 4)
    names = drawn.filter(pl.col("feature").is_null())
    assert names["position"].to_list() == [1, 2, 3, 4, 5]
    assert names["token"].to_list()[:3] == ["␣the", "cat", "␣the"]
    cells = drawn.filter(pl.col("feature").is_not_null())
    assert 7 not in cells["feature"].to_list()  # active alike at every position
    assert cells["feature"].n_unique() == 4
    firsts = cells.filter("first").sort("row")
    assert firsts["position"].is_sorted()


def test_a_prompt_in_which_no_named_feature_is_active_still_shows_its_tokens(folder: RunFolder):
    trace = pl.read_parquet(folder.retrieval("traces")).filter(pl.col("prompt") == 0)
    drawn = traces.traced(trace, [999])
    assert drawn["feature"].null_count() == drawn["position"].count() == 5
    assert traces.trace_heat_map(drawn).to_dict()["layer"]


def test_features_that_are_named_have_a_row_each_in_their_order_also_where_they_are_silent(
    folder: RunFolder,
):
    trace = pl.read_parquet(folder.retrieval("traces")).filter(pl.col("prompt") == 0)
    drawn = traces.traced(trace, [999, 7, 10])
    rows = drawn.drop_nulls("feature").unique("row").sort("row")
    assert rows["feature"].to_list() == [999, 7, 10]
    silent = drawn.filter(pl.col("feature") == 999)
    assert silent.select("position", "activation").rows() == [(None, None)]
    cells = drawn.filter(pl.col("feature") == 7)["activation"].to_list()
    assert cells == trace.filter(pl.col("feature") == 7)["activation"].to_list()
    heat, _, names = traces.trace_heat_map(drawn).to_dict()["layer"]
    assert heat["encoding"]["y"]["scale"]["domain"] == ["999", "7", "10"]
    assert names["encoding"]["x"]["scale"]["domain"] == [1, 2, 3, 4, 5]


def test_gain_is_the_mean_over_documents(folder: RunFolder):
    table = pl.read_parquet(folder.retrieval("steering"))
    drawn = steering.gains(table)
    one = drawn.filter(pl.col("direction") == "the feature's direction").row(0, named=True)
    values = table.filter(
        (pl.col("feature") == one["feature"]) & (pl.col("direction") == "feature")
    )["gain"]
    assert one["gain"] == pytest.approx(values.mean())
    half = 2.5705818 * values.std() / np.sqrt(6)  # Student's t with 5 degrees of freedom
    assert one["gain_high"] - one["gain"] == pytest.approx(half)
    own = drawn.filter(pl.col("direction") == one["direction"])["gain"].to_list()
    assert own == sorted(own, reverse=True)


def test_one_document_gives_a_gain_without_an_interval(folder: RunFolder):
    table = pl.read_parquet(folder.retrieval("steering")).filter(pl.col("document") == 0)
    drawn = steering.gains(table)
    assert drawn["gain_low"].null_count() == len(drawn)
    assert steering.steering_gain(drawn).to_dict()["layer"]


def test_thinning_keeps_the_head_and_both_ends():
    table = pl.DataFrame({"rank": range(1, 128_001)})
    kept = thinned(table, 1500)["rank"].to_list()
    assert kept[:750] == list(range(1, 751))
    assert kept[-1] == 128_000
    assert len(kept) == len(set(kept)) <= 1500
    assert spread(list(range(100)), 3) == [0, 50, 99]


def test_a_feature_never_at_risk_in_one_class_has_no_point():
    rows = [("observed", 1, "function", 50, 10), ("observed", 1, "content", 200, 20)]
    rows += [("observed", 2, "function", 50, 10), ("shifted", 1, "content", 100, 4)]
    names = ["trains", "feature", "class", "at_risk", "again"]
    drawn = reactivation.rates_by_class(pl.DataFrame(rows, schema=names, orient="row"))
    assert drawn.rows() == [("observed", 1, 0.2, 0.1, 30)]


def test_every_effect_that_was_run_is_drawn_with_the_margin_of_its_row(folder: RunFolder):
    table = pl.read_parquet(folder.claims)
    observed = pl.col("test") == "O-coverage"
    both = table.with_columns(effect=pl.when(observed).then(0.3).otherwise("effect"))
    drawn = {row["row"]: row for row in claims.effect_rows(both).to_dicts()}
    assert drawn.keys() == {"coverage: O-coverage", "coverage: E-coverage"}
    compared, seen = drawn["coverage: E-coverage"], drawn["coverage: O-coverage"]
    assert (compared["unit"], seen["unit"]) == ("log ratio", "share")
    assert (compared["answer"], compared["effect"]) == ("contradicted", -0.4)
    assert (compared["low"], compared["high"]) == pytest.approx((-np.log(1.1), np.log(1.1)))
    assert seen["low"] is seen["high"] is None, "an observation has a bound and no margin"
    assert compared["link"] == "#row-E-coverage"
    chart = claims.forest(claims.effect_rows(both)).to_dict()
    (panel,) = chart["vconcat"]
    links = [layer["encoding"].get("href", {}).get("field") for layer in panel["layer"]]
    assert links == ["link", None, "link", "link", "link"], "but for the line at 0"


def test_effects_of_one_unit_share_a_scale_and_those_of_others_do_not():
    rows = pl.DataFrame(
        {
            "test": ["P1", "P2", "P5", "P7"],
            "unit": ["log ratio", "log ratio", "nats", "nats"],
            "effect": [0.5, -0.1, 20.0, 0.0],
            "effect_low": [0.25, -0.2, None, float("nan")],
            "effect_high": [1.0, 0.0, None, float("nan")],
            "low": [-0.1, None, -5.0, None],
            "high": [0.1, None, 5.0, None],
        }
    )
    drawn = claims.on_scales(rows)
    assert drawn["at"].to_list() == [0.5, -0.1, 1.0, 0.0]
    assert drawn["at_low"].to_list() == [0.25, -0.2, None, None]
    assert drawn["at_high"].to_list() == [1.0, 0.0, None, None]
    assert drawn["within_high"].to_list() == [0.1, None, 0.25, None]
    assert drawn["numbers"].to_list() == [
        "0.50 [0.25, 1.00] log ratio",
        "−0.100 [−0.200, 0.000] log ratio",
        "20 nats",
        "0 nats",
    ]
    assert claims.on_scales(rows.with_columns(effect=-0.2))["numbers"][2] == "−0.2 nats"
    nothing = claims.on_scales(rows.filter(pl.col("effect") == 0).with_columns(effect=0.0))
    assert nothing["at"].to_list() == [0.0], "a unit whose effects are all 0"


def test_effects_by_layer_are_those_of_every_sae_on_its_own_layer(folder: RunFolder):
    drawn = claims.layer_rows(folder)
    assert drawn.select("test", "sae", "layer", "effect").rows() == [
        ("E-coverage", "the first", 1, -0.4),
        ("E-coverage", "wide", 2, 0.1),
    ]
    folder.of("wide").test("E-coverage").unlink()
    assert claims.layer_rows(folder).is_empty(), "one layer has no course"


def test_the_law_has_as_many_occurrences_in_its_range_as_the_tokens(folder: RunFolder):
    counts = pl.read_parquet(folder.tokens("counts"))
    drawn = tokens.tokens_by_rank(counts, pl.read_parquet(folder.tokens("function_tokens")))
    columns = ("first_rank", "last_rank", "exponent", "low", "high")
    rows = [(1, 20, 1.5, 1.4, 1.6), (1, 9000, 2.0, 1.9, 2.1), (10, 20, 3.0, 2.9, 3.1)]
    fitted = tokens.with_fit(drawn, pl.DataFrame(rows, columns, orient="row"))
    inside = fitted.filter(pl.col("rank") <= 20)
    assert inside["fitted"].sum() == pytest.approx(inside["fraction"].sum())
    ratio = inside["fitted"] / inside["rank"].cast(pl.Float64) ** -1.5
    assert ratio.to_list() == pytest.approx([ratio[0]] * 20)
    assert fitted.filter(pl.col("rank") > 20)["fitted"].null_count() == len(fitted) - 20
    assert fitted["alpha"].unique().to_list() == [1.5]
    assert tokens.with_fit(drawn, None).equals(drawn)


def test_of_labels_that_would_lie_on_each_other_the_first_stays():
    table = pl.DataFrame(
        {"x": [1.0, 1.01, 100.0, 10.0], "y": [5.0, 5.0, 5.0, 1.0], "label": ["a", "bb", "c", None]}
    )
    assert uncrowded(table, "x", "y")["label"].to_list() == ["a", None, "c", None]
    assert uncrowded(table.head(1), "x", "y", log=False)["label"].to_list() == ["a"]
    assert uncrowded(table.clear(), "x", "y").is_empty()


def test_both_comparisons_that_decide_stand_at_every_number_of_positions(folder: RunFolder):
    assert folder.judged is not None
    drawn = exposures.sizes(pl.read_parquet(control_table(folder.judged, "exposure")))
    assert set(drawn["scheme"]) == {"positions of content tokens", "whole types, class permuted"}
    for _, part in drawn.group_by("reading", "scheme"):
        assert part["drawn"].to_list() == [3, 9, 40]
        assert part["decides"].to_list() == [False, True, False]
    assert "DET" not in drawn["reading"].to_list(), "sub-classes have a figure of their own"
