"""What ``functok graph`` was asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Request:
    """A graph of any model, SAE and corpus, as the command line has it."""

    model: str
    revision: str | None
    saes: tuple[str, ...]
    layers: tuple[int, ...]
    sites: tuple[str, ...]
    corpus: str
    tokenizer: str | None
    documents: int | None
    max_tokens: int | None
    context: int | None
    memory: int
    occurrences: int
    massive: float
    dense: float
    with_loss: bool
    seed: int
    dtype: str
    device: str
    sae_device: str | None
    precision: Literal["fp32", "tf32", "bf16"] | None
    engine: str
    address: str | None
    workers: int
    output: Path | None
