"""A tracker for accelerate that remembers what it is told."""

from typing import Any

from accelerate.tracking import GeneralTracker, on_main_process


class Notebook(GeneralTracker):
    """A tracker as users write their own."""

    name = "notebook"
    requires_logging_directory = False

    def __init__(self) -> None:
        super().__init__()
        self.config: dict[str, Any] = {}
        self.finished = False
        self.seen: list[tuple[int | None, dict[str, Any]]] = []

    @property
    def tracker(self) -> "Notebook":
        return self

    @on_main_process
    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.config = values

    @on_main_process
    def log(self, values: dict[str, Any], step: int | None = None, **options: Any) -> None:
        self.seen.append((step, dict(values)))

    @on_main_process
    def finish(self) -> None:
        self.finished = True
