"""Places in a model, on every family, against the states that the model itself passes on."""

import pytest
import torch
from families import layers_by_name, tiny
from torch import Tensor, nn

from functok.models.language.capture import capture, fitting_context
from functok.models.language.head import token_losses
from functok.models.language.hooks import HookPoint, module_at
from functok.runtime.errors import UserError


def read(model: nn.Module, ids: Tensor, name: str) -> Tensor:
    return capture(model, ids, [HookPoint.parse(name)]).hidden[0]


def test_several_places_in_one_pass_equal_one_at_a_time(model: nn.Module, ids: Tensor) -> None:
    names = ["hook_embed", "blocks.0.attn.hook_z", "blocks.1.hook_mlp_out", "layers.1"]
    names += ["blocks.0.hook_resid_post"]
    points = [HookPoint.parse(name) for name in names]
    for name, hidden in zip(names, capture(model, ids, points).hidden, strict=True):
        assert torch.equal(hidden, read(model, ids, name)), name


def test_nothing_above_the_deepest_place_is_computed(model: nn.Module, ids: Tensor) -> None:
    ran: list[int] = []
    handles = [
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
        for number, layer in enumerate(layers_by_name(model))
    ]
    points = [HookPoint.residual(1), HookPoint.parse("blocks.0.hook_mlp_out")]
    capture(model, ids, points)
    assert ran == [0, 1][: len(ran)]
    assert 2 not in ran
    for handle in handles:
        handle.remove()
    assert not any(module._forward_hooks for module in model.modules())


def test_losses_come_with_the_same_pass(model: nn.Module, ids: Tensor) -> None:
    targets = ids.roll(-1, 1)
    targets[:, -1] = -100
    seen = capture(model, ids, [HookPoint.residual(0)], targets)
    assert torch.equal(seen.losses, token_losses(model, ids, targets))
    assert torch.equal(seen.hidden[0], read(model, ids, "blocks.0.hook_resid_post"))


def test_sandwich_norms_are_told_from_norms_before_the_mlp() -> None:
    """Llama's post_attention_layernorm comes before the MLP; Gemma-2's after attention."""
    point = HookPoint.parse("blocks.0.hook_attn_out")
    for family, norm in (("Gemma2", True), ("Olmo2", True), ("Llama", False), ("Qwen2", False)):
        assert ("Norm" in type(module_at(tiny(family), point)).__name__) == norm, family


@pytest.mark.parametrize(
    ("name", "site", "layer"),
    [
        ("blocks.20.hook_resid_post", "resid_post", 20),
        ("blocks.0.attn.hook_z", "z", 0),
        ("layers.7", "resid_post", 7),
        ("h.7", "resid_post", 7),
        ("blocks.3.hook_resid_mid", "resid_mid", 3),
        ("blocks.3.mlp.hook_in", "mlp_in", 3),
        ("layers.7.mlp", "module", 7),
        ("layers.7.mlp.hook_in", "module_in", 7),
        ("model.layers.7", "module", 7),
        ("embed_tokens", "module", None),
        ("hook_embed", "embed", None),
    ],
)
def test_names_of_the_field_are_understood(name: str, site: str, layer: int | None) -> None:
    assert HookPoint.parse(name) == HookPoint(name, site, layer)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["blocks.3.hook_q", "blocks.x.hook_mlp_out", "blocks.3.ln2.hook_normalized", "a b", ""]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="hook point"):
        HookPoint.parse(name)


def test_places_that_a_model_lacks_are_refused(model: nn.Module, ids: Tensor) -> None:
    with pytest.raises(UserError, match="There is no layer 9"):
        capture(model, ids, [HookPoint.residual(9)])
    with pytest.raises(UserError, match=r"has no module 'layers\.1\.nothing'"):
        capture(model, ids, [HookPoint.parse("layers.1.nothing")])


def test_a_context_longer_than_the_model_s_is_refused(model: nn.Module) -> None:
    assert fitting_context(model, 64, "m") == 64
    assert fitting_context(model, None, "m") == 64
    with pytest.raises(UserError, match="A context of 65 exceeds the maximum of model 'm'"):
        fitting_context(model, 65, "m")
