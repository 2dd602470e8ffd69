"""What is measured: the graph, its controls, traces, steering, and the tiny world."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from functok.controls.names import BASELINE_NAMES, CONTROL_NAMES
from functok.retrieval.prompts.lines import prompts_in
from functok.runtime.errors import check_name
from functok.runtime.paths import user_path
from functok.runtime.sizes import in_bytes
from functok.study.settings.part import Count, Layer, Part

Size = Annotated[
    int,
    Field(ge=0),
    BeforeValidator(
        lambda size: in_bytes(size, "graph.occurrences") if isinstance(size, str) else size
    ),
]

_from_file = BeforeValidator(
    lambda given: prompts_in(user_path(given)) if isinstance(given, str) else given
)
Prompts = Annotated[tuple[str, ...], Field(min_length=1), _from_file]


class GraphPart(Part):
    """The token–feature graph, and the count of features that fire."""

    tokens: Count | None = 60_000
    """Tokens of the graph's text, drawn by hash, the same at every checkpoint; null: no limit."""
    documents: Count | None = None
    """Documents of that text at most."""
    massive: Annotated[float, Field(ge=0)] = 5.0
    """Leave out positions whose residual norm exceeds this many times the median (massive
    activations): here, in SAE training and quality, losses and re-activation; 0 disables."""
    dense: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Drop features active at more than this share of the positions; 1 disables."""
    occurrences: Size | None = None
    """Largest occurrence store that is kept, in bytes or as 4g; null keeps any, 0 none."""
    with_loss: bool = False
    """Whether the whole model is run, and each token's loss kept in the occurrence store."""
    precision: Literal["fp32", "tf32", "bf16"] | None = None
    """Of the SAEs' matrix products; null: tf32 on a GPU, else fp32."""


class LossesPart(Part):
    """The loss by transition group."""

    tokens: Count | None = 20_000
    """Held-out tokens, drawn by hash, the same at every checkpoint; null: all of them."""
    gradients: Count | None = None
    """Held-out tokens on which the gradient by transition group is measured, at about ten times the
    cost of their loss; null: none."""
    reference: str | None = None
    """A larger or longer trained model with the same tokenizer, a folder or a name on the hub,
    whose loss is a third floor; null: none."""
    targets: tuple[str, ...] = ()
    """Single tokens, each with its leading blank, whose loss as targets is followed, as in the
    paper's Figure 9c: [" the", " of", ","]."""
    entropy: Count | None = None
    """Held-out tokens at which the last checkpoint's uncertainty and massive activations are
    measured, by class; null: none."""
    predictions: Annotated[tuple[str, ...], _from_file] = ()
    """Prompts of which each checkpoint predicts every next token, as in the paper's Figure 10; or a
    text file with one per line, which is read into the run's own study."""


class ControlsPart(Part):
    """Is it frequency? What the graph's degrees and coverage are compared with."""

    of: tuple[str, ...] = ()
    """SAEs, by name, that get controls and baselines; none: the first alone."""
    only: tuple[str, ...] = ()
    """Which controls are run, by name; none: all (``functok controls --help`` lists them)."""
    unit: Literal["documents", "occurrences"] = "documents"
    """One exposure of a token: a document, by one occurrence in it, or every occurrence."""
    exposure: Count | None = None
    """Exposures at which token types are compared; none: 20."""
    treebank: str | None = None
    """The .conllu file or folder that the corpus's text comes from, so that each occurrence has its
    part of speech; none: the first of tokens.treebanks."""
    baselines: tuple[str, ...] = ("reinitialised", "step-0", "shuffled-document", "frozen-decoder")
    """Baselines of the last graph, each with its own graph: see ``functok.controls.baselines``;
    with none, [], it is undecided whether the gap is learned."""

    @field_validator("only")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            check_name("control", name, CONTROL_NAMES)
        return names

    @field_validator("baselines")
    @classmethod
    def _known_baselines(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            check_name("baseline", name, BASELINE_NAMES)
        return names


class TracePart(Part):
    """Which token of a prompt activates which feature."""

    prompts: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "The cat sat on the mat, and the cat",
    )
    features: Count | Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = 16
    """Features shown: their numbers, or how many, those that vary most within the prompt."""
    chat: bool = False
    """Whether a prompt is a user's turn, rendered by the tokenizer's chat template."""


class ConditionPart(Part):
    """One row of a grid: features added together."""

    name: str
    """Such as ``Speak Chinese``."""
    features: dict[int, float]
    """Strength by feature, in the grid's unit."""
    success: str | None = None
    """When an answer counts as a success: ``language:zh``, or ``Moscow|Russia``."""


class GridPart(Part):
    """Prompts × conditions, as in the paper's Figures 7 and 11."""

    prompts: tuple[str, ...] = ()
    conditions: tuple[ConditionPart, ...] = ()
    """None: there is no grid."""
    at: str = "last-function"
    """Where features are added, see ``functok.retrieval.prompts.positions``."""
    unit: Literal["activation", "maximum", "norm"] = "norm"
    """Unit of strengths: activation (the paper's α), the feature's largest activation in the
    corpus, or the residual norm."""
    generated: Count = 16
    """Tokens of each answer."""
    chat: bool = False
    """Whether a prompt is a user's turn, rendered by the tokenizer's chat template."""


class ClassesPart(Part):
    """Steering after a function token compared with steering after a content token (P7)."""

    pairs: Count = 128
    """Documents, each cut after one token of either class."""
    features: Count = 96
    """Features steered, drawn as for ``steer.features``; as many others set the strength."""


class SteerPart(Part):
    """Features added at the last function token."""

    features: Count = 24
    """Features steered, chosen at random among those neither rare nor dense."""
    prompts: Count = 64
    """Prompts, the beginnings of held-out documents."""
    tokens: Count | None = 30_000
    """Held-out tokens, drawn by hash from other documents than the prompts', that say what follows
    a feature; null: all of them."""
    strength: Annotated[float, Field(gt=0)] | None = None
    """Norm of what is added, as a share of the residual norm at the position; null: the share, 1 at
    most, at which a random direction has a KL of 1 nat (``functok.retrieval.steering.strength``).
    """
    shown: str = "The cat sat on the mat, and the"
    """The prompt with a continuation in the report."""
    generated: Count = 24
    """Tokens of that continuation."""
    classes: ClassesPart | None = None
    """Whether a function token is the better place; null: not measured. ``classes: {}`` takes the
    sizes that find a gain of .22 nats: 49,000 trials."""
    grid: GridPart = GridPart()
    """Named conditions on prompts of your own."""


class TraitPart(Part):
    """A trait whose feature is searched for, as in the paper's App. A."""

    name: Annotated[str, Field(min_length=1)]
    """Such as ``Speak Chinese``."""
    prompt: str
    """A prompt that asks for it."""
    tests: Prompts
    """Prompts that do not; or a text file with one per line, which is read into the run's own
    study."""
    success: str
    """When an answer shows the trait: ``language:zh``, or ``Moscow|Russia``."""
    strength: Annotated[float, Field(gt=0)] | None = None
    """α, in units of activation; null: the trait's largest."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the test prompts that have to show it."""
    layers: tuple[Layer, ...] = ()
    """Layers that are scanned; none: all."""
    chat: bool = False
    """Whether a prompt is a user's turn, rendered by the tokenizer's chat template."""
    generated: Count = 16
    """Tokens of each answer."""


class WorldPart(Part):
    """A tiny world in addition to the study's own text: retrieval with known answers."""

    profile: Literal["default", "ci"] | None = None
    """Which of ``functok.world.profiles`` to train, from the study's seed; none leaves it out."""
