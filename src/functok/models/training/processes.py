"""The processes of a training run: one, several with a copy of the model each, or several with
shards.

``accelerate`` connects the processes and copies the model (DDP). Sharding (FSDP2) uses torch's
``fully_shard`` directly: accelerate silently falls back to copies on CPUs, so its sharding could
not be tested without a GPU. All processes see the same windows per update, so their number changes
the losses only by rounding.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from functok.models.language.model import Model, decoder_layers
from functok.runtime.errors import require


class Alone:
    """Those who train together: here one process."""

    rank: int = 0
    """Which of them this is; 0 writes and speaks."""
    count: int = 1
    """How many they are."""
    shared = False
    """Whether each holds only a share of the weights."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        """Where this one computes."""

    def prepare(self, objective: nn.Module, model: Model, precision: torch.dtype) -> nn.Module:
        """The objective as it is to be called: its gradients are means over all processes."""
        return objective

    def accumulating(self, module: nn.Module, last: bool) -> AbstractContextManager:
        """Around a part of an update; gradients travel at the last."""
        return nullcontext()

    def sum(self, tensor: Tensor) -> Tensor:
        """Over all processes."""
        return tensor

    def wait(self) -> None:
        """For all others."""

    def whole(self, model: Model) -> Model:
        """The model with all its weights, on rank 0."""
        return model


class Copies(Alone):
    """Several processes, each with a copy of the model: DDP through accelerate."""

    def __init__(self, accelerator: Any) -> None:
        super().__init__(accelerator.device)
        self.accelerator = accelerator
        self.rank, self.count = accelerator.process_index, accelerator.num_processes

    def prepare(self, objective: nn.Module, model: Model, precision: torch.dtype) -> nn.Module:
        return self.accelerator.prepare(objective)

    def accumulating(self, module: nn.Module, last: bool) -> AbstractContextManager:
        return nullcontext() if last else self.accelerator.no_sync(module)

    def sum(self, tensor: Tensor) -> Tensor:
        torch.distributed.all_reduce(tensor)
        return tensor

    def wait(self) -> None:
        self.accelerator.wait_for_everyone()


class Shares(Copies):
    """Several processes that share the weights, their gradients and their moments out: FSDP2."""

    shared = True

    def prepare(self, objective: nn.Module, model: Model, precision: torch.dtype) -> nn.Module:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

        self._kind = type(model)
        mesh = init_device_mesh(self.device.type, (self.count,))
        policy = MixedPrecisionPolicy(param_dtype=precision, reduce_dtype=torch.float32)
        for layer in decoder_layers(model):
            fully_shard(layer, mesh=mesh, mp_policy=policy)
        # The rest, embeddings and head, are together for as long as the objective is computed.
        fully_shard(objective, mesh=mesh, mp_policy=policy)
        return objective

    def accumulating(self, module: nn.Module, last: bool) -> AbstractContextManager:
        module.set_requires_gradient_sync(last)  # type: ignore[operator]
        return nullcontext()

    def whole(self, model: Model) -> Model:
        weights = {}
        for name, weight in model.named_parameters():
            full = weight.full_tensor().cpu()  # all take part; rank 0 keeps it
            if self.rank == 0:
                weights[name] = full
        if self.rank > 0:
            return model
        with torch.device("meta"):
            whole = self._kind(model.config)
        whole.load_state_dict(weights, strict=False, assign=True)
        whole.tie_weights()
        return whole


def together(sharded: bool, device: str = "cpu") -> Alone:
    """As many processes as were launched (``accelerate launch`` or ``torchrun``); one if none were.

    Args:
        sharded: whether they share the model out.
        device: where one process alone computes; each of several takes a device of that kind.

    Raises:
        UserError: if one process is to share the model out.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        require(
            not sharded,
            "A sharded model needs several processes: launch them with accelerate launch or "
            "torchrun, or set sharded to false.",
        )
        return Alone(device)
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=device == "cpu")
    return Shares(accelerator) if sharded else Copies(accelerator)


def own(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor  # type: ignore[operator]


def everywhere(tensor: Tensor) -> Tensor:
    """A tensor put together from all shares; every process calls."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor  # type: ignore[operator]
