"""What the tests of damage and of strangers share."""

from collections.abc import Iterator
from typing import Any

import jaxtyping
import pytest
import vl_convert
from altair.utils import schemapi

from functok.figures.catalogue import Figure
from functok.runtime import atomic


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Figures have their data and no picture, nothing waits for the disk, no shape is checked.

    These take most of a report's time, and are tested elsewhere. The chart of a table that was
    drawn before is not made again: it follows from the table alone.
    """
    made: dict[str, dict[str, Any]] = {}

    def specification(figure: Figure) -> dict[str, Any]:
        key = f"{figure.name} {figure.table.write_json()}"
        if key not in made:
            made[key] = figure.chart.to_dict()
        return made[key]

    monkeypatch.setattr(Figure, "specification", property(specification))
    monkeypatch.setattr(vl_convert, "vegalite_to_svg", lambda spec, **options: "<svg/>")
    monkeypatch.setattr(vl_convert, "svg_to_png", lambda picture, **options: b"png")
    monkeypatch.setattr(atomic, "flush", lambda path: None)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with schemapi.debug_mode(False):
        yield
