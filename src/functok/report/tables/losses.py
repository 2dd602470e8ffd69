"""The loss at the last checkpoint: tables above the figures of the section on consolidation."""

from functok.consolidation.decomposition import at_the_end, best_floor
from functok.consolidation.floors import TITLES
from functok.figures.plan import read
from functok.report.markup import escaped, folded, percent, table
from functok.runtime.store import RunFolder
from functok.study.step import known
from functok.tokens.counting.function_tokens import ARROWS

_SHARES = "share_of_tokens share_of_loss share_of_drop"
_COLUMNS = f"group subclass mean mean_low mean_high {_SHARES} excess"
_TITLES = {
    **{"group": "transition", "subclass": "after", "mean": "mean loss, nats"},
    **{"share_of_tokens": "of the tokens", "share_of_loss": "of the loss"},
    **{"share_of_drop": "of the drop", "excess": "excess, nats"},
}
_FORMATS = {
    "group": lambda name: ARROWS.get(str(name), str(name)),
    **dict.fromkeys(_SHARES.split(), percent),
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
        f"Excess is the loss minus that of a {TITLES[floor]} on the same tokens."
        if refused is None
        else f"No floor is valid, so no excess is given. A {TITLES[floor]}: {refused}."
    )
    groups = at_the_end(whole)
    shown = known(groups, *groups.columns)
    after = kinds.filter(group="fc").drop("group")
    return (
        "<h3>Which groups carry the loss?</h3><p>Held-out text, last checkpoint. Compare a "
        "group's shares with its share of the tokens; the drop is counted from the first "
        "checkpoint after step 0. "
        f"{escaped(said)}</p>"
        + table(shown, _COLUMNS, _TITLES, _FORMATS)
        + folded(
            "function→content by the sub-class of the function token",
            table(after, _COLUMNS, _TITLES, _FORMATS),
        )
        + _uncertain(folder)
    )


def _uncertain(folder: RunFolder) -> str:
    """Which class holds the high-entropy and the massive positions, where that was measured."""
    found = read(folder.consolidation("entropy"))
    if found is None:
        return ""
    titles = {"share": "of these positions", "share_of_tokens": "of the tokens"}
    columns = "positions class count share share_low share_high share_of_tokens"
    shares = ("share", "share_low", "share_high", "share_of_tokens")
    formats = {str(name): percent for name in shares}
    return folded(
        "Where the next token is least certain, and where activations are massive",
        table(found.fill_nan(None), columns, titles, formats),
    )
