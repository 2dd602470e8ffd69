"""Sweeps against one full forward pass per trial."""

import itertools

import numpy as np
import pytest
import torch
from families import FAMILIES, LAYERS, VOCABULARY, WIDTH, tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from functok.models.dictionaries import Dictionary
from functok.models.interventions.intervention import Clamp, Intervention, steer
from functok.models.interventions.prefixes import batches, run_continuations
from functok.models.interventions.sweeps import Trial, sweep
from functok.runtime.errors import UserError

RANDOM = torch.Generator().manual_seed(7)
VECTORS = 6 * torch.randn(8, WIDTH, generator=RANDOM)
SAE = Dictionary(
    W_enc=torch.randn(WIDTH, 24, generator=RANDOM),
    b_enc=torch.zeros(24),
    W_dec=torch.randn(24, WIDTH, generator=RANDOM),
    b_dec=torch.zeros(WIDTH),
    architecture="topk",
    k=6,
)
PROMPTS = [[3, 17, 4, 29, 11, 8, 5, 30, 2], [9, 1, 22, 8], [7, 7, 21, 13, 2, 19, 0, 1, 38], [12]]


def one_by_one(model: nn.Module, prompts: list[list[int]], trials: list[Trial]) -> torch.Tensor:
    rows = []
    for trial in trials:
        with torch.no_grad(), steer(model, trial.changes):
            logits = model(torch.tensor([prompts[trial.prompt]]), use_cache=False).logits
        rows.append(logits[0, -1].float().log_softmax(-1))
    return torch.stack(rows)


def every_trial() -> list[Trial]:
    """Every layer, position and kind on every prompt; several changes together; none."""
    trials = [Trial(prompt) for prompt in range(len(PROMPTS))]
    for prompt, ids in enumerate(PROMPTS):
        for layer, position in itertools.product(range(LAYERS), range(len(ids))):
            number = len(trials)
            kind = ("add", "set", "ablate")[number % 3]
            change = Intervention(layer, position, VECTORS[number % 8], kind)
            clamp = Clamp((layer + 1) % LAYERS, len(ids) - 1, SAE, number % 24, 2.0)
            from_end = Intervention(layer, position - len(ids), VECTORS[number % 8], kind)
            trials.append(Trial(prompt, (change if number % 4 else from_end,)))
            trials.append(Trial(prompt, (change, clamp)))
    return trials


def test_every_trial_equals_its_own_full_forward_pass(model):
    trials = every_trial()
    expected = one_by_one(model, PROMPTS, trials)
    found = sweep(model, PROMPTS, trials)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (found[4:] - found[[trial.prompt for trial in trials[4:]]]).abs().amax(1).median() > 0.1


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_order_and_the_memory_change_nothing(data):
    model = tiny(data.draw(st.sampled_from(sorted(FAMILIES))))
    trials = data.draw(st.permutations(every_trial()))[:20]
    memory = data.draw(st.sampled_from([1, 30_000, 1 << 30]))
    found = sweep(model, PROMPTS, trials, memory=memory)
    torch.testing.assert_close(found, one_by_one(model, PROMPTS, trials), rtol=1e-4, atol=1e-4)


def test_only_what_is_read_is_kept(model):
    trials = every_trial()[:9]
    answers = torch.tensor([3, 5])
    found = sweep(model, PROMPTS, trials, read=lambda logp: logp[:, answers])
    torch.testing.assert_close(found, sweep(model, PROMPTS, trials)[:, answers])


def counting(model: nn.Module) -> list[tuple[int, int]]:
    """Records (layer, tokens) of every layer that is really computed."""
    seen: list[tuple[int, int]] = []
    for index, layer in enumerate(model.base_model.layers):
        layer.self_attn.register_forward_pre_hook(
            lambda module, inputs, named, index=index: seen.append(
                (index, named["hidden_states"].shape[:2].numel())
            ),
            with_kwargs=True,
        )
    return seen


def test_nothing_before_the_position_or_below_the_layer_is_computed_twice():
    model = tiny("Llama")
    seen = counting(model)
    trials = [Trial(0, (Intervention(1, 6, vector),)) for vector in VECTORS]
    sweep(model, PROMPTS, trials)
    prompt = [(layer, 9) for layer in range(LAYERS)]
    assert seen == [*prompt, (2, 8 * 3)]  # one batch: layer 2 alone, positions 6 to 8


