"""The golden runs leave the numbers that are pinned (``golden/__init__.py`` says how to pin)."""

from pathlib import Path

import jaxtyping
import pytest

from .pin import PINNED
from .summary import Tolerance, differences, read, summarise

COUNTED = Tolerance(1e-9, integers=True)
"""Counts, and what follows from counts alone."""
MODEL = Tolerance(2e-3)
"""Follows from a forward pass, which another processor rounds otherwise. Without any AVX, the
furthest number lay 1.2e-4 from its pinned value, and every string was the same."""
STRONGEST = Tolerance(2e-2, strings=False)
"""The strongest occurrences: of equally strong ones, rounding says which is kept."""
TRAINED = Tolerance(2e-2)
"""Follows from training, where rounding grows with every step. Without any AVX: 1e-5."""
TOLERANCE = {
    "committed.csv": {
        r"tokens/.*|consolidation/floors\.parquet": COUNTED,
        r"graph/.*/contexts\.parquet": STRONGEST,
        ".*": MODEL,
    },
    "training.csv": {"tokens/.*": COUNTED, ".*": TRAINED},
}
"""By a pattern for the table's path; the first that fits holds."""


@pytest.mark.parametrize("file", PINNED, ids=lambda file: file.stem)
def test_the_numbers_are_those_that_are_pinned(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other tests check types and shapes; here that would take half the time.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    found = summarise(PINNED[file](tmp_path))
    said = differences(read(file.read_text("utf-8")), found, TOLERANCE[file.name])
    assert not said, "\n".join(
        [f"{len(said)} differences from golden/pinned/{file.name}:", *said[:60]]
    )


def test_a_table_or_a_number_that_changed_is_named() -> None:
    (file, *_) = PINNED
    pinned = read(file.read_text("utf-8"))
    tolerance = TOLERANCE[file.name]
    assert differences(pinned, pinned, tolerance) == []
    less = [line for line in pinned if line["file"] != "claims.parquet"]
    assert differences(pinned, less, tolerance) == ["claims.parquet: the file is missing"]
    assert differences(less, pinned, tolerance) == ["claims.parquet: the file is new"]
    for path, column, factor in (
        ("tokens/counts.parquet", "occurrences", 1 + 1e-6),
        ("retrieval/steering.parquet", "gain", 1 + 4e-3),
    ):
        changed = [
            line | {"sum": str(float(line["sum"]) + float(line["absolute"]) * (factor - 1))}
            if (line["file"], line["column"]) == (path, column)
            else line
            for line in pinned
        ]
        (said,) = differences(pinned, changed, tolerance)
        assert said.startswith(f"{path}, {column}: sum was ")
