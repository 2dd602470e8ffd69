"""An arm: which targets one training run treats differently (``docs/methods.md#arms``).

All arms of one seed have the same initial weights and see the same windows in the same order. An
arm drops the targets of some transition groups, or weights or scrambles them. A *matched* arm draws
from its groups until it drops as much as another arm: as many tokens, or as much loss, excess or
gradient over the whole of plain training.
"""

from dataclasses import dataclass

from functok.runtime.errors import check_name, check_ranges, require

GROUPS = ("ff", "fc", "cf", "cc")
"""Transition groups, as in ``TRANSITIONS``, which costs an import of polars."""
QUANTITIES = ("tokens", "loss", "excess", "gradient")
"""In what two arms may be equal."""
PLAIN = "0 full"
"""The control arm: plain training, which every study of arms has."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One arm of a study."""

    name: str
    """Such as ``1 drop fc``."""
    groups: tuple[str, ...]
    """Transition groups whose targets it changes: ff, fc, cf, cc."""
    dose: float | None = None
    """Share of these targets, drawn at random; null: the dose of the study. A matched arm has no
    dose of its own."""
    weight: float = 0.0
    """Factor of their loss; 0 drops them."""
    scramble: bool = False
    """Whether they are permuted among positions of the same group and the same current token
    instead: the pairs of tokens stay, what else the text says of them is lost."""
    like: str | None = None
    """Name of the arm that it drops as much as."""
    on: str = "loss"
    """In what: tokens, loss, excess (over a unigram) or gradient (its norm)."""

    def __post_init__(self) -> None:
        require(bool(self.name.strip()), "An arm has no name; give it one.")
        require(bool(self.groups), f"Arm {self.name!r} has no groups; name at least one.")
        for group in self.groups:
            check_name("transition group", group, GROUPS)
        check_name("quantity to match", self.on, QUANTITIES)
        check_ranges(self, dose=(0.0, 1.0), weight=(0.0, 1e3))
        require(
            self.like is None or self.dose is None,
            f"Arm {self.name!r} is matched to {self.like!r}, which fixes its dose; omit dose.",
        )
        require(
            not (self.scramble and (self.weight or self.like is not None)),
            f"Arm {self.name!r} scrambles its targets at full weight; omit weight and like.",
        )


_OTHERS = ("ff", "cf", "cc")
ARMS = {
    1: Arm(name="1 drop fc", groups=("fc",)),
    2: Arm(name="2 only fc", groups=_OTHERS, dose=1.0),
    3: Arm(name="3 drop cc", groups=("cc",)),
    4: Arm(name="4 drop ff and cf", groups=("ff", "cf")),
    5: Arm(name="5 equal tokens", groups=_OTHERS, like="1 drop fc", on="tokens"),
    6: Arm(name="6 equal loss", groups=_OTHERS, like="1 drop fc", on="loss"),
    7: Arm(name="7 equal excess", groups=_OTHERS, like="1 drop fc", on="excess"),
    8: Arm(name="8 equal gradient", groups=_OTHERS, like="1 drop fc", on="gradient"),
    12: Arm(name="12 scramble fc", groups=("fc",), scramble=True),
}
"""Arms that a study names by their numbers; 0 is ``PLAIN``."""
DECLARED = (1, 6, 7, 8)
"""Of P8: the first against each of the others."""


def check_arms(arms: tuple[Arm, ...]) -> None:
    """Refuse arms that cannot be compared.

    Raises:
        UserError: if there are none, two have one name, or one is matched to an arm that is not
            there, drops nothing of its own or has another weight.
    """
    require(bool(arms), "There are no arms; name some, such as 1, 6, 7 and 8.")
    names = [PLAIN, *(arm.name for arm in arms)]
    for name in names:
        require(names.count(name) < 2, f"Two arms are called {name!r}; give each its own name.")
    own = {arm.name: arm.weight for arm in arms if arm.like is None and not arm.scramble}
    for arm in arms:
        require(
            arm.like is None or own.get(arm.like) == arm.weight,
            f"Arm {arm.name!r} is matched to {arm.like!r}, which is none of the study's arms with "
            f"targets of their own at weight {arm.weight:g} ({', '.join(own) or 'none'}).",
        )
