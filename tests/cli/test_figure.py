"""``functok figure``: one figure as wide as a journal's column, its data beside it."""

import re
import struct
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import functok as package
from functok.figures.paper import INCHES
from system.tiny import different, functok


def width(path: Path) -> float:
    """Inches, as a reader of the file would have them."""
    content = path.read_bytes()
    if path.suffix == ".pdf":
        box = re.search(rb"/MediaBox\s*\[([^\]]*)\]", content)
        assert box is not None
        return float(box[1].split()[2]) / 72
    if path.suffix == ".svg":
        found = re.search(rb'<svg [^>]*?width="([\d.]+)in"', content)
        assert found is not None
        return float(found[1])
    assert content.startswith(b"\x89PNG")
    return struct.unpack(">I", content[16:20])[0] / 300


@pytest.mark.parametrize(
    ("name", "suffix", "columns"),
    [
        ("token-degree", "pdf", "single"),
        ("token-degree", "svg", "double"),
        ("trace", "png", "single"),
        ("trace", "pdf", "double"),
    ],
)
def test_a_figure_is_as_wide_as_was_asked(
    name: str, suffix: str, columns: str, whole_run: Path, tmp_path: Path
) -> None:
    file = tmp_path / f"fig.{suffix}"
    said = functok("figure", name, whole_run, "-o", file, "--width", columns)
    assert said.code == 0, said.err
    assert width(file) == pytest.approx(INCHES[columns], rel=0.005)
    drawn = pl.read_parquet(whole_run / "figures" / f"{name}.parquet")
    assert_frame_equal(pl.read_parquet(tmp_path / "fig.parquet"), drawn)
    title = package.Run(whole_run).figure(name).to_dict()["title"]["text"]
    assert title in said.out, "the caption"


@pytest.mark.parametrize(
    ("name", "file", "sentence"),
    [
        ("token-degre", "fig.pdf", "There is no figure 'token-degre'; the figures are claims"),
        ("trace-7", "fig.pdf", "has no figure 'trace-7': it has trace."),
        ("world-swaps", "fig.pdf", "has no figure 'world-swaps': The study has no tiny world"),
        ("trace", "fig.eps", "ends in '.eps'; figures are written as .pdf, .svg or .png."),
        ("trace", "no/fig.pdf", "There is no folder "),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    name: str, file: str, sentence: str, run_copy: Path, whole_run: Path, tmp_path: Path
) -> None:
    said = functok("figure", name, run_copy, "-o", tmp_path / file).complaint
    assert sentence in said
    assert not list(tmp_path.glob("fig.*"))
    assert different(run_copy, whole_run) == []


def test_a_study_file_has_no_figures(tiny_study: Path, tmp_path: Path) -> None:
    said = functok("figure", "trace", tiny_study, "-o", tmp_path / "fig.pdf")
    assert "is not a run folder" in said.complaint
