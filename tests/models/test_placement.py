"""Which device and which precision are chosen, with the accelerators of other machines."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from families import tiny
from torch import nn

from functok.models import placement
from functok.models.language.model import architecture, load_model, own_precision
from functok.models.placement import decide, device_of, parts_of, remedy, spread
from functok.runtime.errors import UserError
from functok.study.resources import Resources


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """A machine of so many GPUs, of NVIDIA's or of Apple's, which know these precisions."""

    def made(cuda: int = 0, built: bool = True, mps: bool = False, knows: str = "all") -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(
            torch.cuda, "get_device_properties", lambda index: SimpleNamespace(name="NVIDIA H200")
        )
        monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: built)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

        def ones(*shape: int, device: str, dtype: torch.dtype) -> torch.Tensor:
            if knows != "all" and str(dtype) != f"torch.{knows}":
                raise TypeError("BFloat16 is not supported on MPS")
            return torch.full(shape, 1.0)

        monkeypatch.setattr(placement.torch, "ones", ones)

    return made


def refusal(*asked: str, **named: str) -> str:
    with pytest.raises(UserError) as caught:
        decide(*asked, **named)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def test_auto_takes_cuda_then_apple_then_the_cpu(machine) -> None:
    machine(cuda=1, mps=True)
    assert decide(dtype="bfloat16").said == "cuda: NVIDIA H200, bfloat16"
    machine(mps=True)
    assert decide(dtype="float32").said == "mps: Apple's GPU, float32"
    machine()
    said = "cpu: torch finds no accelerator, float32 as the model's own"
    assert decide(own="float32").said == said


def test_what_was_asked_for_is_said_as_such(machine) -> None:
    machine(cuda=2)
    assert decide("cpu", dtype="float32").said == "cpu: as requested, float32"
    assert decide("cpu").said.startswith("cpu: as requested, the model's own precision")
    found = decide("cuda:1", "cpu", own="bfloat16")
    assert found.said == (
        "cuda:1: NVIDIA H200, bfloat16 as the model's own; SAEs on cpu; interventions in float32"
    )
    assert (found.device, found.sae_device, found.dtype) == ("cuda:1", "cpu", "bfloat16")
    assert found.recorded["interventions"] == "float32"
    assert json.loads(json.dumps(found.recorded)) == found.recorded


def test_models_are_changed_in_float32_unless_a_precision_was_asked_for(machine) -> None:
    machine()
    assert decide(own="bfloat16").exact == "float32"
    assert decide(own="float32").exact == "float32"
    assert decide().exact == "float32"
    assert decide(dtype="bfloat16", own="float32").exact == "bfloat16"


def test_products_follow_the_device_of_the_saes(machine) -> None:
    machine(cuda=2)
    assert decide().products == "tf32"
    assert decide("cuda", "cpu").products == "fp32"
    assert decide("cpu", "cuda:1").products == "tf32"
    assert decide("cpu").products == "fp32"


def test_a_device_that_is_not_there_is_one_sentence(machine) -> None:
    machine(cuda=2)
    assert refusal("cuda:7").startswith("There is no device cuda:7: the last that torch finds is ")
    assert "no device cuda:2" in refusal("cpu", "cuda:2")
    assert "torch finds no Apple GPU here" in refusal("mps")
    machine()
    assert "torch finds no CUDA device here, so there is no cuda" in refusal("cuda")
    machine(built=False)
    assert "This torch was built without CUDA, so there is no device cuda:1" in refusal("cuda:1")


def test_a_precision_that_the_device_lacks_is_one_sentence(machine) -> None:
    machine(mps=True, knows="float32")
    said = "mps cannot compute in bfloat16 (BFloat16 is not supported on MPS); give --dtype float32"
    assert refusal(dtype="bfloat16").startswith(said)
    assert refusal(own="bfloat16").startswith(said)
    assert decide(dtype="float32", own="bfloat16").device == "mps"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_this_machine_computes_in_every_precision(dtype: str) -> None:
    assert decide("cpu", dtype=dtype).dtype == dtype


def test_a_name_that_is_no_device_is_refused_before_torch_is_asked() -> None:
    for name in ("gpu", "cuda:", "cuda:x", "cpu:0", ""):
        with pytest.raises(UserError, match=r"--device .* is not a device; give auto, cpu, cuda"):
            Resources(device=name)
        with pytest.raises(UserError, match=r"--sae-device .* is not a device"):
            Resources(sae_device=name)


def test_rays_tasks_take_the_accelerator_that_ray_gives_them(machine) -> None:
    machine(cuda=2)
    assert Resources().placement().device == "cuda"
    assert Resources(cluster="ray").placement().device == "cuda"
    for one in ({"device": "cuda:1"}, {"sae_device": "cuda:1"}):
        with pytest.raises(UserError, match="GPU of its own; give cuda in place of cuda:1"):
            Resources(cluster="ray", **one)


def test_a_model_is_spread_where_the_first_device_does_not_hold_it(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (1000 * (index + 1), 9999))
    assert spread(800) is None
    found = spread(801)
    assert found is not None
    assert (found[0], found[1]) == (800, 1600)
    assert found["cpu"] > 0


def test_a_spread_model_computes_what_the_whole_one_does(tmp_path: Path, monkeypatch) -> None:
    sizes = []

    def room(size: int) -> dict[int | str, int]:
        sizes.append(size)
        return {"cpu": 1 << 30}

    monkeypatch.setattr("functok.models.language.model.spread", room)
    tiny("Llama").save_pretrained(tmp_path)
    whole, found = load_model(str(tmp_path)), load_model(str(tmp_path), device="cuda")
    assert sizes == [4 * sum(weight.numel() for weight in whole.parameters())]
    ids = torch.tensor([[3, 5, 8, 1]])
    torch.testing.assert_close(found(ids).logits, whole(ids).logits)
    assert load_model(str(tmp_path), device="cpu").device == torch.device("cpu")
    assert len(sizes) == 1, "nothing is weighed where the device is said"


def test_the_parts_of_a_spread_model_are_named() -> None:
    assert parts_of(SimpleNamespace()) is None
    assert parts_of(SimpleNamespace(hf_device_map={"": 0})) is None
    said = parts_of(SimpleNamespace(hf_device_map={"a": 0, "b": 1, "c": 1, "d": "cpu"}))
    assert said == "The model does not fit on one device: its parts are on cuda:0, cuda:1, cpu."


def test_ids_go_where_the_embeddings_are_computed() -> None:
    from accelerate import cpu_offload

    model: nn.Module = tiny("Llama")
    assert device_of(model) == torch.device("cpu")
    cpu_offload(model, execution_device=torch.device("cpu"))
    assert next(model.parameters()).device.type == "meta"
    assert device_of(model) == torch.device("cpu")


def test_the_precision_that_a_configuration_states(tmp_path: Path) -> None:
    tiny("Llama").bfloat16().save_pretrained(tmp_path)
    assert own_precision(architecture(str(tmp_path))) == "bfloat16"
    config = tmp_path / "config.json"
    stated = json.loads(config.read_text())
    config.write_text(json.dumps({key: stated[key] for key in stated if "dtype" not in key}))
    assert own_precision(architecture(str(tmp_path))) is None
    assert load_model(str(tmp_path)).dtype == torch.bfloat16, "as the weights are"
    assert load_model(str(tmp_path), dtype="float32").dtype == torch.float32


def test_what_overflows_has_a_remedy() -> None:
    assert remedy(torch.float16).startswith("load it in float32 or bfloat16")
    assert remedy(torch.bfloat16).startswith("load it in float32 (")
    assert remedy(torch.float32) == "give another checkpoint"
