"""The model and its SAEs."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from functok.models.dictionaries.settings import DictionarySettings
from functok.models.training.settings import LlamaShape, TrainingSettings
from functok.runtime.gguf import is_gguf
from functok.study.settings.part import Layer, Part, Seed

MOST_SEEDS = 100
"""Of one entry."""


class ModelPart(Part):
    """The model: pre-trained here, or published checkpoints."""

    load: str | None = None
    """A causal LM's folder or its name on the hub, or a GGUF file, which is dequantised into the
    run folder; without it one is pre-trained."""
    revision: str | None = None
    """The one revision of a loaded model on the hub."""
    revisions: tuple[str, ...] = ()
    """Checkpoints of a loaded model: revisions on the hub, or subfolders."""
    shape: LlamaShape = LlamaShape()
    training: TrainingSettings = TrainingSettings()
    context: Annotated[int, Field(ge=2)] | None = None
    """Positions per row when a loaded model is measured; null: 1,024, or its maximum.
    A model trained here uses its own."""
    row_start: str = "auto"
    """What a loaded model's rows begin with: a token, or ``none``. ``auto`` tries what may have
    stood before a document in training. The rows of a model trained here begin as in training."""
    overlap: Annotated[int, Field(ge=0)] | None = None
    """Tokens that a long document's next row repeats as context alone; null: a quarter of the
    context."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of a loaded model; ``auto`` is its own, and float32 where it is steered."""

    @model_validator(mode="after")
    def _consistent(self) -> "ModelPart":
        if self.revision is not None and self.revisions:
            raise ValueError("give revision or revisions, not both")
        if is_gguf(self.load or "") and (self.revision is not None or self.revisions):
            raise ValueError("a GGUF file has no revisions; omit revision and revisions")
        if self.load is None and (self.revision is not None or self.revisions):
            raise ValueError("a model trained here has no revisions; name one with load")
        if self.load is None and self.row_start != "auto":
            raise ValueError(
                "row_start is for loaded models; rows of a model trained here start as in training"
            )
        return self


def _factor(value: Any) -> Any:
    """Checked here, since of a union pydantic would name its own parts."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value not in (None, "auto") and not (number and 0 < value < float("inf")):
        raise ValueError("give auto, or a positive number")
    return value


class DictionaryPart(Part):
    """SAEs of one kind: one for each chosen checkpoint, at one place of the model."""

    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$")] = "main"
    """Names its folders: dictionaries/<name> and graph/<name>."""
    load: str | None = None
    """A published SAE: a folder, a file, or release/sae_id (``docs/graph.md``). Among several
    checkpoints, ``{checkpoint}`` stands for the checkpoint's own revision or folder name."""
    layer: Layer | None = None
    """Decoder layer that is decomposed, from 0; null: the middle one, or what a loaded SAE says."""
    site: (
        Literal["resid_post", "resid_pre", "resid_mid", "attn_out", "mlp_out", "mlp_in", "z"] | None
    ) = None
    """What is decomposed there; null: the residual stream after the layer, or what a loaded SAE
    says."""
    norm_factor: Annotated[float | Literal["auto"] | None, BeforeValidator(_factor)] = None
    """What a loaded SAE's inputs were multiplied by in training; ``auto`` measures it on the probe,
    null takes what its files say."""
    checkpoints: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Steps whose checkpoints are decomposed; none: all of a loaded model's, else the last."""
    recipe: DictionarySettings | None = None
    """How SAEs are trained; of a loaded one, how those of its baselines are."""
    seed: Seed = 0
    """Of its training, added to the study's. ``seeds: 3`` in its place stands for three entries:
    NAME, NAME-seed-1 and NAME-seed-2."""
    quality_tokens: Annotated[int, Field(ge=0)] = 4_096
    """Held-out tokens on which quality is measured, drawn by hash; 0 measures none."""

    def layer_in(self, model: Any) -> int:
        """The layer of an SAE that is trained here: the study's, or the model's middle one."""
        from functok.models.language.layers import middle_layer

        return middle_layer(model) if self.layer is None else self.layer

    def place_in(self, model: Any) -> Any:
        """The hook point of an SAE that is trained here."""
        from functok.models.language.hooks import HookPoint

        return HookPoint.at(self.layer_in(model), self.site or "resid_post")

    @model_validator(mode="before")
    @classmethod
    def _trained(cls, content: Any) -> Any:
        """An SAE that is trained here has a recipe."""
        if not isinstance(content, dict) or content.get("load") is not None:
            return content
        return {**content, "recipe": content.get("recipe") or {}}

    @model_validator(mode="after")
    def _consistent(self) -> "DictionaryPart":
        if self.load is not None and self.seed:
            raise ValueError("a loaded SAE has no seed; seed is for SAEs trained here")
        if self.load is None and self.norm_factor is not None:
            raise ValueError(
                "an SAE trained here has no norm factor; norm_factor is for loaded SAEs"
            )
        return self


def by_seed(content: Any) -> list[Any]:
    """An entry as it stands in a file; one with several seeds as an entry for each.

    Raises:
        ValueError: if it names no number of seeds.
    """
    if not isinstance(content, dict) or "seeds" not in content:
        return [content]
    rest = {name: value for name, value in content.items() if name != "seeds"}
    seeds, name = content["seeds"], rest.get("name", "main")
    if type(seeds) is not int or not 1 <= seeds <= MOST_SEEDS or "seed" in rest:
        raise ValueError(f"seeds must be a whole number from 1 to {MOST_SEEDS}, in place of seed")
    others = ({**rest, "name": f"{name}-seed-{seed}", "seed": seed} for seed in range(1, seeds))
    return [rest, *others]
