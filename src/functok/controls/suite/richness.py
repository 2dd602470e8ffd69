"""The control of richness at equal exposure."""

from functok.controls.control import Result
from functok.controls.inputs import Inputs
from functok.richness.curves import path_table
from functok.richness.tables import richness


def accumulated(given: Inputs) -> Result:
    """Richness of every token at equal exposure and at equal sample coverage."""
    found = richness(given.subject)
    paths = {}
    if given.exposure is not None:
        paths["richness_paths"] = path_table(given.histograms, given.sides, given.exposure)
    return Result(
        {
            **paths,
            "richness": found.tokens,
            "richness_curves": found.curves,
            "richness_groups": found.groups,
            "richness_differences": found.differences,
        }
    )
