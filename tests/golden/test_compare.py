"""Two run folders, compared bit for bit: what is found, and what a map explains."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from .compare import Renamed, compare, main

Tables = dict[str, dict[str, Any]]
BASE: Tables = {
    "claims.parquet": {"claim": ["hubs", None], "value": [0.1 + 0.2, float("nan")]},
    "graph/step-000300/degree.parquet": {"token": [4, 5], "group": ["function", "content"]},
    "graph/step-000300/controls/ran.parquet": {"control": ["hubs"], "key": ["0"]},
}


def with_table(path: str, **columns: Any) -> Tables:
    return BASE | {path: BASE.get(path, {}) | columns}


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str, Tables], Path]:
    def write(name: str, tables: Tables) -> Path:
        for path, columns in tables.items():
            place = tmp_path / name / path
            place.parent.mkdir(parents=True, exist_ok=True)
            pl.DataFrame(columns).write_parquet(place)
        return tmp_path / name

    return write


def test_the_same_tables_do_not_differ(run: Any) -> None:
    one, two = run("one", BASE), run("two", BASE)
    (two / "timings.json").write_text("{}")
    assert compare(one, two, Renamed()) == []


def test_what_follows_from_the_machine_is_not_compared(run: Any, tmp_path: Path) -> None:
    tables = with_table("graph/step-000300/controls/ran.parquet", key=["1"])
    paths = [{"a.parquet": {"model": [f"{tmp_path / name}/models"]}} for name in ("one", "two")]
    one, two = run("one", BASE | paths[0]), run("two", tables | paths[1])
    assert compare(one, two, Renamed()) == []


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (
            with_table("claims.parquet", value=[0.3, float("nan")]),
            "claims.parquet, value: 1 of 2 rows differ; row 0: 0.30000000000000004 → 0.3",
        ),
        (
            with_table("claims.parquet", value=[0.1 + 0.2, None]),
            "claims.parquet, value: 1 of 2 rows differ; row 1: nan → None",
        ),
        (
            with_table("claims.parquet", claim=["hubs", "loss"]),
            "claims.parquet, claim: 1 of 2 rows differ; row 1: None → 'loss'",
        ),
        (with_table("claims.parquet", more=[1, 2]), "claims.parquet: the column more is new"),
        (with_table("new.parquet", a=[1]), "new.parquet: new, without a table in the old run"),
        (
            with_table("graph/step-000300/degree.parquet", token=[4.0, 5.0]),
            "graph/step-000300/degree.parquet, token: the type was Int64 and is Float64",
        ),
    ],
)
def test_a_difference_is_named(run: Any, tables: Tables, said: str) -> None:
    assert compare(run("one", BASE), run("two", tables), Renamed()) == [said]


def test_what_is_gone_is_named(run: Any) -> None:
    claims = {"claims.parquet": {"claim": ["hubs"]}}
    assert compare(run("one", BASE), run("two", claims), Renamed()) == [
        "claims.parquet: the column value is gone",
        "claims.parquet: 2 rows before, 1 now",
        *(f"{path}: there is no {path} in the new run" for path in sorted(BASE)[1:]),
    ]


def test_a_zero_keeps_its_sign(run: Any) -> None:
    one, two = ({"a.parquet": {"a": [zero], "b": [[zero]]}} for zero in (0.0, -0.0))
    assert len(compare(run("one", one), run("two", two), Renamed())) == 2


def test_a_map_explains_what_was_renamed(
    run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = run("one", BASE | {"old.parquet": {"a": [1]}})
    two = run(
        "two",
        {
            "claims.parquet": {"claim": ["nodes", None]},
            "graph/main/step-300/degree.parquet": {"id": [4, 5], "group": ["function", "other"]},
            "graph/main/step-300/controls/ran.parquet": {"control": ["nodes"], "key": ["0"]},
        },
    )
    renamed = {
        "files": {r"graph/step-0*(\d+)/(.*)": r"graph/main/step-\1/\2"},
        "columns": {r"graph/.*/degree\.parquet": {"token": "id"}},
        "labels": {"content": "other"},
        "phrases": {"hub": "node"},
        "deleted": [r"old\.parquet", ["claims.parquet", "value"]],
    }
    place = tmp_path / "map.yaml"
    place.write_text(yaml.safe_dump(renamed))
    assert main([str(one), str(two), "--map", str(place)]) == 0
    assert capsys.readouterr().out == "no difference\n"
    assert main([str(one), str(two)]) == 1
    assert capsys.readouterr().out.endswith("differences\n")
