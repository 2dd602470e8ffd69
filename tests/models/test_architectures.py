"""Some fifty architectures: what is read, added and steered in each, against hooks by hand."""

import pytest
import torch
from architectures import (
    ADDING,
    ENCODERS,
    LAYERS,
    OTHERS,
    VOCABULARY,
    WIDTH,
    edited_logits,
    layers_of,
    tiny,
)
from torch import Tensor, nn

from functok.models.interventions.intervention import Intervention, steer
from functok.models.interventions.prefixes import shares_prefix
from functok.models.interventions.sweeps import Trial, sweep
from functok.models.language.attention import attending
from functok.models.language.capture import capture, fitting_context, residual_stream
from functok.models.language.generation import generate
from functok.models.language.hooks import HookPoint
from functok.models.language.layers import decoder_layers
from functok.models.language.probe import check_model
from functok.runtime.errors import UserError

PROMPTS = [[3, 17, 4, 29, 11, 8, 5, 30, 2], [9, 1, 22, 8]]
IDS = torch.tensor(PROMPTS[:1])
VECTOR = 6 * torch.randn(WIDTH, generator=torch.Generator().manual_seed(1))
CAUSAL = sorted(ADDING | OTHERS)
PLAIN_FIRST = {"rwkv"}
"""Their first layer norms the stream itself."""


@pytest.fixture(scope="module", params=CAUSAL)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(kind: str) -> nn.Module:
    return tiny(kind)


def put(position: int):
    def edit(hidden: Tensor) -> Tensor:
        hidden[:, position] = VECTOR
        return hidden

    return edit


def test_a_causal_model_passes_the_probe(model: nn.Module, kind: str) -> None:
    check_model(model, kind)
    other = IDS.clone()
    other[0, -1] = 36
    for layer in range(LAYERS):
        one, two = (residual_stream(model, ids, layer)[0, :-1] for ids in (IDS, other))
        torch.testing.assert_close(one, two)


def test_layers_are_those_that_the_architecture_names(model: nn.Module) -> None:
    assert decoder_layers(model) is layers_of(model)


def test_padding_behind_a_text_changes_nothing(model: nn.Module) -> None:
    padded = torch.cat([IDS, torch.full((1, 7), 1)], 1)
    one, two = (residual_stream(model, ids, LAYERS - 1)[0, : IDS.shape[1]] for ids in (IDS, padded))
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


def test_what_is_added_adds_up_or_is_refused(model: nn.Module, kind: str) -> None:
    refused = []
    for layer in range(LAYERS):
        names = ("resid_pre", "attn_out", "mlp_out", "resid_post")
        points = [HookPoint.at(layer, name) for name in names]
        try:
            before, attention, mlp, after = capture(model, IDS, points).hidden
        except UserError:
            refused.append(layer)
            continue
        torch.testing.assert_close(before + attention + mlp, after, rtol=1e-4, atol=1e-4)
        least = 1e-4 * after.norm()  # far above the tolerance of a sum without one of them
        assert min(attention.norm(), mlp.norm()) > least
        assert not torch.equal(mlp, after)
    if kind in ADDING:
        assert refused == ([0] if kind in PLAIN_FIRST else [])


def test_the_stream_between_is_what_enters_plus_attention(model: nn.Module, kind: str) -> None:
    points = [HookPoint.at(1, name) for name in ("resid_pre", "attn_out", "resid_mid")]
    try:
        before, attention, middle = capture(model, IDS, points).hidden
    except UserError:
        assert kind in {*OTHERS, "gpt_neox", "gptj", "codegen", "phi", "cohere", "cohere2"} | {
            "falcon"
        }, "parallel layers have no such place"
        return
    torch.testing.assert_close(before + attention, middle, rtol=1e-5, atol=1e-5)


