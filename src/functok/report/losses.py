"""The loss at the last checkpoint: tables above the figures of the section on consolidation."""

from functok.consolidation.decomposition import at_the_end, best_floor
from functok.consolidation.floors import TITLES
from functok.figures.plan import read
from functok.report.markup import escaped, folded, percent, table
from functok.runtime.store import RunFolder
from functok.study.step import known
from functok.tokens.counting.function_tokens import ARROWS

_TITLES = {
    "group": "transition",
    "subclass": "after",
    "mean": "mean loss, nats",
    "mean_low": "from",
    "mean_high": "to",
    "share_of_tokens": "of the tokens",
    "share_of_loss": "of the loss",
    "share_of_drop": "of the drop",
    "excess": "excess, nats",
}
_FORMATS = {
    "group": lambda name: ARROWS.get(str(name), str(name)),
    **dict.fromkeys(("share_of_tokens", "share_of_loss", "share_of_drop"), percent),
}


def losses_by_group(folder: RunFolder) -> str:
    """Means, shares and excess of the transition groups, and f→c by what stands before."""
    whole, kinds = (
        read(folder.consolidation(name)) for name in ("decomposition", "loss_subclasses")
    )
    if whole is None or kinds is None:
        return ""
    floor, refused = best_floor(whole)
    said = (
        f"Excess is the loss less that of a {TITLES[floor]} on the same tokens."
        if refused is None
        else f"No floor is admitted, so no excess is given: of a {TITLES[floor]}, {refused}."
    )
    groups, names = at_the_end(whole), [*_TITLES]
    shown = known(groups, *(name for name in names if name in groups.columns))
    after = kinds.filter(group="fc").drop("group")
    by_kind = {name: _TITLES[name] for name in names if name in after.columns}
    return (
        "<h3>Whose loss is it?</h3><p>Held-out text, last checkpoint. Compare a group's shares "
        "with its share of the tokens; the drop is counted from the first checkpoint after step 0. "
        f"{escaped(said)}</p>"
        + table(shown, {name: _TITLES[name] for name in shown.columns}, _FORMATS)
        + folded(
            "function→content by the sub-class of the function token",
            table(after, by_kind, _FORMATS),
        )
    )
