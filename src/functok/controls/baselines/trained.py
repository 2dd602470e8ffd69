"""The graph that baselines are compared with, and how it was made."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from functok.encoding.contexts import RowFormat
from functok.encoding.tokenizer import Encoded
from functok.graph.construction.shards import MEMORY
from functok.models.dictionaries.settings import FittedSettings
from functok.models.exclusions import Exclusions
from functok.models.language.hooks import HookPoint
from functok.models.language.model import Model, load_model
from functok.models.placement import Placement


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The graph that baselines are compared with, and how it was made."""

    key: str
    """Fingerprint of model (with its start), SAE, documents and settings."""
    model: str
    revision: str | None = None
    start: tuple[str, str | None] | None = None
    """Model and revision of the run's step 0, where there is one."""
    sae: str
    """See ``models/dictionaries/sources.py``."""
    norm_factor: float | None = None
    """What its inputs are multiplied by; None: what its files say."""
    hook: HookPoint
    recipe: FittedSettings | None
    """The SAE's training recipe; None if it is unknown."""
    training: Encoded | None
    """Documents on which the baselines' own SAEs are trained; None if there are none for that."""
    encoded: Encoded
    """Documents of the graph."""
    sample: Path | None = None
    """Activations on which the SAE was trained, if they were kept: ``activations`` [positions,
    d_model] in a safetensors file."""
    row_format: RowFormat
    exclusions: Exclusions
    seed: int
    placement: Placement = field(default_factory=Placement)
    """Where models and SAEs are, and in which precision."""
    memory: int = MEMORY
    quality_tokens: int = 4_096
    """Tokens on which each baseline's SAE is evaluated."""
    recorded: dict[str, Any] = field(default_factory=dict)
    """Further entries of each baseline's ``meta.json``, such as the paths of model and SAE."""

    def loaded(self, model: str, revision: str | None) -> Model:
        """A model, in the place and the precision of the trained one."""
        return load_model(model, revision, self.placement.device, self.placement.dtype)
