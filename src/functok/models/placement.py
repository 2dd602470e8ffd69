"""Where a model and its SAEs are, and in which precision: decided here alone, and said in one line.

    cuda: NVIDIA H200, bfloat16
    cpu: torch sees no accelerator, float32 as the model's own

``auto`` takes CUDA, then Apple's GPU, then the CPU. A device that is not there, or does not know
the precision, is refused before anything is loaded. A model that exceeds the free memory of
``cuda`` is spread over all devices by accelerate, whose hooks carry hidden states from part to
part; a device with a number is taken as said.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch

from functok.runtime.errors import outside, require
from functok.runtime.memory import available

SHARE = 0.8
"""Of a device's free memory, for the weights of a model that is spread; the rest is for SAEs and
for what is computed."""


@dataclass(frozen=True)
class Placement:
    """Where a model and its SAEs are, and in which precision."""

    device: str = "cpu"
    """Of the model: cpu, cuda, cuda:1 or mps."""
    sae_device: str = "cpu"
    """Likewise. SAEs are in float32."""
    dtype: str = "auto"
    """Of the model: float32, bfloat16 or float16; ``auto`` is that of weights whose configuration
    does not say."""
    asked: bool = False
    """Whether that precision was asked for; else it is the model's own."""
    why: str = "as requested"
    """What decided the device, or its name."""

    @property
    def exact(self) -> str:
        """The precision in which the model is changed while it runs: float32, unless another was
        asked for. An effect of a few hundredths of a nat is lost in the rounding of bfloat16."""
        return self.dtype if self.asked else "float32"

    @property
    def products(self) -> Literal["fp32", "tf32"]:
        """Precision of the SAEs' products by default: a GPU of NVIDIA's has cores for TF32."""
        return "tf32" if self.sae_device.startswith("cuda") else "fp32"

    @property
    def recorded(self) -> dict[str, Any]:
        """What a step that ran the model keeps."""
        return {**vars(self), "interventions": self.exact}

    @property
    def said(self) -> str:
        """One line for people."""
        own = "" if self.asked else " as the model's own"
        kind = "the model's own precision" if self.dtype == "auto" else f"{self.dtype}{own}"
        saes = "" if self.sae_device == self.device else f"; SAEs on {self.sae_device}"
        exact = "" if self.exact == self.dtype else f"; interventions in {self.exact}"
        return f"{self.device}: {self.why}, {kind}{saes}{exact}"


def decide(
    device: str = "auto", sae_device: str | None = None, dtype: str = "auto", own: str | None = None
) -> Placement:
    """Where a model and its SAEs go.

    Args:
        device: of the model: auto, cpu, cuda, cuda:1 or mps.
        sae_device: of the SAEs; by default the model's.
        dtype: asked for the model; ``auto`` is its own.
        own: the model's own precision, as far as it is known.

    Raises:
        UserError: if a device is not there, or does not know the precision.
    """
    chosen, why = _found(device)
    saes = chosen if sae_device is None else _found(sae_device)[0]
    kind = (own or "auto") if dtype == "auto" else dtype
    if kind != "auto":
        check_precision(chosen, kind)
    return Placement(chosen, saes, kind, dtype != "auto", why)


def _found(asked: str) -> tuple[str, str]:
    """A device, and what decided on it, or its name.

    Raises:
        UserError: if it is not there.
    """
    if asked == "auto":
        cuda, apple = torch.cuda.is_available(), torch.backends.mps.is_available()
        if not cuda and not apple:
            return "cpu", "torch finds no accelerator"
        asked = "cuda" if cuda else "mps"
    kind, _, number = asked.partition(":")
    advice = "give --device cpu, or auto"
    if kind == "cuda":
        require(
            torch.backends.cuda.is_built(),
            f"This torch was built without CUDA, so there is no device {asked}; install one built "
            f"with it, or {advice}.",
        )
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        require(count > 0, f"torch finds no CUDA device here, so there is no {asked}; {advice}.")
        index = int(number or 0)
        require(
            index < count,
            f"There is no device {asked}: the last that torch finds is cuda:{count - 1}; give "
            "--device cuda, or one of these.",
        )
        return asked, torch.cuda.get_device_properties(index).name
    if kind == "mps":
        require(
            torch.backends.mps.is_available(),
            f"torch finds no Apple GPU here, so there is no device mps; {advice}.",
        )
        return asked, "Apple's GPU"
    return asked, "as requested"


def check_precision(device: str, dtype: str) -> None:
    """Refuse a precision in which ``device`` cannot compute: it is tried.

    Raises:
        UserError: naming both.
    """
    with outside(
        f"{device} cannot compute in {dtype}",
        "give --dtype float32, which is model.dtype in a study, or another device",
    ):
        one = torch.ones(1, 1, device=device, dtype=getattr(torch, dtype))
        float(one @ one)


def spread(size: int) -> dict[int | str, int] | None:
    """Bytes that every device may hold of a model of ``size``; None where the first holds it."""
    free: dict[int | str, int] = {
        index: int(SHARE * torch.cuda.mem_get_info(index)[0])
        for index in range(torch.cuda.device_count())
    }
    return None if size <= free[0] else free | {"cpu": int(SHARE * available())}


def device_of(model: Any) -> torch.device:
    """Where a model takes its ids.

    accelerate keeps weights that are waiting elsewhere on the ``meta`` device; its hook knows where
    they are computed with.
    """
    hook = getattr(model.get_input_embeddings(), "_hf_hook", None)
    place = getattr(hook, "execution_device", None)
    return model.device if place is None else torch.device(place)


def parts_of(model: Any) -> str | None:
    """On which devices a model was spread, in one sentence; None where it is on one."""
    places = [str(place) for place in getattr(model, "hf_device_map", {}).values()]
    named = [f"cuda:{place}" if place.isdecimal() else place for place in dict.fromkeys(places)]
    if len(named) < 2:
        return None
    return f"The model does not fit on one device: its parts are on {', '.join(named)}."


def remedy(dtype: torch.dtype) -> str:
    """What to do where numbers overflow in ``dtype``; a clause."""
    if dtype == torch.float16:
        return "load it in float32 or bfloat16 (--dtype, or model.dtype in a study)"
    if dtype == torch.bfloat16:
        return "load it in float32 (--dtype, or model.dtype in a study)"
    return "give another checkpoint"
