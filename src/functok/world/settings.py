"""What a tiny world may be like, and how a corpus spec says it.

    tiny-world?entities=64&seed=0

Every field of ``WorldSettings`` is an option of the spec. The same settings give the same bytes on
every platform and under every version of numpy: nothing below draws from numpy's generators, only
from integer hashes (``corpus.splits.mixed``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from functok.runtime.errors import UserError, require

NAME = "tiny-world"

_LIMITS = {
    "entities": (2, 512),
    "relations": (1, 6),
    "values": (2, 64),
    "topics": (2, 8),
    "nouns": (2, 12),
    "name_words": (1, 2),
    "tokens": (8, 4096),
    "documents": (1, 1 << 31),
}
_SHARES = ("facts", "fillers", "overrides")


@dataclass(frozen=True, kw_only=True)
class WorldSettings:
    """One tiny world (``docs/methods.md#tiny-world``)."""

    seed: int = 0
    """Of names, facts and documents."""
    entities: int = 64
    """Things that facts are about; their frequencies follow Zipf's law with exponent 0.6."""
    relations: int = 4
    """Facts per entity."""
    values: int = 16
    """Possible answers per relation, each with one form per language."""
    topics: int = 6
    nouns: int = 8
    """Nouns per topic; a noun belongs to one topic."""
    name_words: int = 1
    """Words of an entity's name; with 2, neither word alone tells the entity."""
    facts: float = 0.6
    """Share of the sentences that state a fact."""
    fillers: float = 0.0
    """Share of the facts with one or two filler words, of either class, before the answer."""
    overrides: float = 0.0
    """Share of the sentences that change a fact for the rest of their document. Once there is
    one, half of the facts that follow ask about a changed pair."""
    tokens: int = 64
    """A document ends with the sentence that holds its ``tokens``-th word."""
    documents: int = 10_000
    """Documents in the corpus."""

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            require(low <= value <= high, f"{NAME}: {name} must lie between {low} and {high}.")
        for name in _SHARES:
            require(0 <= getattr(self, name) <= 1, f"{NAME}: {name} must lie between 0 and 1.")
        require(
            self.facts + self.overrides <= 1, f"{NAME}: facts and overrides add up to more than 1."
        )
        require(0 <= self.seed < 1 << 62, f"{NAME}: seed must lie between 0 and 2^62.")

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> "WorldSettings":
        """Settings from a spec's options, which are among ``OPTIONS``.

        Raises:
            UserError: for a value that is not of its option's kind.
        """
        kinds = {field.name: type(field.default) for field in fields(cls)}
        values = {}
        for name, text in options.items():
            try:
                values[name] = kinds[name](text)
            except ValueError as error:
                raise UserError(f"{NAME}: {name} must be a number, not {text!r}.") from error
        return cls(**values)

    @property
    def spec(self) -> str:
        """The corpus spec with every option that is not the default."""
        default = WorldSettings()
        said = [
            f"{field.name}={getattr(self, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != getattr(default, field.name)
        ]
        return f"{NAME}?{'&'.join(said)}" if said else NAME


OPTIONS = tuple(field.name for field in fields(WorldSettings))
"""What a spec may say."""
