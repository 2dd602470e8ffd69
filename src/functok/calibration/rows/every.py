"""Every planted world, and the rows of the claims that none of them tries."""

from functok.calibration import graph
from functok.calibration.rows import losses, patching, reactivation, steering, training, untrained

WORLDS = (
    *steering.WORLDS,
    *training.WORLDS,
    *losses.WORLDS,
    *patching.WORLDS,
    *reactivation.WORLDS,
    *untrained.WORLDS,
    *graph.WORLDS,
)
"""Quick ones first."""
UNTRIED = {
    **dict.fromkeys(
        ("O-coverage", "O-hubs", "O-power-law"), "describes a graph, and tests nothing"
    ),
    "O-loss-drop": "as O-loss-share, of the loss that is lost in training",
    "O-scale": "no step writes it",
}
"""Declared rows without a world, and why."""
