"""A model whose weights accelerate moves: everything as on the plain model, and its hooks stay."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from families import LAYERS, VOCABULARY, WIDTH, tiny
from torch import Tensor, nn

from functok.models.dictionaries import Dictionary
from functok.models.interventions.intervention import Clamp, Intervention, steer
from functok.models.interventions.sweeps import Trial, sweep
from functok.models.language.capture import capture
from functok.models.language.generation import generate
from functok.models.language.head import cuts, token_losses
from functok.models.language.hooks import HookPoint
from functok.models.language.probe import check_model
from functok.retrieval.causal.attribution import attribute, log_probability

RANDOM = torch.Generator().manual_seed(11)
VECTOR = 4 * torch.randn(WIDTH, generator=RANDOM)
SAE = Dictionary(
    W_enc=torch.randn(WIDTH, 24, generator=RANDOM),
    b_enc=torch.zeros(24),
    W_dec=torch.randn(24, WIDTH, generator=RANDOM),
    b_dec=torch.zeros(WIDTH),
    architecture="topk",
    k=6,
)
PROMPT = [3, 17, 4, 29, 11, 8, 5, 30, 2]


@contextmanager
def offloaded(model: nn.Module) -> Iterator[nn.Module]:
    """The model with its weights on ``meta`` until a layer needs them; checked afterwards."""
    cpu_offload(model, execution_device=torch.device("cpu"))

    def hooks() -> dict[str, tuple[Any, Any]]:
        return {
            name: (module.__dict__["_hf_hook"], module.__dict__["forward"])
            for name, module in model.named_modules()
            if "_hf_hook" in module.__dict__
        }

    before = hooks()
    assert len(before) > 2 * LAYERS
    yield model
    after = hooks()
    assert before.keys() == after.keys()
    assert all(before[name] == after[name] for name in before), "accelerate's hooks are intact"
    assert {weight.device.type for weight in model.parameters()} == {"meta"}


def captured(model: nn.Module) -> Tensor:
    points = ("blocks.1.hook_resid_post", "blocks.1.hook_resid_pre", "blocks.1.hook_mlp_out")
    found = capture(model, torch.tensor([PROMPT]), [HookPoint.parse(name) for name in points])
    return torch.stack(found.hidden)


def losses(model: nn.Module) -> Tensor:
    targets = torch.tensor([[*PROMPT[1:], -100]])
    return token_losses(model, torch.tensor([PROMPT]), targets, memory=1)


def swept(model: nn.Module) -> Tensor:
    trials = [Trial(0)]
    for layer in range(LAYERS):
        trials.append(Trial(0, (Intervention(layer, 4, VECTOR),)))
        trials.append(Trial(0, (Clamp(layer, 6, SAE, 5, 2.0),)))
    return sweep(model, [PROMPT], trials)


def steered(model: nn.Module) -> Tensor:
    with torch.no_grad(), steer(model, [Intervention(1, 2, VECTOR), Clamp(0, -1, SAE, 3)]):
        return model(torch.tensor([PROMPT])).logits


def generated(model: nn.Module) -> Tensor:
    with steer(model, [Intervention(1, 2, VECTOR)]):
        return torch.tensor(generate(model, [PROMPT], 4))


def attributed(model: nn.Module) -> Tensor:
    table = attribute(model, SAE, PROMPT, 1, log_probability(7))
    return torch.from_numpy(table["effect"].to_numpy().copy())


@pytest.mark.parametrize(
    "measured",
    [captured, losses, swept, steered, generated, attributed],
    ids=lambda one: one.__name__,
)
@pytest.mark.parametrize("family", ["Llama", "GPT2", "Gemma2"])
def test_a_model_in_parts_gives_what_the_whole_one_does(
    family: str, measured: Callable[[nn.Module], Tensor]
) -> None:
    expected = measured(tiny(family))
    with offloaded(tiny(family)) as model:
        torch.testing.assert_close(measured(model), expected, rtol=1e-5, atol=1e-5)


def test_a_probe_cuts_and_checks_a_model_in_parts() -> None:
    with offloaded(tiny("Llama")) as model:
        check_model(model, "in parts")
        assert cuts(model)
        assert model.get_input_embeddings().weight.shape == (VOCABULARY, WIDTH)
