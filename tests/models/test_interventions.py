"""Interventions against editing the next layer's input by hand, with and without a cache."""

import pytest
import torch
from families import LAYERS, VOCABULARY, WIDTH, edited_logits, tiny
from torch import Tensor, nn

from functok.models.dictionaries import Dictionary
from functok.models.interventions.intervention import Clamp, Intervention, steer
from functok.models.language.capture import residual_stream
from functok.models.language.generation import generate
from functok.runtime.errors import UserError

PROMPT = [3, 17, 4, 29, 11, 8]
VECTOR = 12 * torch.randn(WIDTH, generator=torch.Generator().manual_seed(1))


def by_hand(change: Intervention):
    """The intervention as an edit of a whole sequence; beyond its end, nothing."""

    def edit(hidden: Tensor) -> Tensor:
        if change.position < hidden.shape[1]:
            for row in range(len(hidden)):
                vector = change.vector if change.vector.ndim == 1 else change.vector[row]
                old = hidden[row, change.position]
                hidden[row, change.position] = vector if change.kind == "set" else old + vector
        return hidden

    return edit


def without_cache(model: nn.Module, change: Intervention, tokens: int) -> list[int]:
    """Greedy decoding that computes the whole sequence again for every token."""
    ids = list(PROMPT)
    for _ in range(tokens):
        logits = edited_logits(model, torch.tensor([ids]), change.layer, by_hand(change))
        ids.append(int(logits[0, -1].argmax()))
    return ids[len(PROMPT) :]


def hooks(model: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())


@pytest.mark.parametrize("kind", ["add", "set"])
@pytest.mark.parametrize(("layer", "position"), [(0, 0), (1, 4), (LAYERS - 1, 8)])
def test_an_intervention_equals_editing_the_next_layers_input(model, ids, layer, position, kind):
    change = Intervention(layer, position, VECTOR, kind)
    with torch.no_grad():
        plain = model(ids, use_cache=False).logits
        with steer(model, [change]):
            changed = model(ids, use_cache=False).logits
    torch.testing.assert_close(changed, edited_logits(model, ids, layer, by_hand(change)))
    assert torch.equal(changed[:, :position], plain[:, :position])
    assert (changed[:, position] - plain[:, position]).abs().max() > 0.01


def test_several_interventions_act_together(model, ids):
    first, second = Intervention(0, 2, VECTOR), Intervention(2, 5, -VECTOR, "set")
    with torch.no_grad(), steer(model, [first]):
        expected = edited_logits(model, ids, 2, by_hand(second))
    with torch.no_grad(), steer(model, [second, first]):
        torch.testing.assert_close(model(ids, use_cache=False).logits, expected)


@pytest.mark.parametrize("kind", ["add", "set"])
def test_each_row_of_a_batch_may_have_its_own_vector(model, ids, kind):
    vectors = torch.stack([VECTOR, VECTOR.flip(0)])
    with torch.no_grad(), steer(model, [Intervention(1, 3, vectors, kind)]):
        together = model(ids, use_cache=False).logits
    for row in range(2):
        with torch.no_grad(), steer(model, [Intervention(1, 3, vectors[row], kind)]):
            alone = model(ids[row : row + 1], use_cache=False).logits
        torch.testing.assert_close(together[row : row + 1], alone)
    assert (together[0] - together[1]).abs().max() > 0.01


@pytest.mark.parametrize("position", [len(PROMPT) - 1, len(PROMPT) + 2])
def test_generating_with_a_cache_equals_computing_the_whole_sequence_again(model, position):
    change = Intervention(1, position, VECTOR, "set")
    with steer(model, [change]):
        generated = generate(model, [PROMPT], 8)[0]
    assert len(generated) == 8
    assert generated == without_cache(model, change, 8)


def test_steering_the_last_token_of_the_prompt_changes_what_is_generated(model):
    plain = generate(model, [PROMPT], 8)[0]
    change = Intervention(LAYERS - 1, len(PROMPT) - 1, VECTOR, "set")
    with steer(model, [change]):
        assert generate(model, [PROMPT], 8)[0] != plain
    assert generate(model, [PROMPT], 8)[0] == plain


def test_generated_tokens_are_left_alone(model):
    """Only the prompt's positions are told to change; the cache must not shift them."""
    written: list[int] = []
    layer = 1
    plain = generate(model, [PROMPT], 6)[0]
    change = Intervention(layer, 0, torch.zeros(WIDTH), "add")
    with steer(model, [change]):
        handle = model.base_model.register_forward_hook(
            lambda module, inputs, output: written.append(output[0].shape[1])
        )
        assert generate(model, [PROMPT], 6)[0] == plain
        handle.remove()
    assert written == [len(PROMPT), 1, 1, 1, 1, 1]  # it is a cache that was tested


def test_a_position_beyond_the_sequence_changes_nothing(model, ids):
    with torch.no_grad():
        plain = model(ids).logits
        with steer(model, [Intervention(1, ids.shape[1], VECTOR)]):
            assert torch.equal(model(ids).logits, plain)