def test_the_model_is_left_as_it_was(model):
    before = {name: dict(part.__dict__) for name, part in model.named_modules()}
    plain = model(torch.tensor([PROMPTS[0]])).logits
    sweep(model, PROMPTS, every_trial()[:40])
    after = {name: dict(part.__dict__) for name, part in model.named_modules()}
    assert all(set(before[name]) == set(after[name]) for name in before)
    assert all(not part._forward_hooks for part in model.modules())
    assert torch.equal(model(torch.tensor([PROMPTS[0]])).logits, plain)


def cost(start: np.ndarray, cuts: list[slice], length: int, layers: int, fixed: float) -> float:
    lowest = [start[cut].min(0) for cut in cuts]
    return sum(
        fixed + (cut.stop - cut.start) * (length - low[1]) * (layers - low[0]) / layers
        for cut, low in zip(cuts, lowest, strict=True)
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=8),
    st.integers(1, 8),
    st.floats(0.1, 30),
)
def test_batches_are_the_cheapest_of_all_partitions(starts, most, fixed):
    start = np.array(sorted(starts))
    found = batches(start, 10, 4, most, fixed)
    assert [index for cut in found for index in range(cut.start, cut.stop)] == list(
        range(len(start))
    )
    every = []
    for chosen in itertools.product([False, True], repeat=len(start) - 1):
        bounds = [0, *(index + 1 for index, cut in enumerate(chosen) if cut), len(start)]
        cuts = [slice(*pair) for pair in itertools.pairwise(bounds)]
        if all(cut.stop - cut.start <= most for cut in cuts):
            every.append(cost(start, cuts, 10, 4, fixed))
    assert cost(start, found, 10, 4, fixed) == pytest.approx(min(every))
    assert all(cut.stop - cut.start <= most for cut in found)


@pytest.mark.parametrize(
    ("prompt", "change", "sentence"),
    [
        ([1, 2], Intervention(0, 2, VECTORS[0]), "no position 2: the prompt has positions 0 to 1"),
        ([1, 2], Intervention(0, -3, VECTORS[0]), "no position -3"),
        ([1, 2], Intervention(LAYERS, 0, VECTORS[0]), "no layer 3"),
        ([1, 2], Intervention(0, 0, VECTORS[0] * torch.nan), "not finite"),
        ([1, 2], Intervention(0, 0, VECTORS[0] * 0, "ablate"), "no direction"),
        ([1, 2], Clamp(0, 0, SAE, 24), "no feature 24: the SAE has features 0 to 23"),
        ([], Intervention(0, 0, VECTORS[0]), "prompt is empty"),
    ],
    ids=["beyond", "negative", "layer", "nan", "zero", "feature", "empty"],
)
def test_what_cannot_be_done_is_refused(prompt, change, sentence):
    with pytest.raises(UserError, match=sentence):
        sweep(tiny("Llama"), [prompt], [Trial(0, (change,))])


def test_a_sweep_without_trials_is_refused():
    with pytest.raises(UserError, match="no trials"):
        sweep(tiny("Llama"), PROMPTS, [])


def test_the_vocabulary_is_the_models():
    assert sweep(tiny("GPT2"), PROMPTS, [Trial(1)]).shape == (1, VOCABULARY)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("memory", [1, 1 << 30])
def test_texts_that_begin_alike_are_whole_passes(family, memory):
    model = tiny(family)
    texts = [[3, 7, 2, 5], [3, 7, 2, 9, 4], [3, 7, 8], [3, 7, 2, 6]]
    for some in (texts, texts[:1], [[5], [3, 7]], [[3, 7], [3, 7]]):
        found = {}
        for rows, logits in run_continuations(model, some, memory):
            found |= dict(zip(rows, logits, strict=True))
        for row, text in enumerate(some):
            whole = model(torch.tensor([text]), use_cache=False).logits[0, -1]
            torch.testing.assert_close(found[row], whole, rtol=1e-4, atol=1e-5)
