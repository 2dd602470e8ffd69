"""Training arms: drops and labels by loops over targets, and training runs with a known cause."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from functok.claims.declared import ROWS
from functok.claims.rule import answer
from functok.consolidation.arms.arm import ARMS, DECLARED, PLAIN, QUANTITIES, Arm
from functok.consolidation.arms.drops import Targets, drawn, drop_row, labels_of
from functok.consolidation.arms.effects import arm_effects, consolidation_test, pairs
from functok.consolidation.arms.outcomes import answers, floor_by_id
from functok.consolidation.arms.watching import Training
from functok.consolidation.kneser_ney import KneserNey
from functok.encoding.tokenizer import Encoded
from functok.models.losses.groups import GroupLoss
from functok.models.training import (
    LlamaShape,
    TrainingSettings,
    learning_rate,
    new_llama,
    train,
    window_order,
)
from functok.models.training.labels import Labels
from functok.tokens.counting.function_tokens import CONTENT, FUNCTION, SPECIAL, TRANSITIONS

VOCABULARY, CONTEXT, COUNT = 13, 8, 30
CLASSES = np.array([SPECIAL] + [FUNCTION] * 4 + [CONTENT] * 8)
PROTECTED = np.array([2, 7, 8])
SHAPE = LlamaShape(hidden_size=16, layers=2, heads=2, key_value_heads=1, intermediate_size=24)
SETTINGS = TrainingSettings(
    steps=9, batch=6, context=CONTEXT, learning_rate=1e-2, warm_up=2, accumulation=2
)


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    return np.random.default_rng(4).integers(0, VOCABULARY, (COUNT, CONTEXT + 1))


@pytest.fixture(scope="module")
def targets(windows: np.ndarray) -> Targets:
    """Every target is trained on 0 to 2 times; the excess has either sign."""
    chance = np.random.default_rng(5)
    tokens = chance.integers(0, 3, (COUNT, CONTEXT)).astype(np.float32)
    spent = {"tokens": tokens, "loss": tokens * chance.gamma(2.0, 1.0, tokens.shape)}
    spent["excess"] = spent["loss"] - 0.5 * tokens
    spent["gradient"] = tokens * chance.random(tokens.shape)
    return Targets.of(windows, CLASSES, PROTECTED, spent)


def by_hand(windows: np.ndarray, place: int) -> tuple[str | None, int, int]:
    """Of a target by its index: its group (None where no arm may change it), what stands before it
    and what it is."""
    row, column = divmod(place, CONTEXT)
    current, following = windows[row, column : column + 2].tolist()
    if 0 in (current, following) or following in (2, 7, 8):
        return None, current, following
    return "".join("f" if one <= 4 else "c" for one in (current, following)), current, following


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("weight", [0.0, 0.25, 2.0])
def test_a_drop_is_its_dose_of_its_groups_and_changes_no_other_target(
    windows: np.ndarray, targets: Targets, number: int, weight: float
) -> None:
    arm = replace(ARMS[number], weight=weight)
    found = drawn(arm, 0.3, targets, seed=1)
    labels = labels_of(arm, found.places, targets, seed=1)
    there = 0
    for place in range(COUNT * CONTEXT):
        group, _, following = by_hand(windows, place)
        trained = targets.spent["tokens"].flat[place] > 0
        there += group in arm.groups and trained
        changed = place in found.places.tolist()
        assert not changed or (group in arm.groups and trained)
        assert labels.factors.flat[place] == (weight if changed else 1.0)
        assert labels.targets.flat[place] == following
    assert found.problem is None
    assert len(found.places) == len({*found.places.tolist()}) == round(0.3 * there)
    again = drawn(arm, 0.3, targets, seed=1).places
    np.testing.assert_array_equal(found.places, again)
    assert {*drawn(arm, 0.3, targets, seed=2).places.tolist()} != {*again.tolist()}
    row = drop_row(arm, 0.3, targets, found, 1)
    for name in QUANTITIES:
        total = sum(float(targets.spent[name].flat[place]) for place in found.places)
        assert row[name] == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("number", [5, 6, 7, 8])
def test_a_matched_drop_has_the_same_sum_within_one_targets(
    windows: np.ndarray, targets: Targets, number: int
) -> None:
    arm, drop = ARMS[number], ARMS[1]
    for seed in range(20):
        dropped = drawn(drop, 0.15, targets, seed).places
        found = drawn(arm, 0.15, targets, seed, dropped)
        assert found.problem is None
        values = targets.spent[arm.on].ravel()
        apart = abs(float(values[found.places].sum()) - float(values[dropped].sum()))
        assert apart <= float(np.abs(values).max())
        groups = {by_hand(windows, place)[0] for place in found.places.tolist()}
        assert groups <= {"ff", "cf", "cc"}


def test_a_match_that_does_not_exist_says_why_and_how_much_could_be_matched(
    targets: Targets,
) -> None:
    dropped = drawn(ARMS[1], 1.0, targets, 0).places
    poor = replace(ARMS[6], groups=("ff",))
    found = drawn(poor, 1.0, targets, 0, dropped)
    assert len(found.places) == 0
    loss = targets.spent["loss"]
    share = loss[targets.group == TRANSITIONS.index("ff")].sum() / loss.flat[dropped].sum()
    assert found.problem is not None
    assert found.problem.endswith(f"at most {share:.2g} of that dose can be matched")
    row = drop_row(poor, 1.0, targets, found, 0)
    assert (row["loss"], row["problem"]) == (0.0, found.problem)
    up = {**targets.spent, "excess": np.where(targets.group == 1, 1.0, -1.0) * 1.0}
    other = replace(targets, spent=up)
    problem = drawn(ARMS[7], 0.2, other, 0, dropped[:5]).problem
    assert problem is not None
    assert "at most 0 of that dose" in problem, "the others' sum has the other sign"


def test_scrambling_keeps_the_pairs_of_tokens_and_nothing_else(
    windows: np.ndarray, targets: Targets
) -> None:
    arm = replace(ARMS[12], groups=("fc", "ff"))
    found = drawn(arm, 1.0, targets, 3).places.tolist()
    labels = labels_of(arm, np.array(found), targets, 3)
    assert (labels.factors == 1).all()
    before, after = Counter[tuple[str | None, int, int]](), Counter[tuple[str | None, int, int]]()
    moved = 0
    for place in range(COUNT * CONTEXT):
        group, current, following = by_hand(windows, place)
        now = int(labels.targets.flat[place])
        if place not in found:
            assert now == following
            continue
        before[group, current, following] += 1
        after[group, current, now] += 1
        moved += now != following
    assert before == after
    assert moved > len(found) / 4


def plain_loop(
    windows: np.ndarray, seed: int, labels: Labels | None = None
) -> tuple[nn.Module, np.ndarray, np.ndarray]:
    """A training loop of its own; also every target's loss and gradient norm, summed over steps."""
    model = new_llama(SHAPE, VOCABULARY, CONTEXT, seed).train()
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95))
    sums, norms = np.zeros((2, COUNT, CONTEXT))
    order = window_order(COUNT, 0, SETTINGS.steps * SETTINGS.batch, seed)
    for step, chosen in enumerate(order.reshape(SETTINGS.steps, -1)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(SETTINGS, step)
        batch = torch.from_numpy(windows[chosen])
        hidden = model.base_model(batch[:, :-1]).last_hidden_state
        targets, factors = batch[:, 1:], torch.ones(len(chosen), CONTEXT)
        if labels is not None:
            targets = torch.from_numpy(labels.targets[chosen])
            factors = torch.from_numpy(labels.factors[chosen])
        logits = hidden @ model.get_output_embeddings().weight.T
        losses = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        losses = losses.view(targets.shape)
        for row, window in enumerate(chosen):
            for column in range(CONTEXT):
                loss = losses[row, column]
                (gradient,) = torch.autograd.grad(loss, hidden, retain_graph=True)
                sums[window, column] += loss.item()
                norms[window, column] += gradient[row, column].norm().item()
        optimizer.zero_grad()
        ((factors * losses).sum() / losses.numel()).backward()
        norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
        for p in model.parameters():
            p.grad *= min(1.0, 1.0 / norm.item())
        optimizer.step()
    return model, sums, norms


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [weight.detach() for weight in model.parameters()]


def test_an_arm_is_trained_on_its_labels_as_a_plain_loop_would(windows: np.ndarray) -> None:
    chance = np.random.default_rng(8)
    other = chance.integers(1, VOCABULARY, (COUNT, CONTEXT))
    factors = chance.choice([0.0, 0.5, 1.0, 3.0], (COUNT, CONTEXT)).astype(np.float32)
    labels = Labels(other, factors)
    training = Training(SHAPE, SETTINGS, windows, CLASSES)
    ours, (theirs, _, _) = training.arm(2, labels), plain_loop(windows, 2, labels)
    for one, two in zip(weights(ours), weights(theirs), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


def test_plain_training_is_the_studys_own_bit_for_bit_and_says_what_each_target_cost(
    windows: np.ndarray, tmp_path: Path
) -> None:
    training = Training(SHAPE, SETTINGS, windows, CLASSES)
    floor = np.linspace(0, 2, VOCABULARY)
    watched, spent = training.plain(1, floor)
    model, told = new_llama(SHAPE, VOCABULARY, CONTEXT, 1), lambda trained, step: None
    train(model, windows, SETTINGS, GroupLoss(CLASSES), 1, (), told, tmp_path / "state")
    full = Labels(windows[:, 1:], np.ones((COUNT, CONTEXT), np.float32))
    for other in (model, training.arm(1, full)):
        assert all(map(torch.equal, weights(watched), weights(other)))
    _, sums, norms = plain_loop(windows, 1)
    np.testing.assert_allclose(spent["loss"], sums, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(spent["gradient"], norms, rtol=1e-3, atol=1e-4)
    order = window_order(COUNT, 0, SETTINGS.steps * SETTINGS.batch, 1).tolist()
    visits = [order.count(window) for window in range(COUNT)]
    assert max(visits) > 1, "windows come back in later epochs"
    assert spent["tokens"].tolist() == [[float(one)] * CONTEXT for one in visits]
    excess = spent["loss"] - np.array(visits)[:, None] * floor[windows[:, 1:]]
    np.testing.assert_allclose(spent["excess"], excess, rtol=1e-4, atol=1e-4)


def test_the_unigram_of_each_id_is_that_of_its_occurrences() -> None:
    chance = np.random.default_rng(1)
    ids = chance.integers(0, VOCABULARY, 300).astype(np.int32)
    text = Encoded(ids, np.array([0, 120, 300]), np.array([1, 2]))
    floor = KneserNey.fit(text, CLASSES, order=1)
    found = floor_by_id(floor, CLASSES)
    known = -np.log(np.where(ids > 0, floor.probabilities(text), 1.0))
    np.testing.assert_allclose(found[ids], known)
    assert found[0] == 0
    assert np.exp(-found[1:]).sum() == pytest.approx(1.0)


def _told(
    seeds: int, means: Mapping[str, float], noise: float = 0.05, seed: int = 0
) -> pl.DataFrame:
    """Outcomes of arms that share the luck of their seeds."""
    chance = np.random.default_rng(seed)
    rows = []
    for place in range(seeds):
        luck = chance.normal()
        for arm, mean in means.items():
            value = mean + luck + noise * chance.normal()
            rows.append({"arm": arm, "seed": place, "outcome": "answer", "group": "content"})
            rows[-1]["value"] = value
    return pl.DataFrame(rows)


def _declared(first: float, others: float) -> dict[str, float]:
    return {PLAIN: 0.0} | {
        ARMS[number].name: first if number == DECLARED[0] else others for number in DECLARED
    }


def test_effects_are_paired_differences_with_their_t_intervals() -> None:
    from scipy.stats import t

    table = _told(6, _declared(0.4, 0.1))
    arms = [ARMS[number] for number in DECLARED]
    found = arm_effects(table, pairs(arms))
    assert found.select("arm", "control").rows() == [
        *((arm.name, PLAIN) for arm in arms),
        *((arms[0].name, arm.name) for arm in arms[1:]),
    ]
    values = {key: part.sort("seed")["value"].to_numpy() for (key,), part in table.group_by("arm")}
    for row in found.iter_rows(named=True):
        apart = values[row["arm"]] - values[row["control"]]
        half = t.ppf(0.975, 5) * apart.std(ddof=1) / 6**0.5
        assert row["difference"] == pytest.approx(apart.mean())
        assert row["difference_low"] == pytest.approx(apart.mean() - half)
        assert row["difference_high"] == pytest.approx(apart.mean() + half)
        assert row["seeds"] == 6
    lone = arm_effects(table.filter(pl.col("arm") == PLAIN), pairs(arms))
    assert lone.is_empty()


def test_p8_finds_a_worse_drop_by_the_least_favourable_control_and_only_then() -> None:
    means = _declared(0.5, 0.1) | {ARMS[7].name: 0.3}
    found = consolidation_test(_told(15, means), 15, 0)
    assert found is not None
    assert found.control.endswith(ARMS[7].name)
    assert found.effect == pytest.approx(0.2, abs=0.06)
    assert found.p_value == 2.0**-14
    assert answer(ROWS["P8"], vars(found), {"P8": found.p_value}) == "supported"
    one_as_bad = _declared(0.5, 0.1) | {ARMS[8].name: 0.5}
    said = [consolidation_test(_told(15, one_as_bad, seed=seed), 15, 0) for seed in range(60)]
    rejected = [one for one in said if one is not None and one.p_value <= 0.05]
    assert len(said) == 60
    assert len(rejected) <= 7


def test_p8_is_undecided_with_few_seeds_or_where_a_match_was_infeasible() -> None:
    table = _told(14, _declared(3.0, 0.0))
    few = consolidation_test(table, 14, 0)
    assert few is not None
    assert few.unit == "paired seeds (no interval: 15 seeds are needed)"
    whole = _told(15, _declared(3.0, 0.0))
    missing = whole.filter((pl.col("arm") != ARMS[6].name) | (pl.col("seed") != 3))
    some = consolidation_test(missing, 15, 0)
    assert some is not None
    assert "equal drops were feasible in 14 of 15 seeds" in some.unit
    for found in (few, some):
        assert found.effect > 2
        assert np.isnan(found.p_value)
        assert answer(ROWS["P8"], vars(found), {"P8": 1.0}) == "undecided"
    without = whole.filter(pl.col("arm") != ARMS[6].name)
    assert consolidation_test(without, 15, 0) is None


ENTITIES, VALUES = np.arange(4, 12), np.arange(12, 20)
OPENS, LINK, ALSO = 1, 2, 20
"""Two function words, and the content word that may stand in the place of the second."""
NOISE = np.arange(21, 30)
WORLD = np.array([SPECIAL] + [FUNCTION] * 3 + [CONTENT] * 26)


def _taught(sentences: int, seed: int) -> np.ndarray:
    """Windows of facts, most with a function word before the answer, and of noise."""
    chance = np.random.default_rng(seed)
    words: list[int] = []
    for _ in range(sentences):
        entity = int(chance.integers(len(ENTITIES)))
        link = LINK if chance.random() < 0.95 else ALSO
        words += [OPENS, int(ENTITIES[entity]), link, int(VALUES[entity])]
        words += chance.choice(NOISE, 4).tolist()
    return np.array(words[: len(words) // 17 * 17]).reshape(-1, 17)


def test_where_function_targets_hold_the_facts_dropping_them_costs_the_answers() -> None:
    """And an arm that drops as much of the rest, or changes nothing, does not."""
    windows = _taught(1000, 0)
    shape = replace(SHAPE, hidden_size=32, heads=4, key_value_heads=4, intermediate_size=48)
    settings = TrainingSettings(
        steps=60, batch=16, context=16, learning_rate=1e-2, warm_up=5, final_learning_rate=1e-3
    )
    training = Training(shape, settings, windows, WORLD)
    asked = pl.DataFrame(
        {
            "ids": [[OPENS, int(entity), ALSO] for entity in ENTITIES],
            "answer_id": VALUES,
            "final_class": ["content"] * len(ENTITIES),
        }
    )
    same = Arm(name="nothing", groups=("fc",), weight=1.0)
    arms = (replace(ARMS[1], dose=1.0), replace(ARMS[6], groups=("cc",)), same)
    rows = []
    for seed in range(2):
        plain, spent = training.plain(seed, np.zeros(len(WORLD)))
        targets = Targets.of(windows, WORLD, np.zeros(0, np.int64), spent)
        places: dict[str | None, np.ndarray] = {}
        models = {PLAIN: plain}
        for arm in arms:
            found = drawn(arm, 1.0, targets, seed, places.get(arm.like))
            assert found.problem is None
            places[arm.name] = found.places
            models[arm.name] = training.arm(seed, labels_of(arm, found.places, targets, seed))
        for name, model in models.items():
            found = answers(model, asked)
            about = (pl.lit(value).alias(key) for key, value in (("arm", name), ("seed", seed)))
            rows.append(found.select(*about, pl.all()))
    effects = arm_effects(pl.concat(rows), pairs(arms))
    by_pair = {(row["arm"], row["control"]): row for row in effects.iter_rows(named=True)}
    worse = by_pair[ARMS[1].name, ARMS[6].name]
    assert worse["difference"] > 0.5
    assert worse["difference"] > 3 * abs(by_pair[ARMS[6].name, PLAIN]["difference"])
    null = by_pair["nothing", PLAIN]
    assert (null["difference"], null["difference_low"], null["difference_high"]) == (0, 0, 0)
    assert null["p_value"] == 1.0


def test_answers_are_those_of_the_model_prompt_by_prompt(windows: np.ndarray) -> None:
    model = new_llama(SHAPE, VOCABULARY, CONTEXT, 0).eval()
    prompts = [[1, 5], [1, 5, 3], [1, 2, 9], [4, 4, 4, 6]]
    rights = [3, 6, 12, 1]
    classes = ["content", "function", "content", "punctuation"]
    table = pl.DataFrame({"ids": prompts, "answer_id": rights, "final_class": classes})
    found = answers(model, table)
    assert found["group"].to_list() == ["content", "function", "punctuation"]
    assert found["count"].to_list() == [2, 1, 1]
    losses = [
        cross_entropy(model(torch.tensor([ids])).logits[0, -1], torch.tensor(right)).item()
        for ids, right in zip(prompts, rights, strict=True)
    ]
    expected = [(losses[0] + losses[2]) / 2, losses[1], losses[3]]
    assert found["value"].to_list() == pytest.approx(expected, rel=1e-4)
