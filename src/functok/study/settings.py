"""The study file: what it may say, and one clear sentence where it says something else.

Settings live beside the code that they drive (``LlamaShape``, ``TrainingSettings``,
``DictionarySettings``); a study puts them together. Unknown keys are errors. Every default is
written out into the run folder's own ``study.yaml``.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from functok.controls.baselines.build import BASELINE_NAMES
from functok.controls.suite.suite import NAMES
from functok.models.dictionaries.training import DictionarySettings
from functok.models.training import LlamaShape, TrainingSettings, log_spaced
from functok.runtime.errors import UserError, nearest

Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TokenizerPart(_Part):
    """Where token ids come from: ``load`` one, or train one of ``vocabulary_size``."""

    load: str | None = None
    """A fast tokenizer's folder, its tokenizer.json, or its name on the hub."""
    vocabulary_size: Count = 2048
    """Size of a byte-level BPE trained on the corpus, when nothing is loaded."""


class TokensPart(_Part):
    """Which tokens are function tokens; every later link takes the set that comes of it."""

    definition: Literal["frequency", "lexicon", "treebank"] = "frequency"
    """The most frequent tokens, as the paper has it; or closed-class words, by a built-in lexicon
    or by the commonest tag in a treebank."""
    coverage: Share = 0.40
    """Share of all occurrences that the set covers; the paper gives no reason for 40 %."""
    boundary: Literal["reach", "below"] = "reach"
    """Whether the set reaches ``coverage`` or, as the paper's list, stays just below it."""
    treebank: str | None = None
    """A .conllu file or folder of Universal Dependencies; the definition by treebank needs it."""
    languages: tuple[str, ...] = ("en",)
    """Whose closed classes sort tokens into sub-classes: en, fr, de, zh."""
    also: tuple[Literal["punctuation", "numbers", "whitespace"], ...] = ()
    """What counts as function beside the closed classes."""


class ModelPart(_Part):
    """The model: pre-trained here, or published checkpoints."""

    load: str | None = None
    """A causal LM's folder or its name on the hub; without it one is pre-trained."""
    revisions: tuple[str, ...] = ()
    """Checkpoints of a loaded model: revisions on the hub, or subfolders."""
    shape: LlamaShape = LlamaShape()
    training: TrainingSettings = TrainingSettings()
    context: Count = 128
    """Positions per row when a loaded model is measured; a model trained here uses its own."""


class DictionariesPart(_Part):
    """SAEs on the residual stream of one layer."""

    layer: Annotated[int, Field(ge=0)] = 1
    """Decoder layer whose output is decomposed, from 0."""
    checkpoints: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Steps whose checkpoints get an SAE; none: all of a loaded model's, else the last."""
    recipe: DictionarySettings = DictionarySettings()
    quality_tokens: Count = 15_000
    """Held-out tokens on which quality is measured."""


class GraphPart(_Part):
    """The token–feature graph, and the count of features that fire."""

    tokens: Count = 60_000
    """Held-out tokens; the same at every checkpoint."""


