"""GroupLoss against ``F.cross_entropy`` and a loop over tokens."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy

from functok.models.losses.groups import GroupLoss, GroupSums
from functok.runtime.errors import UserError
from functok.tokens.counting.function_tokens import EXCLUDED, transitions


class Case(NamedTuple):
    classes: np.ndarray
    class_count: int
    logits: Tensor
    ids: Tensor
    targets: Tensor


@st.composite
def cases(draw, ignoring: bool = True) -> Case:
    """Random classes (special ones among them), logits and tokens; some targets ignored."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    vocabulary, class_count = draw(st.integers(2, 12)), draw(st.integers(1, 4))
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 9)))
    ids, targets = random.integers(0, vocabulary, (2, *shape))
    if ignoring:
        targets[random.random(shape) < draw(st.sampled_from([0.0, 0.3, 0.9]))] = -100
        targets.flat[0] = 0  # at least one target
    return Case(
        random.integers(0, class_count + 1, vocabulary).astype(np.int8),
        class_count,
        torch.from_numpy(random.normal(0, 3, (*shape, vocabulary)).astype(np.float32)),
        torch.from_numpy(ids),
        torch.from_numpy(targets),
    )


def by_loop(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Sum and count of every group, one token after another, in float64."""
    special, last = case.class_count, case.class_count**2
    sums, counts = np.zeros(last + 1), np.zeros(last + 1, np.int64)
    logits = case.logits.float().double().numpy().reshape(-1, case.logits.shape[-1])
    tokens = zip(logits, case.ids.flatten().tolist(), case.targets.flatten().tolist(), strict=True)
    for row, current, target in tokens:
        if target == -100:
            continue
        one, two = int(case.classes[current]), int(case.classes[target])
        group = last if special in (one, two) else one * case.class_count + two
        sums[group] += np.log(np.exp(row - row.max()).sum()) + row.max() - row[target]
        counts[group] += 1
    return sums, counts


@settings(max_examples=60, deadline=None)
@given(cases())
def test_the_scalar_and_its_gradient_are_those_of_cross_entropy(case):
    ours, theirs = case.logits.clone().requires_grad_(), case.logits.clone().requires_grad_()
    value = GroupLoss(case.classes, case.class_count)(ours, case.ids, case.targets)
    expected = cross_entropy(theirs.flatten(0, 1), case.targets.flatten(), ignore_index=-100)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-6)
    value.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_sums_and_counts_equal_a_loop_over_tokens(case):
    loss = GroupLoss(case.classes, case.class_count)
    loss(case.logits, case.ids, case.targets)
    sums, counts = by_loop(case)
    taken = loss.take()
    np.testing.assert_allclose(taken.sums, sums, rtol=1e-5, atol=1e-5)
    assert taken.counts.tolist() == counts.tolist()


@settings(max_examples=30, deadline=None)
@given(cases())
def test_bf16_logits_lose_nothing_but_their_own_digits(case):
    rounded = case._replace(logits=case.logits.bfloat16())
    loss = GroupLoss(case.classes, case.class_count)
    value = loss(rounded.logits, case.ids, case.targets)
    sums, counts = by_loop(rounded)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(sums.sum() / counts.sum(), rel=1e-5, abs=1e-5)
    np.testing.assert_allclose(loss.take().sums, sums, rtol=1e-5, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(cases(), st.integers(1, 4))
def test_the_ledger_adds_over_batches_and_starts_again_when_taken(case, repeats):
    loss = GroupLoss(case.classes, case.class_count)
    for _ in range(repeats):
        loss(case.logits, case.ids, case.targets)
    sums, counts = by_loop(case)
    taken = loss.take()
    np.testing.assert_allclose(taken.sums, repeats * sums, rtol=1e-5, atol=1e-5)
    assert taken.counts.tolist() == (repeats * counts).tolist()
    again = loss.take()
    assert not again.sums.any()
    assert not again.counts.any()
    loss(case.logits, case.ids, case.targets)
    assert loss.take().counts.tolist() == counts.tolist()
    assert taken.counts.tolist() == (repeats * counts).tolist()  # a copy, not a view


@settings(max_examples=30, deadline=None)
@given(cases(ignoring=False))
def test_groups_of_two_classes_are_the_transitions_of_the_tables(case):
    classes = case.classes % 3
    groups = GroupLoss(classes).groups(case.ids, case.targets)
    expected = transitions(classes, case.ids.numpy(), case.targets.numpy())
    assert groups.tolist() == expected.tolist()
    assert GroupLoss(classes).group_count == EXCLUDED + 1


def test_the_ledger_stays_in_float64_over_many_batches():
    loss = GroupLoss(np.zeros(2, np.int8), 1)
    ids = torch.zeros(1, 1, dtype=torch.int64)
    loss._sums[0] = 1e9  # a long run's sum, at which fp32 would add nothing
    loss(torch.zeros(1, 1, 2), ids, ids)
    assert loss.take().sums[0] - 1e9 == pytest.approx(np.log(2), abs=1e-6)


NAMED = st.lists(st.sampled_from([0.0, 0.25, 1.0, 3.0, -1.0]), min_size=17, max_size=17)


@settings(max_examples=60, deadline=None)
@given(cases(), NAMED)
def test_weighted_gradients_are_those_of_the_formula(case, drawn):
    """L = (1/n) Σ w(g)·ℓ, written out token by token."""
    loss = GroupLoss(case.classes, case.class_count)
    weights = dict(zip(loss.names, drawn, strict=False))
    ours, theirs = (case.logits.double().clone().requires_grad_() for _ in range(2))
    weighted = GroupLoss(case.classes, case.class_count, weights=weights)
    value = weighted(ours, case.ids, case.targets)
    terms = []
    for row, current, target in zip(
        theirs.flatten(0, 1), case.ids.flatten(), case.targets.flatten(), strict=True
    ):
        if target != -100:
            name = loss.names[int(loss.groups(current, target))]
            terms.append(weights[name] * (row.logsumexp(0) - row[target]))
    expected = torch.stack(terms).sum() / len(terms)
    torch.testing.assert_close(value, expected)
    value.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    np.testing.assert_allclose(weighted.take().sums, by_loop(case)[0], rtol=1e-5, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(cases(), st.floats(0.5, 1e6))
def test_a_divisor_takes_the_place_of_the_count(case, divisor):
    loss = GroupLoss(case.classes, case.class_count)
    mean = loss(case.logits, case.ids, case.targets)
    count = (case.targets != -100).sum()
    given_one = loss(case.logits, case.ids, case.targets, divisor=divisor)
    torch.testing.assert_close(given_one * divisor, mean * count, rtol=1e-5, atol=1e-5)
    given_tensor = loss(case.logits, case.ids, case.targets, divisor=torch.tensor(divisor))
    torch.testing.assert_close(given_tensor, given_one)


def test_a_weight_of_no_group_is_refused_and_the_nearest_named():
    with pytest.raises(UserError, match=r"no group 'fcc'; did you mean 'fc'\?"):
        GroupLoss(np.zeros(2, np.int8), weights={"fcc": 0.0})


def test_means_are_per_group_and_merging_adds():
    one = GroupSums(np.array([2.0, 0.0]), np.array([4, 0]))
    two = GroupSums(np.array([1.0, 6.0]), np.array([2, 3]))
    assert np.isnan(one.means()[1])
    assert one.merge(two).means().tolist() == [0.5, 2.0]
    assert one.merge(two).mean() == 1.0
    assert one.merge(two).sums.tolist() == two.merge(one).sums.tolist()
    assert np.isnan(GroupSums(np.zeros(2), np.zeros(2, np.int64)).mean())


def test_names_are_the_transitions_of_two_classes_and_arrows_of_others():
    assert GroupLoss(np.zeros(2, np.int8)).names == ("ff", "fc", "cf", "cc", "special")
    assert GroupLoss(np.zeros(2, np.int8), 1).names == ("0→0", "none")
    assert len(GroupLoss(np.zeros(2, np.int8), 3).names) == 10
