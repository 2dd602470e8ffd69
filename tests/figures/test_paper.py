"""Figures at the widths of a journal's columns."""

import re
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from figures.small_run import write_small_run
from functok.figures.catalogue import PLANS, figure_called, figures
from functok.figures.paper import INCHES, caption, write_for_paper
from functok.runtime.errors import UserError
from functok.runtime.store import RunFolder, read_frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return write_small_run(tmp_path_factory.mktemp("paper") / "run")


@pytest.mark.parametrize("columns", INCHES)
def test_every_figure_fits_and_its_letters_stay_legible(
    columns: str, folder: RunFolder, tmp_path: Path
) -> None:
    """Letters become smaller only where a chart cannot be drawn narrow enough."""
    pixel = {}
    for figure in figures(folder, 4):
        file = tmp_path / f"{figure.name}.svg"
        data = write_for_paper(figure, file, INCHES[columns])
        assert_frame_equal(read_frame(data), figure.table)
        svg = file.read_text("utf-8")
        size = re.search(r'width="([\d.]+)in" height="([\d.]+)in" viewBox="0 0 (\S+) (\S+)"', svg)
        assert size is not None
        width, height, across, down = map(float, size.groups())
        assert width == INCHES[columns]
        assert height == pytest.approx(width * down / across, rel=1e-4)
        pixel[figure.name] = 96 * width / across
        assert figure.plan.title not in svg, "titles are for the caption"
        assert caption(figure, folder)[0].startswith(figure.plan.title)
    assert len(pixel) >= len(PLANS)
    assert max(pixel.values()) < 1.1
    assert {name: share for name, share in pixel.items() if share < 0.55} == {}


def test_one_of_several_figures_has_its_number(folder: RunFolder) -> None:
    assert figure_called("trace-2", folder, 4).name == "trace-2"
    assert figure_called("trace", folder, 4).name == "trace-1"
    with pytest.raises(UserError, match="no figure 'trace-9': it has trace-1, trace-2"):
        figure_called("trace-9", folder, 4)
    with pytest.raises(UserError, match="no figure 'steering-gain': No feature was steered"):
        figure_called("steering-gain", RunFolder(folder.root / "figures"), 4)