def test_hooks_are_gone_afterwards_and_after_an_error():
    model = tiny("Llama")
    before = hooks(model)
    with steer(model, [Intervention(0, 0, VECTOR), Intervention(1, 0, VECTOR)]):
        assert hooks(model) > before + 2
    assert hooks(model) == before
    with pytest.raises(RuntimeError, match="odd"), steer(model, [Intervention(0, 0, VECTOR)]):
        raise RuntimeError("odd")
    assert hooks(model) == before


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (Intervention(LAYERS, 0, VECTOR), "There is no layer 3"),
        (Intervention(-1, 0, VECTOR), "There is no layer -1"),
        (Intervention(0, 0, torch.ones(WIDTH + 1)), "17 dimensions but the residual stream 16"),
        (Intervention(0, 0, VECTOR * torch.nan), "not finite"),
        (Intervention(0, 0, VECTOR * torch.inf), "not finite"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_no_hook(change, sentence):
    model = tiny("Llama")
    before = hooks(model)
    with (
        pytest.raises(UserError, match=sentence),
        steer(model, [Intervention(0, 0, VECTOR), change]),
    ):
        pass
    assert hooks(model) == before


@pytest.mark.parametrize("end", [None, 0, 7, [7, 9]])
def test_generation_stops_at_the_models_end_token(end):
    model = tiny("Qwen2")
    free = generate(model, [PROMPT], 12)[0]
    model.config.eos_token_id = model.generation_config.eos_token_id = end
    ends = {end} if isinstance(end, int) else set(end or ())
    stop = next((index + 1 for index, token in enumerate(free) if token in ends), len(free))
    assert generate(model, [PROMPT], 12)[0] == free[:stop]
    assert all(0 <= token < VOCABULARY for token in free)


def test_decoding_is_greedy_whatever_the_models_folder_prefers():
    model = tiny("Llama")
    plain = generate(model, [PROMPT], 8)[0]
    model.generation_config.update(
        do_sample=True, temperature=5.0, top_k=3, repetition_penalty=50.0
    )
    assert generate(model, [PROMPT], 8)[0] == plain
    assert len(set(plain)) < 8  # a penalty on repetition would show


OTHERS = [[9, 1], PROMPT, [7, 7, 21, 13, 2, 19, 0, 1, 38]]


@pytest.mark.parametrize("where", ["index", "last", "token", "generated"])
def test_prompts_side_by_side_equal_each_alone(model, where):
    """Padding on the left shifts nothing, for one position as for a choice of them."""
    position = {
        "index": 1,
        "last": -1,
        "token": lambda ids, positions: (ids % 3 == 1) & (positions >= 0),
        "generated": lambda ids, positions: positions >= 9,
    }[where]
    with steer(model, [Intervention(1, position, VECTOR, "set")]):
        together = generate(model, OTHERS, 6)
        assert together == [generate(model, [prompt], 6)[0] for prompt in OTHERS]
    assert together != generate(model, OTHERS, 6)


def test_positions_from_the_end_are_those_of_the_prompt(model):
    """−1 is its last, in one pass as in generation; what lies before its first is no place."""
    for position in (-1, -len(PROMPT), -len(PROMPT) - 1):
        with steer(model, [Intervention(1, position, VECTOR, "set")]):
            found = generate(model, [PROMPT, [9, 1]], 6)[0]
        same = [Intervention(1, position + len(PROMPT), VECTOR, "set")] * (position >= -len(PROMPT))
        with steer(model, same):
            assert found == generate(model, [PROMPT], 6)[0]


def test_positions_are_those_of_the_tokens_that_enter():
    """In a padded batch with a cache: every real token is seen once, at its place."""
    model, seen = tiny("Llama"), []

    def look(ids, positions):
        seen.append((ids.clone(), positions.clone()))
        return torch.zeros_like(positions, dtype=torch.bool)

    with steer(model, [Intervention(0, look, VECTOR)]):
        together = generate(model, OTHERS, 3)
    ids, positions = (torch.cat(parts, 1) for parts in zip(*seen, strict=True))
    for row, prompt in enumerate(OTHERS):
        real = positions[row] >= 0
        assert ids[row][real].tolist() == [*prompt, *together[row][:-1]]
        assert positions[row][real].tolist() == list(range(len(prompt) + 2))


def test_sampling_follows_the_seed():
    model = tiny("Qwen2")
    drawn = {seed: generate(model, [PROMPT], 12, temperature=2.0, seed=seed) for seed in range(4)}
    assert drawn[0] == generate(model, [PROMPT], 12, temperature=2.0, seed=0)
    assert len({tuple(row) for (row,) in drawn.values()}) > 1


def test_ablation_leaves_nothing_along_the_direction(model, ids):
    seen = []
    with torch.no_grad(), steer(model, [Intervention(1, 4, VECTOR, "ablate")]):
        seen.append(residual_stream(model, ids, 1))
    before, after = residual_stream(model, ids, 1)[:, 4], seen[0][:, 4]
    unit = VECTOR / VECTOR.norm()
    torch.testing.assert_close(after @ unit, torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(after, before - (before @ unit)[:, None] * unit)


def test_a_clamped_feature_has_its_activation_and_the_rest_stays(model, ids):
    """With orthogonal directions encoding what was written gives back what was set."""
    directions = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=torch.Generator()))[0]
    sae = Dictionary(directions.T, torch.zeros(WIDTH), directions, torch.zeros(WIDTH), "standard")
    with torch.no_grad(), steer(model, [Clamp(1, 4, sae, 3, 7.0), Clamp(1, 2, sae, 5)]):
        after = residual_stream(model, ids, 1)
    before = residual_stream(model, ids, 1)
    z, was = after @ directions.T, before @ directions.T
    torch.testing.assert_close(z[:, 4, 3], was[:, 4, 3].clamp(max=0) + 7.0, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(z[:, 2, 5], was[:, 2, 5].clamp(max=0), atol=1e-4, rtol=1e-4)
    z[:, 4, 3], z[:, 2, 5] = was[:, 4, 3], was[:, 2, 5]
    torch.testing.assert_close(z, was, atol=1e-4, rtol=1e-4)


def test_a_model_called_with_embeddings_is_refused(model):
    embedded = torch.zeros(1, 3, WIDTH)
    with (
        pytest.raises(UserError, match="input_ids"),
        torch.no_grad(),
        steer(model, [Intervention(0, 0, VECTOR)]),
    ):
        model(inputs_embeds=embedded)