def test_a_closed_key_is_read_by_itself_alone_or_is_refused(model: nn.Module, kind: str) -> None:
    window = 4 if ADDING.get(kind, OTHERS.get(kind, {})).get("sliding_window") else 9
    ids = IDS[:, :window].repeat(2, 1)
    ids[1, 1] = 36

    def closed(ids: Tensor) -> Tensor:
        edges = torch.ones(*ids.shape, ids.shape[1], dtype=torch.bool)
        edges[:, :, 1] = False
        return edges

    try:
        with torch.no_grad(), attending(model, closed):
            one, two = model(ids, use_cache=False).logits
            if window == 4:
                with pytest.raises(UserError, match="attends within 4 tokens"):
                    model(IDS, use_cache=False)
    except UserError:
        assert kind in {*OTHERS, *PLAIN_FIRST, "opt", "qwen3_next"}
        return
    torch.testing.assert_close(one[2:], two[2:], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(one[1], two[1], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("layer", range(LAYERS - 1))
def test_steering_equals_a_hook_by_hand(model: nn.Module, layer: int) -> None:
    with torch.no_grad():
        plain = model(IDS, use_cache=False).logits
        with steer(model, [Intervention(layer, 4, VECTOR, "set")]):
            steered = model(IDS, use_cache=False).logits
    expected = edited_logits(model, IDS, layer, put(4))
    torch.testing.assert_close(steered, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(steered[:, :4], plain[:, :4], rtol=1e-4, atol=1e-4)
    assert (steered[:, 4:] - plain[:, 4:]).abs().max() > 0.01


def test_steered_generation_equals_computing_the_whole_text_again(model: nn.Module) -> None:
    """Prompts of two lengths side by side, with whatever state the architecture keeps."""
    for position in (0, 3):
        with steer(model, [Intervention(1, position, VECTOR, "set")]):
            answers = generate(model, PROMPTS, 4)
        for prompt, answer in zip(PROMPTS, answers, strict=True):
            ids = list(prompt)
            for _ in range(4):
                logits = edited_logits(model, torch.tensor([ids]), 1, put(position))
                ids.append(int(logits[0, -1].argmax()))
            assert answer == ids[len(prompt) :], position


def test_sweeps_equal_full_passes(model: nn.Module, kind: str) -> None:
    trials = [
        Trial(0),
        Trial(0, (Intervention(1, 7, 9 * VECTOR),)),
        Trial(1, (Intervention(0, 2, VECTOR, "set"), Intervention(LAYERS - 1, 3, VECTOR))),
    ]
    expected = []
    for trial in trials:
        with torch.no_grad(), steer(model, trial.changes):
            logits = model(torch.tensor([PROMPTS[trial.prompt]]), use_cache=False).logits
        expected.append(logits[0, -1].log_softmax(-1))
    found = sweep(model, PROMPTS, trials)
    assert found.shape == (3, VOCABULARY)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-4)
    assert (found[1] - found[0]).abs().max() > 1e-3
    if kind in ("llama", "gpt2", "gemma2", "mixtral"):
        assert shares_prefix(model), "the quick way is taken where there is one"


@pytest.mark.parametrize("kind", sorted(ENCODERS))
def test_an_encoder_is_refused(kind: str) -> None:
    with pytest.raises(UserError, match="is not a causal language model"):
        check_model(tiny(kind), kind)


def test_a_module_that_the_layers_share_with_experts_is_not_taken_for_them() -> None:
    """As many experts as layers: only the outermost list counts."""
    model = tiny("jamba", num_experts=LAYERS, num_local_experts=LAYERS)
    layers_of(model)[1].spare = nn.ModuleList(nn.Linear(2, 2) for _ in range(LAYERS))
    assert decoder_layers(model) is layers_of(model)


@pytest.mark.parametrize(
    ("scale", "limit"),
    [
        ({"rope_type": "dynamic", "factor": 4.0}, 64),
        (
            {
                "rope_type": "longrope",
                "short_factor": [1.0] * 4,
                "long_factor": [8.0] * 4,
                "original_max_position_embeddings": 16,
            },
            16,
        ),
    ],
)
def test_a_row_is_no_longer_than_its_rotary_scale_allows(scale: dict, limit: int) -> None:
    """Up to there padding changes nothing; one position more, and it does."""
    scaled = tiny("llama", rope_parameters={"rope_theta": 1e4, **scale})
    assert fitting_context(scaled, None, "m") == limit
    ids = torch.arange(limit + 1)[None] % VOCABULARY
    short, whole, beyond = (
        residual_stream(scaled, ids[:, :length], 2)[0, :12] for length in (12, limit, limit + 1)
    )
    torch.testing.assert_close(short, whole, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(short, beyond, rtol=1e-2, atol=1e-2)
