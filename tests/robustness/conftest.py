"""What the tests of damage and of strangers share."""

import pytest
import vl_convert


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures have their data and no picture, which takes most of a report's time."""
    monkeypatch.setattr(vl_convert, "vegalite_to_svg", lambda spec, **options: "<svg/>")
    monkeypatch.setattr(vl_convert, "svg_to_png", lambda picture, **options: b"png")
