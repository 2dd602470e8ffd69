"""Activation patching against a loop by hand, and its summaries on planted effects."""

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from taught import capitals, small_tokenizer, taught, vocabulary

from functok.retrieval.causal.facts.asking import ask
from functok.retrieval.causal.facts.knowing import know
from functok.retrieval.causal.facts.pairing import pairs
from functok.retrieval.causal.inside import (
    filler_patches,
    inside_effect,
    matched_sets,
    shift,
    with_filler,
)
from functok.retrieval.causal.onset import crossing, onsets
from functok.retrieval.causal.patching import SCHEMA, Patch, every_position, patched
from functok.tokens.counting.function_tokens import FUNCTION
from functok.tokens.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def world() -> tuple[Any, pl.DataFrame, Vocabulary]:
    """A model that knows capitals, pairs of prompts that it answers, the vocabulary."""
    tokenizer = small_tokenizer()
    names = vocabulary(tokenizer)
    asked = ask(capitals(), tokenizer, names, 0, examples=0)
    model = taught(tokenizer, asked.prompts)
    return model, pairs(know(model, asked)).prompts, names


def by_hand(model: Any, pair: dict[str, Any], layer: int, places: tuple[int, ...]) -> Any:
    """Logits of the counterfactual's run with the fact's residual stream at some places."""
    kept: list[torch.Tensor] = []
    module = model.model.layers[layer]

    def keep(_: Any, inputs: Any, output: Any) -> None:
        kept.append((output[0] if isinstance(output, tuple) else output).clone())

    def put(_: Any, inputs: Any, output: Any) -> Any:
        hidden = (output[0] if isinstance(output, tuple) else output).clone()
        for place in places:
            hidden[0, place] = kept[0][0, place]
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    with torch.no_grad():
        handle = module.register_forward_hook(keep)
        source = model(torch.tensor([pair["ids"]])).logits[0, -1]
        handle.remove()
        base = model(torch.tensor([pair["counterfactual_ids"]])).logits[0, -1]
        handle = module.register_forward_hook(put)
        changed = model(torch.tensor([pair["counterfactual_ids"]])).logits[0, -1]
        handle.remove()
    return source, base, changed


def test_patches_equal_a_loop_by_hand(world: Any) -> None:
    model, table, _ = world
    patches = [
        *(Patch(row, layer, (place,)) for row in (0, 4, 7) for layer in (0, 1) for place in (3, 5)),
        Patch(2, 0, (3, 4, 5), "several"),
    ]
    patches = [one for one in patches if max(one.positions) < len(table["ids"][one.row])]
    found = patched(model, table, patches)
    assert dict(found.schema) == SCHEMA
    assert len(found) == 2 * len(patches)
    for patch in patches:
        pair = table.row(patch.row, named=True)
        source, base, changed = by_hand(model, pair, patch.layer, patch.positions)
        own, other = pair["answer_id"], pair["counterfactual_answer_id"]
        contrast = [float(one[own] - one[other]) for one in (source, base, changed)]
        row = found.row(
            by_predicate=(pl.col("row") == patch.row)
            & (pl.col("layer") == patch.layer)
            & (pl.col("position") == patch.positions[-1])
            & (pl.col("positions") == len(patch.positions))
            & (pl.col("direction") == "denoising"),
            named=True,
        )
        assert row["moved"] == pytest.approx(contrast[2] - contrast[1], abs=1e-4)
        assert row["total"] == pytest.approx(contrast[0] - contrast[1], abs=1e-4)
        assert row["flipped"] == (int(changed.argmax()) == own)


def test_the_last_position_after_the_last_layer_carries_everything(world: Any) -> None:
    model, table, _ = world
    last_only = [one for one in every_position(table, [0, 1]) if one.label == "last"]
    found = patched(model, table, last_only)
    last = found.filter(pl.col("layer") == 1)
    np.testing.assert_allclose(last["moved"], last["total"], atol=1e-3)
    assert last["flipped"].all()
    assert set(found["direction"]) == {"denoising", "noising"}


