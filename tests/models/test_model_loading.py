"""What lies beside a model's weights, and weights that are no numbers: used, named or refused."""

import json
import logging
from pathlib import Path

import pytest
import torch
from architectures import VOCABULARY, tiny
from safetensors.torch import load_file, save_file
from torch import nn

from functok.models.language.capture import capture, residual_stream
from functok.models.language.generation import generate
from functok.models.language.hooks import HookPoint
from functok.models.language.model import load_model
from functok.runtime.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny("llama").save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def refusal(folder: Path, **named) -> str:
    with pytest.raises(UserError) as caught:
        load_model(str(folder), **named)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def change(folder: Path, edit) -> None:
    file = folder / "model.safetensors"
    weights = edit(load_file(file))
    save_file(weights, file, metadata={"format": "pt"})


def configure(folder: Path, **settings) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


@pytest.mark.parametrize("kind", ["bert", "camembert"])
def test_an_encoder_in_a_folder_is_refused(tmp_path: Path, kind: str) -> None:
    tiny(kind).save_pretrained(tmp_path / kind)
    assert "not a causal language model" in refusal(tmp_path / kind)


def test_an_adapter_beside_the_weights_is_refused_without_peft(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr("transformers.utils.import_utils.is_peft_available", lambda: False)
    load_model(str(folder))
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    assert "contains an adapter, adapter_config.json" in refusal(folder)
    (folder / "adapter_config.json").unlink()
    save_file({"a": torch.ones(2)}, folder / "adapters.safetensors")
    assert "contains an adapter, adapters.safetensors" in refusal(folder)


@pytest.mark.parametrize("method", ["gptq", "awq", "bitsandbytes", "hqq"])
def test_a_quantised_model_without_its_library_is_one_sentence(folder: Path, method: str) -> None:
    asked = {"quant_method": method, "bits": 4, "group_size": 32, "load_in_4bit": True}
    configure(folder, quantization_config=asked)
    refusal(folder)


def test_a_quantisation_that_transformers_passes_over_is_refused(folder: Path) -> None:
    configure(folder, quantization_config={"quant_method": "nope"})
    assert "'quant_method': 'nope'" in refusal(folder)


def test_what_config_json_asks_a_model_to_return_is_passed_over(folder: Path) -> None:
    plain = load_model(str(folder))
    configure(folder, return_dict=False, is_encoder_decoder=True, output_hidden_states=True)
    odd = load_model(str(folder))
    ids = torch.tensor([[3, 17, 4, 29]])
    assert torch.equal(residual_stream(odd, ids, 1), residual_stream(plain, ids, 1))
    assert generate(odd, [[3, 17, 4]], 3) == generate(plain, [[3, 17, 4]], 3)


def test_scales_of_a_quantisation_that_would_be_left_out_are_refused(folder: Path) -> None:
    name = "model.layers.1.self_attn.q_proj.weight_scale"
    change(folder, lambda weights: weights | {name: torch.ones(1)})
    assert f"such as {name}" in refusal(folder)


def test_other_weights_that_are_not_used_are_named(folder: Path, caplog) -> None:
    change(folder, lambda weights: weights | {"v_head.summary.weight": torch.ones(1, 16)})
    with caplog.at_level(logging.WARNING):
        load_model(str(folder))
    assert "1 weights that are not used, such as v_head.summary.weight" in caplog.text


def test_constants_of_older_checkpoints_are_no_news(folder: Path, caplog) -> None:
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    change(folder, lambda weights: weights | {name: torch.ones(4)})
    load_model(str(folder))
    assert "not used" not in caplog.text


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_weight_that_is_no_number_is_named(folder: Path, value: float) -> None:
    name = "model.layers.1.mlp.up_proj.weight"

    def spoil(weights: dict) -> dict:
        weights[name][3, 2] = value
        return weights

    change(folder, spoil)
    assert f"has values in {name} that are not finite" in refusal(folder)


def test_activations_that_overflow_are_refused() -> None:
    model = tiny("llama").half()
    with torch.no_grad():
        for part in ("up_proj", "gate_proj", "down_proj"):
            getattr(model.model.layers[1].mlp, part).weight.mul_(300)
    ids = torch.arange(6)[None] % VOCABULARY
    assert residual_stream(model, ids, 0).isfinite().all()
    remedy = r"hook_resid_post are not finite in torch\.float16; load it in float32 or bfloat16"
    with pytest.raises(UserError, match=remedy):
        residual_stream(model, ids, 1)
    with pytest.raises(UserError, match=r"losses are not finite in torch\.float16; load it in"):
        capture(model, ids, [HookPoint.residual(0)], targets=ids)
    with pytest.raises(UserError, match=r"layers\.1\.mlp are not finite"):
        capture(model, ids, [HookPoint.parse("layers.1.mlp")])


@pytest.mark.parametrize(
    "settings",
    [
        {"num_attention_heads": 0},
        {"num_attention_heads": "two"},
        {"intermediate_size": -5},
        {"hidden_size": "32"},
        {"rms_norm_eps": "x"},
        {"dtype": "float99"},
        {"pad_token_id": 10**9},
    ],
    ids=str,
)
def test_settings_that_make_no_model_are_one_sentence(folder: Path, settings: dict) -> None:
    configure(folder, **settings)
    refusal(folder)


@pytest.mark.parametrize("settings", [{"hidden_size": 10**9}, {"vocab_size": 10**12}], ids=str)
def test_sizes_that_the_weights_cannot_fill_are_refused(folder: Path, settings: dict) -> None:
    configure(folder, **settings)
    assert "but its weights have at most" in refusal(folder)


def test_an_attention_kernel_on_the_hub_is_not_run(folder: Path) -> None:
    configure(folder, attn_implementation="evil/kernel")
    assert "names an attention kernel on the hub, 'evil/kernel'" in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
@pytest.mark.parametrize("content", ["[]", "null", "[" * 100_000], ids=["list", "null", "deep"])
def test_settings_that_are_none_are_one_sentence(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    assert name in refusal(folder)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pytorch_model.bin", "never from pickled"),
        ("../other/model.safetensors", "in the model's own folder alone"),
        ("../../../../../../etc/passwd", "in the model's own folder alone"),
        ("gone.safetensors", "which is not there"),
    ],
)
def test_weights_are_read_from_safetensors_in_the_folder_alone(
    folder: Path, name: str, said: str
) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder.parent / "other").mkdir()
    (folder / "model.safetensors").rename(folder.parent / "other/model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, name)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert said in refusal(folder)


@pytest.mark.parametrize("named", [{"device": "cuda:9"}, {"device": "none"}, {"dtype": "float31"}])
def test_a_device_or_precision_that_is_not_there_is_one_sentence(folder: Path, named: dict) -> None:
    refusal(folder, **named)


def test_a_probe_neither_sees_nor_loses_hooks() -> None:
    from functok.models.language.probe import unhooked

    model, seen = tiny("llama"), []
    layer: nn.Module = model.model.layers[0]
    handle = layer.register_forward_hook(lambda *_: seen.append(1))
    with unhooked(model):
        model(torch.tensor([[1, 2]]))
    assert not seen
    model(torch.tensor([[1, 2]]))
    assert seen == [1]
    handle.remove()
    assert not layer._forward_hooks
