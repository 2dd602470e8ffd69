"""A study: *what* is measured. Where the work runs is in ``functok.study.resources``."""

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from functok.models.training.schedule import log_spaced
from functok.runtime.errors import nearest
from functok.study.settings.arms import ArmsPart
from functok.study.settings.causal import AblationPart, FactsPart, ProbesPart
from functok.study.settings.measures import (
    ClassesPart,
    ControlsPart,
    GraphPart,
    LossesPart,
    SteerPart,
    TracePart,
    TraitPart,
    WorldPart,
)
from functok.study.settings.model import DictionaryPart, ModelPart, by_seed
from functok.study.settings.part import Part, Seed, Share
from functok.study.settings.text import TokenizerPart, TokensPart


class Study(Part):
    """One study."""

    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$", max_length=200)]
    """Names the run folder: runs/<name>."""
    seed: Seed = 0
    """Everything random follows from it."""
    corpus: str = "python-docs"
    """See ``functok.corpus``."""
    held_out: Share | None = 0.15
    """Share of the documents kept from training, chosen by the hash of their text. null: nothing
    is trained here, and a loaded model and its SAEs are measured on the whole corpus."""
    tokenizer: TokenizerPart = TokenizerPart()
    tokens: TokensPart = TokensPart()
    model: ModelPart | None = ModelPart()
    """null: only tokens are counted."""
    dictionaries: tuple[DictionaryPart, ...] = (DictionaryPart(),)
    """SAEs. The claims are judged on the first. One mapping stands for a list of one; [] for
    none, and then nothing that needs an SAE is run."""
    graph: GraphPart = GraphPart()
    losses: LossesPart = LossesPart()
    controls: ControlsPart = ControlsPart()
    trace: TracePart = TracePart()
    steer: SteerPart = SteerPart()
    traits: tuple[TraitPart, ...] = ()
    """Traits whose features are searched for; none: nothing is."""
    facts: FactsPart | None = None
    """Facts that the model is asked, and the causal experiments on them; null: none. ``facts: {}``
    takes those that come with functok."""
    arms: ArmsPart | None = None
    """Training runs that drop some targets, compared with runs that drop as much elsewhere; null:
    none. ``arms: {}`` takes the declared ones: 75 training runs."""
    ablation: AblationPart | None = None
    """Whether the next token depends on the traced features where they fire; null: not measured.
    ``ablation: {}`` takes the defaults."""
    world: WorldPart = WorldPart()

    @model_validator(mode="before")
    @classmethod
    def _own_tokenizer(cls, content: Any) -> Any:
        """A loaded model has its own tokenizer, unless the study says otherwise."""
        if not isinstance(content, dict) or content.get("tokenizer") is not None:
            return content
        model = content.get("model")
        load = model.get("load") if isinstance(model, dict) else None
        return {**content, "tokenizer": {"load": load}}

    @field_validator("dictionaries", mode="before")
    @classmethod
    def _listed(cls, content: Any) -> Any:
        parts = [content] if isinstance(content, dict | DictionaryPart) else content
        if not isinstance(parts, list | tuple):
            return parts
        return [entry for part in parts for entry in by_seed(part)]

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        if bool(self.steer.grid.conditions) != bool(self.steer.grid.prompts):
            raise ValueError("steer.grid needs both prompts and conditions")
        names = [part.name for part in self.dictionaries]
        for what, given in (("dictionaries", names), ("traits", [one.name for one in self.traits])):
            for name in given:
                if given.count(name) > 1:
                    raise ValueError(f"two {what} are called {name!r}; give each its own name")
        for name in self.controls.of:
            if name not in names:
                raise ValueError(f"controls.of: there is no SAE {name!r}; {nearest(name, names)}")
        if self.model is None:
            return self
        if self.held_out is None:
            trained = [part.name for part in self.dictionaries if part.load is None]
            if self.model.load is None or trained:
                what = "the model" if self.model.load is None else f"dictionaries {trained}"
                raise ValueError(f"held_out is null, which leaves no documents to train {what} on")
        if self.model.load is None:
            self._check_trained(self.model)
        return self

    def _check_trained(self, model: ModelPart) -> None:
        for part in self.dictionaries:
            if part.layer is not None and part.layer >= model.shape.layers:
                raise ValueError(
                    f"dictionaries.layer {part.layer} does not exist: the model has "
                    f"layers 0 to {model.shape.layers - 1}"
                )
            beyond = [step for step in part.checkpoints if step > model.training.steps]
            if beyond:
                raise ValueError(
                    f"dictionaries.checkpoints {beyond} lie beyond the last step, "
                    f"{model.training.steps}"
                )

    def loading(self, load: str) -> "Study":
        """The same study of the model at ``load``, with its tokenizer where it has the model's."""
        assert self.model is not None
        own = self.tokenizer.load == self.model.load
        tokenizer = self.tokenizer.model_copy(update={"load": load} if own else {})
        model = self.model.model_copy(update={"load": load})
        return self.model_copy(update={"model": model, "tokenizer": tokenizer})

    def with_causal(self) -> "Study":
        """The same study with all causal experiments: by default those that it does not name."""
        facts = self.facts or FactsPart()
        facts = facts.model_copy(update={"probes": facts.probes or ProbesPart()})
        steer = self.steer.model_copy(update={"classes": self.steer.classes or ClassesPart()})
        ablation = self.ablation or AblationPart()
        return self.model_copy(update={"facts": facts, "steer": steer, "ablation": ablation})

    @property
    def whole(self) -> bool:
        """Whether a loaded model is measured on the whole corpus, with nothing held out."""
        return self.model is not None and self.held_out is None

    @property
    def controlled(self) -> tuple[str, ...]:
        """Names of the SAEs that get controls and baselines."""
        return self.controls.of or tuple(part.name for part in self.dictionaries[:1])

    def checkpoint_steps(self) -> list[int]:
        """Steps at which a model trained here is kept."""
        assert self.model is not None
        decomposed = {step for part in self.dictionaries for step in part.checkpoints}
        return sorted({*log_spaced(self.model.training.steps), *decomposed})