def test_subjects_carry_the_answer_before_the_last_position_does(world: Any) -> None:
    model, table, _ = world
    found = patched(model, table, every_position(table, [0]), ["denoising"])
    share = found.group_by("label").agg(pl.col("moved").sum() / pl.col("total").sum())
    shares = dict(share.iter_rows())
    assert shares["subject"] > shares["between"]
    begins = table["subject_first"].to_list()
    assert all(place >= begins[row] for row, place in found.select("row", "position").iter_rows())


def test_where_a_curve_crosses_one_half() -> None:
    shares = np.array([0.25, 0.5, 0.75, 1.0])
    assert crossing(np.array([0.0, 0.25, 0.75, 1.0]), shares) == pytest.approx(0.625)
    assert crossing(np.array([1.0, 1.0, 1.0, 1.0]), shares) == pytest.approx(0.125)
    assert np.isnan(crossing(np.array([0.0, 0.1, 0.2, 0.3]), shares))


def planted(
    shift_of: float, seed: int, facts: int = 60, types: int = 12, spread: float = 0.03
) -> tuple[pl.DataFrame, np.ndarray]:
    """Effects at the last position whose onset is later by ``shift_of`` for content types."""
    random = np.random.default_rng(seed)
    layers = np.arange(0, 24, 2)
    rows = []
    for name, later in (("function", 0.0), ("content", shift_of), ("punctuation", 0.0)):
        for number in range(types):
            onset = 0.5 + later + spread * random.standard_normal()
            for fact in random.choice(facts, facts // 3, replace=False):
                total = random.uniform(2, 8)
                middle = onset + 0.03 * random.standard_normal()
                curve = 1 / (1 + np.exp(-((layers + 1) / 24 - middle) / 0.04))
                for layer, value in zip(layers, curve, strict=True):
                    rows.append(
                        (int(fact), f"{name}-{number}", name, int(layer), value * total, total)
                    )
    names = ("fact", "final", "final_class", "layer", "moved", "total")
    table = pl.DataFrame(rows, schema=names, orient="row").with_columns(flipped=pl.lit(True))
    return table, np.arange(facts) % 16


def difference(found: Any, measure: str) -> dict[str, Any]:
    return found.classes.row(
        by_predicate=(pl.col("measure") == measure) & (pl.col("other") == "function"), named=True
    )


def test_a_planted_difference_of_onsets_is_found() -> None:
    table, groups = planted(0.15, 0)
    found = onsets(table, 24, groups)
    onset = difference(found, "onset")
    assert onset["low"] < 0.15 < onset["high"]
    assert onset["low"] > 0
    assert onset["p_value"] < 0.01
    assert onset["types"] == 24
    effect = difference(found, "effect")  # content types are later, so they have less of it
    assert effect["high"] < 0
    classes = found.types.group_by("final_class").agg(pl.col("onset").mean())
    assert dict(classes.iter_rows())["function"] == pytest.approx(0.5, abs=0.03)


def test_without_a_difference_few_studies_find_one() -> None:
    """Few types are the sample, however many facts: p is uniform, and intervals hold the truth."""
    rejected, held = 0, 0
    for seed in range(40):
        table, groups = planted(0.0, seed, facts=24, types=6)
        onset = difference(onsets(table, 24, groups), "onset")
        rejected += onset["p_value"] < 0.05
        held += onset["low"] <= 0 <= onset["high"]
    assert rejected <= 6
    assert held >= 36


def test_layers_at_which_all_or_nothing_has_moved_do_not_dilute_the_effect() -> None:
    """A mean over all layers would call classes equal that differ where they can."""
    table, groups = planted(0.15, 1)
    wide = table.with_columns(layer=pl.col("layer") + 24)
    early = wide.with_columns(layer=pl.col("layer") - 24, moved=pl.lit(0.0))
    diluted = onsets(pl.concat([early, wide]), 48, groups)
    plain = onsets(table, 24, groups)
    assert difference(diluted, "effect")["difference"] == pytest.approx(
        difference(plain, "effect")["difference"], abs=1e-9
    )


def test_sets_are_equal_in_number_and_nearest_in_place(world: Any) -> None:
    _, table, names = world
    found, missing = matched_sets(table, names, [0, 1])
    assert len({patch.row for patch in found}) == len(table) - missing
    by_row: dict[int, dict[str, tuple[int, ...]]] = {}
    for patch in found:
        by_row.setdefault(patch.row, {})[patch.label] = patch.positions
    for row, sets in by_row.items():
        pair = table.row(row, named=True)
        assert len(sets["function"]) == len(sets["content"])
        for label, places in sets.items():
            for place in places:
                assert pair["subject_last"] < place < len(pair["ids"]) - 1
                assert (names.classes[pair["ids"][place]] == FUNCTION) == (label == "function")


def inside_table(effect: float, seed: int, facts: int = 200) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    rows = []
    for fact in range(facts):
        for layer in range(3):
            for label, extra in (("function", effect), ("content", 0.0)):
                share = 0.1 + extra + 0.2 * random.standard_normal()
                rows.append((fact, fact, layer, label, "denoising", 5 * share, 5.0, 10.0))
    names = ("fact", "row", "layer", "label", "direction", "moved", "total", "norm")
    return pl.DataFrame(rows, schema=names, orient="row")


def test_a_planted_effect_inside_the_prompt_is_found_and_none_is_not() -> None:
    found = inside_effect(inside_table(0.1, 0))
    assert found.estimate.low < 0.1 < found.estimate.high
    assert found.p_value < 0.01
    assert found.facts == 200
    nothing = [inside_effect(inside_table(0.0, seed), seed).p_value < 0.05 for seed in range(1, 41)]
    assert sum(nothing) <= 6


def test_sets_of_other_norms_are_left_out() -> None:
    table = inside_table(0.1, 0).with_columns(
        norm=pl.when((pl.col("label") == "function") & (pl.col("fact") < 50))
        .then(12.0)
        .otherwise("norm")
    )
    assert inside_effect(table).facts == 150
    assert inside_effect(table, norms=0.3).facts == 200


def test_what_moves_on_to_a_filler_is_told_from_what_stays() -> None:
    random = np.random.default_rng(0)
    rows = []
    for fact in range(120):
        for name, stays in (("function", 0.8), ("content", 0.2)):
            for filler in ("function", "content"):
                for label, share in (("original", stays), ("filler", 1 - stays)):
                    moved = 4 * share + 0.5 * random.standard_normal()
                    rows.append((fact, name, filler, label, moved))
    names = ("fact", "final_class", "filler", "label", "moved")
    table = pl.DataFrame(rows, schema=names, orient="row")
    shares, effect = shift(table, np.arange(120) % 16, ["final_class", "filler"])
    for name, _, rho, low, high, facts in shares.iter_rows():
        truth = 0.8 if name == "function" else 0.2
        assert low - 0.05 < truth < high + 0.05
        assert rho == pytest.approx(truth, abs=0.1)
        assert facts == 120
    assert effect.estimate.low < 0.6 < effect.estimate.high
    assert effect.p_value < 1e-6


def test_a_filler_stands_last_in_both_runs(world: Any) -> None:
    _, table, _ = world
    longer = with_filler(table, {"function": 5, "content": 7})
    assert len(longer) == 2 * len(table)
    for row, old in ((0, 0), (len(table) + 1, 1)):
        assert longer["ids"][row].to_list()[:-1] == table["ids"][old].to_list()
        assert longer["counterfactual_ids"][row][-1] == (5 if row == 0 else 7)
    places = {patch.label: patch.positions[0] for patch in filler_patches(longer[:1], [0])}
    assert places["filler"] == places["original"] + 1 == len(longer["ids"][0]) - 1
