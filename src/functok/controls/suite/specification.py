"""The suite's specification curve."""

from functok.controls.control import Result
from functok.controls.inputs import Inputs
from functok.controls.specification.curve import curve


def every_choice(given: Inputs) -> Result:
    """Every effect under every admissible choice, a summary, and what was not varied."""
    found = curve(given)
    return Result(
        {
            "specifications": found.specifications,
            "specification_summary": found.summary,
            "specification_axes": found.axes,
            "specification_missing": found.missing,
        }
    )
