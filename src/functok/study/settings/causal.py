"""The causal experiments: which facts, and what is patched."""

from typing import Annotated, Literal

from pydantic import Field

from functok.study.settings.part import Count, Layer, Part


class PatchingPart(Part):
    """Activation patching of the facts that the model knows."""

    layers: tuple[Layer, ...] = ()
    """Layers after which the residual stream is patched; none: every third, and the last."""
    fillers: tuple[str, str] | None = None
    """A function and a content token that are put after the last one, such as [" the", " word"];
    null: the first of a short list that are one token each."""


class FactsPart(Part):
    """Facts that the model is asked, in frames that end in tokens of different classes."""

    load: str | None = None
    """A file or folder of facts (``docs/facts.md``); null: those that come with functok."""
    frames: str | None = None
    """A frame file; it replaces the frames of the relations that it names."""
    examples: Annotated[int, Field(ge=0, le=100)] = 3
    """Examples before each question, in its own frame."""
    per_class: Count | None = None
    """Frames of each class that are drawn for a relation; null: all."""
    rule: Literal["top", "best"] = "top"
    """When a prompt is answered: if the right token is the most probable one, or the best of its
    relation's answers."""
    patched: Count | None = 150
    """Facts of the experiments at most, drawn at random from those known; null: all of them."""
    patching: PatchingPart = PatchingPart()
