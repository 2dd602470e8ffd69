"""The causal experiments: which facts, what is patched, removed, read off and ablated."""

from typing import Annotated, Literal

from pydantic import Field

from functok.study.settings.part import MOST, Count, Layer, Part


class PatchingPart(Part):
    """Activation patching of the facts that the model knows."""

    layers: tuple[Layer, ...] = ()
    """Layers after which the residual stream is patched; none: every third, and the last."""
    fillers: tuple[str, str] | None = None
    """A function and a content token that are put after the last one, such as [" the", " word"];
    null: the first of a short list that are one token each."""


class KnockoutPart(Part):
    """Attention knockout of the facts that the model knows."""

    later: Count | None = None
    """Facts of which edges from all positions after the subject are removed, too; null: only those
    from the last position are."""


class ProbesPart(Part):
    """Linear probes for the answer at single positions."""

    layers: tuple[Layer, ...] = ()
    """Layers after which the residual stream is read; none: every third, and the last."""


class AblationPart(Part):
    """The traced features ablated: those of the prompts of ``trace``, and of other text."""

    prompts: Annotated[int, Field(ge=0, le=MOST)] = 24
    """Beginnings of held-out documents, drawn by hash, beside the prompts of ``trace``."""
    random: Count = 4
    """Random directions of equal norm for each feature and place."""


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
    knockout: KnockoutPart = KnockoutPart()
    probes: ProbesPart | None = None
    """Whether the answer can be read off single positions; null: not measured. ``probes: {}`` takes
    the defaults."""
