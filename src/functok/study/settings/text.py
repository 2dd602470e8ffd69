"""Which tokenizer, and which tokens are function tokens."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from functok.study.settings.part import Count, Part


class TokenizerPart(Part):
    """Where token ids come from: ``load`` one, or train one of ``vocabulary_size``."""

    load: str | None = None
    """A fast tokenizer's folder, its tokenizer.json, a GGUF file, or its name on the hub."""
    vocabulary_size: Annotated[int, Field(ge=1, lt=2**24)] = 2048
    """Size of a byte-level BPE trained on the corpus, when nothing is loaded."""


class TokensPart(Part):
    """Which tokens are function tokens, for all later steps."""

    definition: Literal["frequency", "lexicon", "treebank"] = "frequency"
    """The most frequent tokens, as in the paper; or closed-class words, by a built-in lexicon or by
    the most common tag in the first treebank."""
    coverage: Annotated[float, Field(gt=0, le=1)] = 0.40
    """Share of all occurrences that the set covers; the paper gives no reason for 40 %."""
    boundary: Literal["reach", "below"] = "reach"
    """Whether the set reaches ``coverage`` or, as the paper's list, stays just below it."""
    source: str | None = Field(default=None, alias="from")
    """Written ``from``: a run folder, or one that ``functok tokens`` wrote. Its function tokens are
    taken as they were counted there, whatever definition, coverage and boundary are here."""
    treebanks: tuple[str, ...] = ()
    """.conllu files or folders of Universal Dependencies to compare with; ``treebank: PATH`` names
    one. The definition by treebank takes the first."""
    languages: tuple[str, ...] = ("en",)
    """Languages of the closed classes: en, fr, de, zh."""
    also: tuple[Literal["punctuation", "numbers", "whitespace"], ...] = ()
    """What counts as function in addition to the closed classes."""
    on_error: Literal["stop", "skip"] = "stop"
    """Whether a line of the corpus that is not a document stops the count or is skipped."""
    compare: tuple[str, ...] = ()
    """Run folders whose function tokens are compared with these."""
    documents: Count | None = None
    """Documents that are counted at most, drawn by hash; null: no limit."""
    tokens: Count | None = None
    """Tokens of these at most; null: no limit."""
    named: tuple[str, ...] = ()
    """Single tokens, each with its leading blank, whose occurrences are shown along the corpus, as
    in the paper's Figure 3: [" of", " Tokyo"]."""
    plain: bool = False
    """Counts only: half the time and memory; no sweep, dispersion or stability."""

    @model_validator(mode="before")
    @classmethod
    def _one_treebank(cls, content: Any) -> Any:
        if not isinstance(content, dict) or "treebank" not in content:
            return content
        content = dict(content)
        one = content.pop("treebank")
        if "treebanks" in content:
            raise ValueError("give treebank or treebanks, not both")
        return {**content, "treebanks": [] if one is None else [one]}

    @model_validator(mode="after")
    def _consistent(self) -> "TokensPart":
        if self.definition == "treebank" and not self.treebanks:
            raise ValueError("the definition by treebank needs treebanks, and there are none")
        if self.named and self.plain:
            raise ValueError("named tokens need more than counts; omit named or plain")
        if self.source is not None and self.definition != "frequency":
            raise ValueError(
                f"the function tokens are those counted in {self.source}, so definition "
                f"{self.definition!r} cannot choose them; omit from or definition"
            )
        return self

    @property
    def treebank(self) -> str | None:
        """The first treebank."""
        return self.treebanks[0] if self.treebanks else None
