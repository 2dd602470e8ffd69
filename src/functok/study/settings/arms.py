"""Training arms: what one training run learns from that another does not."""

from dataclasses import asdict
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from functok.consolidation.arms.arm import ARMS, DECLARED, Arm, check_arms
from functok.runtime.store import fingerprint
from functok.study.settings.part import Count, Part, Share


class ArmsPart(Part):
    """Counterfactual training: the study's own model, trained again with some targets dropped."""

    arms: tuple[Arm, ...] = tuple(ARMS[number] for number in DECLARED)
    """Arms in addition to plain training: numbers of those that come with functok
    (``docs/counterfactual.md``), or arms of your own, each with a name and its groups."""
    dose: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of its groups' targets that an arm without a dose of its own changes."""
    seeds: Annotated[int, Field(le=10_000)] = 15
    """Training runs of each arm, from the study's seed on; P8 needs 15."""
    protected: Share = 0.5
    """Share of a tiny world's answers that no arm changes; facts with these answers are asked."""
    tokens: Count | None = 20_000
    """Held-out tokens on which losses are measured, drawn by hash; null: all of them."""

    @field_validator("arms", mode="before")
    @classmethod
    def _by_number(cls, given: Any) -> Any:
        if not isinstance(given, list | tuple):
            return given
        return [_numbered(one) if type(one) is int else one for one in given]

    @model_validator(mode="after")
    def _consistent(self) -> "ArmsPart":
        check_arms(self.arms)
        if self.seeds < 2:
            raise ValueError(
                f"{self.seeds} seed gives no interval, since arms are compared over seeds; set "
                "seeds to 2 or more"
            )
        return self

    def dose_of(self, arm: Arm) -> float:
        """The dose of an arm, or of the one that it is matched to."""
        own = self._source(arm).dose
        return self.dose if own is None else own

    def key_of(self, arm: Arm) -> str:
        """What stands for all that determines an arm, whatever other arms there are."""
        return fingerprint(asdict(arm), asdict(self._source(arm)), self.dose_of(arm))

    def _source(self, arm: Arm) -> Arm:
        return next(one for one in self.arms if one.name == (arm.like or arm.name))


def _numbered(number: int) -> Arm:
    if number not in ARMS:
        raise ValueError(
            f"there is no arm {number}; those that come with functok are "
            f"{', '.join(map(str, ARMS))} (0, plain training, is always there)"
        )
    return ARMS[number]