class ControlsPart(_Part):
    """Is it frequency? What is held against the graph's degrees and coverage."""

    only: tuple[str, ...] = ()
    """Which controls are run, by name; none: all (``functok controls --help`` lists them)."""
    unit: Literal["documents", "occurrences"] = "documents"
    """One exposure of a token: a document, by one occurrence in it, or every occurrence."""
    exposure: Count | None = None
    """Exposures at which token types are compared; none: the most that 30 of either class have."""
    arms: tuple[str, ...] = ("reinitialised", "step-0", "shuffled-document", "frozen-decoder")
    """What the last graph is held against, each with an SAE and a graph of its own: see
    ``functok.controls.baselines``; none of them: [], and whether the gap is learned stays open."""

    @field_validator("only")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in NAMES:
                raise ValueError(f"there is no control {name!r}; {nearest(name, NAMES)}")
        return names

    @field_validator("arms")
    @classmethod
    def _known_arms(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in BASELINE_NAMES:
                raise ValueError(f"there is no baseline {name!r}; {nearest(name, BASELINE_NAMES)}")
        return names


class TracePart(_Part):
    """Which token of a prompt switches on which feature."""

    prompts: tuple[str, ...] = ("The cat sat on the mat, and the cat",)
    features: Count = 16
    """Features shown, those with the highest peaks."""


class ConditionPart(_Part):
    """One row of a grid: features added together."""

    name: str
    """Such as ``Speak Chinese``."""
    features: dict[int, float]
    """Strength by feature, in the grid's unit."""
    success: str | None = None
    """When an answer shows what the condition is for: ``language:zh``, or ``Moscow|Russia``."""


class GridPart(_Part):
    """Prompts × conditions, as in the paper's Figures 7 and 11."""

    prompts: tuple[str, ...] = ()
    conditions: tuple[ConditionPart, ...] = ()
    """None: there is no grid."""
    at: str = "last-function"
    """Where features are added, see ``functok.retrieval.prompts.positions``."""
    unit: Literal["activation", "maximum", "norm"] = "norm"
    """Of strengths: one unit of activation (the paper's α), the feature's largest activation in the
    corpus, or the residual stream's norm."""
    generated: Count = 16
    """Tokens of each answer."""


class SteerPart(_Part):
    """Features added at the last function token."""

    features: Count = 24
    """Features steered, chosen at random among those neither rare nor dense."""
    prompts: Count = 64
    """Held-out documents whose beginnings serve as prompts."""
    strength: Annotated[float, Field(gt=0)] = 1.0
    """Norm of what is added, in units of the residual stream's own norm there."""
    shown: str = "The cat sat on the mat, and the"
    """The prompt whose continuation is shown."""
    generated: Count = 24
    """Tokens of that continuation."""
    grid: GridPart = GridPart()
    """Named conditions on prompts of your own."""


class WorldPart(_Part):
    """A tiny world beside the study's own text: the retrieval that can be judged exactly."""

    profile: Literal["default", "ci"] | None = None
    """Which of ``functok.world.profiles`` to train, from the study's seed; none leaves it out."""


class Study(_Part):
    """One study."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    """Names the run folder: runs/<name>."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Everything random follows from it."""
    corpus: str = "python-docs"
    """See ``functok.corpus``."""
    held_out: Share = 0.15
    """Share of the documents kept from training, chosen by the hash of their text."""
    tokenizer: TokenizerPart = TokenizerPart()
    tokens: TokensPart = TokensPart()
    model: ModelPart = ModelPart()
    dictionaries: DictionariesPart = DictionariesPart()
    graph: GraphPart = GraphPart()
    controls: ControlsPart = ControlsPart()
    trace: TracePart = TracePart()
    steer: SteerPart = SteerPart()
    world: WorldPart = WorldPart()

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        if bool(self.steer.grid.conditions) != bool(self.steer.grid.prompts):
            raise ValueError("steer.grid needs both prompts and conditions")
        if self.tokens.definition == "treebank" and self.tokens.treebank is None:
            raise ValueError("tokens.definition is treebank, but tokens.treebank names none")
        if self.model.load is None:
            if self.dictionaries.layer >= self.model.shape.layers:
                raise ValueError(
                    f"dictionaries.layer {self.dictionaries.layer} does not exist: the model has "
                    f"layers 0 to {self.model.shape.layers - 1}"
                )
            beyond = [
                step for step in self.dictionaries.checkpoints if step > self.model.training.steps
            ]
            if beyond:
                raise ValueError(
                    f"dictionaries.checkpoints {beyond} lie beyond the last step, "
                    f"{self.model.training.steps}"
                )
        return self

    @property
    def context(self) -> int:
        """Positions per row."""
        return self.model.context if self.model.load else self.model.training.context

    def checkpoint_steps(self) -> list[int]:
        """Steps at which a model trained here is kept."""
        return sorted({*log_spaced(self.model.training.steps), *self.dictionaries.checkpoints})


def load_study(path: Path) -> Study:
    """Read and check a study file.

    Raises:
        UserError: for a file that is missing, not YAML, or says what no study can say; the
            sentence names the key and, for an unknown one, the nearest valid key.
    """
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read the study file {path}: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = " ".join(str(error).split())
        raise UserError(f"The study file {path} is not YAML: {line}.") from error
    if not isinstance(content, dict):
        raise UserError(f"The study file {path} holds no keys; it needs at least name: NAME.")
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        raise UserError(f"Study file {path}: {_sentence(error)}") from error


def dump_study(study: Study) -> str:
    """The study with every default written out."""
    return yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def differences(one: Any, two: Any, prefix: str = "") -> list[str]:
    """Dotted keys at which two resolved studies differ."""
    if isinstance(one, dict) and isinstance(two, dict):
        keys = dict.fromkeys([*one, *two])
        return [
            found
            for key in keys
            for found in differences(one.get(key), two.get(key), f"{prefix}{key}.")
        ]
    return [] if one == two else [prefix.rstrip(".")]


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    *parents, last = [str(part) for part in first["loc"]] or [""]
    where = ".".join([*parents, last]).strip(".")
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key {where!r}; {nearest(last, _keys(Study, parents))}"
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    if first["type"] == "missing":
        return f"the key {where!r} is missing."
    return f"{where}: {message}." if where else f"{message}."


def _keys(part: Any, path: list[str]) -> list[str]:
    """Valid keys of the part of a study at ``path``."""
    for name in path:
        fields = getattr(part, "model_fields", None)
        part = fields[name].annotation if fields else part.__dataclass_fields__[name].type
    return list(getattr(part, "model_fields", None) or part.__dataclass_fields__)
