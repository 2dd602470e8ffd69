"""How a killed run continues bit for bit: weights, both moments of AdamW, and the metrics so far.

    state/step-000200/
    ├── share-00000.safetensors   weights and moments: one file, or one per share of the model
    ├── metrics.parquet
    └── state.json                written last: without it the state does not count

The two newest states are kept, so that one truncated by a failing disk costs only the steps since
the one before. The order of windows is not saved: it follows from the seed and the step.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from functok.models.language.model import Model
from functok.models.training.metrics import Ledger
from functok.models.training.processes import Alone, own
from functok.runtime.errors import UserError, first_line
from functok.runtime.progress import Progress
from functok.runtime.store import (
    read_json,
    read_table,
    regular,
    remove_folder,
    write_json,
    write_table,
    writing,
)

_MOMENTS = ("exp_avg", "exp_avg_sq")
_KEPT = 2


@dataclass(frozen=True)
class State:
    """The states of one run, in a folder of their own."""

    folder: Path
    processes: Alone

    def keep(
        self, model: Model, optimizer: torch.optim.Optimizer, ledger: Ledger, step: int
    ) -> None:
        """Keep the run as it is after ``step`` updates; all processes call."""
        place = self.folder / f"step-{step:06d}"
        if self.processes.rank == 0:
            for old in _newest_first(self.folder)[_KEPT - 1 :]:
                remove_folder(old)
            remove_folder(place)  # of a run that was killed while it kept its state
        self.processes.wait()
        if self.processes.rank == 0 or self.processes.shared:
            tensors = {}
            for name, weight in model.named_parameters():
                tensors[f"weight.{name}"] = own(weight.detach())
                for moment in _MOMENTS:
                    tensors[f"{moment}.{name}"] = own(optimizer.state[weight][moment])
            with writing(place / self._share()) as temporary:
                save_file(tensors, temporary)
        self.processes.wait()
        if self.processes.rank == 0:
            write_table(place / "metrics.parquet", ledger.table())
            shares = self.processes.count if self.processes.shared else 1
            write_json(place / "state.json", {"step": step, "shares": shares})

    def resume(
        self, model: Model, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> tuple[int, Ledger]:
        """Put the newest whole state back; the step it was kept at, and the metrics until then.

        Raises:
            UserError: if it was kept by another number of shares, or no state is whole.
        """
        states, problem = _newest_first(self.folder), ""
        for place in states:
            loaded, problem = self._load(place, [name for name, _ in model.named_parameters()])
            damaged = torch.tensor(int(loaded is None), device=self.processes.device)
            if self.processes.sum(damaged) == 0:
                assert loaded is not None
                step, tensors, ledger = loaded
                self._put_back(model, optimizer, step, tensors)
                return step, ledger
            progress.say(f"  The state in {place} is incomplete ({problem}) and is skipped.")
        if states:
            raise UserError(
                f"No state in {self.folder} is complete ({problem}); delete that folder and run "
                "the same command again to train from the beginning."
            )
        return 0, Ledger()

    def _share(self) -> str:
        return f"share-{self.processes.rank if self.processes.shared else 0:05d}.safetensors"

    def _load(
        self, place: Path, names: Iterable[str]
    ) -> tuple[tuple[int, dict[str, Tensor], Ledger] | None, str]:
        try:
            found = read_json(place / "state.json")
            shares = self.processes.count if self.processes.shared else 1
            step, saved = int(found["step"]), int(found["shares"])
            share = place / self._share()
            tensors = load_file(share) if regular(share) else {}
            missing = {f"weight.{name}" for name in names} - tensors.keys()
            if missing:
                return None, f"{share.name} lacks {min(missing)}"
            ledger = Ledger.of(read_table(place / "metrics.parquet"))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            return None, first_line(error)
        if saved != shares:
            raise UserError(
                f"The run was saved by {saved} processes that shared the model, and "
                f"is to continue with {shares}; launch the same number as before."
            )
        return (step, tensors, ledger), ""

    def _put_back(
        self, model: Model, optimizer: torch.optim.Optimizer, step: int, tensors: dict[str, Tensor]
    ) -> None:
        fused = optimizer.defaults.get("fused")
        with torch.no_grad():
            for name, weight in model.named_parameters():
                own(weight).copy_(tensors[f"weight.{name}"])
                moments = {moment: torch.zeros_like(weight) for moment in _MOMENTS}
                for moment, zeros in moments.items():
                    own(zeros).copy_(tensors[f"{moment}.{name}"])
                count = torch.tensor(float(step), device=weight.device if fused else "cpu")
                optimizer.state[weight] = {"step": count, **moments}


def newest_step(folder: Path) -> int:
    """The step of the newest state in ``folder``; 0 without one."""
    return max(
        (int(place.name.removeprefix("step-")) for place in _newest_first(folder)), default=0
    )


def _newest_first(folder: Path) -> list[Path]:
    """Whole states by falling step (numbers outgrow their six digits)."""
    found = [mark.parent for mark in folder.glob("step-*/state.json")]
    return sorted(found, key=lambda place: (len(place.name), place.name), reverse=True)
