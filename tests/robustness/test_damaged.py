"""Damage to a file is seen, by its record and by whoever reads it."""

import io
import os
import resource
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from functok.graph.folder import SortedTable
from functok.models.dictionaries import open_sae
from functok.models.dictionaries.formats import gemma_scope
from functok.runtime import memory
from functok.runtime.errors import UserError
from functok.runtime.store import (
    DamagedError,
    read_frame,
    read_json,
    read_table,
    read_tensors,
    write_json,
    write_table,
)
from functok.runtime.store.records import Records


def flipped(content: bytes) -> bytes:
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


CHANGES = {
    "halved": lambda content: content[: len(content) // 2],
    "emptied": lambda content: b"",
    "flipped": flipped,
    "longer": lambda content: content + b"x",
}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    write_table(tmp_path / "a.parquet", pa.table({"x": range(100)}))
    write_json(tmp_path / "deep/b.json", {"x": list(range(100))})
    save_file({"x": np.arange(100)}, tmp_path / "c.safetensors")
    return [tmp_path / name for name in ("a.parquet", "deep/b.json", "c.safetensors")]


@pytest.mark.parametrize("how", CHANGES)
def test_a_record_tells_which_file_was_changed(tmp_path, files, how) -> None:
    Records(tmp_path).write("part", "key", files, {})
    assert Records(tmp_path).is_done("part", "key")
    for file in files:
        content = file.read_bytes()
        file.write_bytes(CHANGES[how](content))
        records = Records(tmp_path)
        assert list(records.damage("part")) == [file.relative_to(tmp_path).as_posix()]
        assert not records.is_done("part", "key")
        file.write_bytes(content)


def test_a_record_tells_what_is_no_file_and_waits_for_none(tmp_path, files) -> None:
    records = Records(tmp_path)
    records.write("part", "key", files, {})
    for file in files:
        file.unlink()
    os.mkfifo(files[0])
    files[1].mkdir()
    files[2].symlink_to("/dev/zero")
    assert list(records.damage("part").values()) == ["is not a file"] * 3


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "deep/../../x", ""])
def test_a_record_that_names_what_lies_outside_is_not_followed(tmp_path, name) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "x").touch()
    files = {name: {"size": 0, "sha256": "e3b0c442"}}
    write_json(tmp_path / "run/.state/done/part.json", {"key": "key", "files": files})
    records = Records(tmp_path / "run")
    assert list(records.damage("part").values()) == [
        "is listed in a record that functok did not write"
    ]
    records.forget("part")
    assert (tmp_path / "x").exists()


def test_what_a_part_left_is_removed_and_nothing_else(tmp_path, files) -> None:
    (tmp_path / "deep/mine.txt").touch()
    records = Records(tmp_path)
    records.write("part", "key", files, {})
    records.forget("part")
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"mine.txt"}


def test_a_file_is_hashed_once_while_it_does_not_change(tmp_path, files) -> None:
    records = Records(tmp_path)
    records.write("part", "key", files, {})
    spent = records.seconds
    assert spent > 0
    assert records.is_done("part", "key")
    assert records.seconds == spent


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"files": 3}', b"[" * 100_000])
def test_a_record_that_cannot_be_read_counts_as_none(tmp_path, content) -> None:
    (tmp_path / ".state/done").mkdir(parents=True)
    (tmp_path / ".state/done/part.json").write_bytes(content)
    assert not Records(tmp_path).is_done("part", "key")


@pytest.mark.parametrize("how", ["halved", "emptied"])
def test_who_reads_a_damaged_file_says_which(files, how) -> None:
    table, json, tensors = files
    for file in files:
        file.write_bytes(CHANGES[how](file.read_bytes()))
    for file, read in (
        (table, read_table),
        (table, read_frame),
        (json, read_json),
        (tensors, read_tensors),
    ):
        with pytest.raises(DamagedError, match=file.name):
            read(file)


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b'{"a": 1, "a": 2}', b"\xff\xfe", b"1" * 5000, b'{"a": '],
    ids=["deep", "twice", "not UTF-8", "long number", "cut"],
)
def test_json_that_cannot_be_used_is_named(tmp_path, content) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(DamagedError, match=r"config\.json"):
        read_json(tmp_path / "config.json")


def test_json_larger_than_it_may_be_is_not_read(tmp_path) -> None:
    (tmp_path / "config.json").write_text('"' + "x" * 1000 + '"')
    with pytest.raises(DamagedError, match="more than 100 bytes"):
        read_json(tmp_path / "config.json", largest=100)


def test_pipes_and_devices_are_not_read(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        for read in (read_table, read_frame, read_json, read_tensors):
            with pytest.raises(DamagedError, match="not a file that can be read"):
                read(tmp_path / name)


def test_weights_that_are_a_pipe_are_not_waited_for(tmp_path) -> None:
    write_json(tmp_path / "cfg.json", {"architecture": "standard"})
    os.mkfifo(tmp_path / "sae_weights.safetensors")
    with pytest.raises(UserError, match="is not a file"):
        open_sae(str(tmp_path))


def test_arrays_have_the_bytes_that_their_header_promises(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "params.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in gemma_scope.MEMBERS:
            header = io.BytesIO()
            shape = {"descr": "<f4", "fortran_order": False, "shape": (2**30, 2**30)}
            np.lib.format.write_array_header_1_0(header, shape)
            archive.writestr(f"{name}.npy", header.getvalue() + bytes(4))
    with pytest.raises(UserError, match="but has 4;"):
        open_sae(str(tmp_path))


def test_what_says_that_it_is_larger_than_memory_is_not_read(tmp_path, monkeypatch) -> None:
    write_table(tmp_path / "a.parquet", pa.table({"x": range(10_000)}))
    save_file({"x": np.zeros(10_000)}, tmp_path / "c.safetensors")
    monkeypatch.setattr(memory, "available", lambda: 1000)
    for name, read in (
        ("a.parquet", read_table),
        ("a.parquet", read_frame),
        ("c.safetensors", read_tensors),
    ):
        with pytest.raises(UserError, match="of memory"):
            read(tmp_path / name)


def repeated(path: Path, value: object, rows: int) -> Path:
    """A table with one value in every row."""
    block = pa.array(np.zeros(1 << 20, np.int32))
    column = pa.DictionaryArray.from_arrays(block, pa.array([value]))
    with pq.ParquetWriter(path, pa.schema({"x": column.type}), compression="zstd") as writer:
        for _ in range(rows >> 20):
            writer.write_table(pa.table({"x": column}), row_group_size=1 << 20)
    return path


@pytest.mark.parametrize(("value", "rows"), [(7, 1 << 26), ("x" * 1000, 1 << 20)])
def test_a_table_that_unfolds_out_of_all_proportion_is_not_read(tmp_path, value, rows) -> None:
    path = repeated(tmp_path / "a.parquet", value, rows)
    assert path.stat().st_size < 400_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (read_table, read_frame, lambda path: list(SortedTable(path, "x").blocks())):
        with pytest.raises(UserError, match=r"a\.parquet has [\d,]+ bytes and would take \d"):
            read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_texts_that_repeat_are_read_however_much_they_could_say(tmp_path) -> None:
    texts = [f"{'x' * 2000}{number % 300}" for number in range(20_000)]
    lists = [[text] if number % 2 else [] for number, text in enumerate(texts)]
    table = pa.table({"a": texts, "b": [None, *texts[1:]], "c": lists})
    write_table(tmp_path / "a.parquet", table)
    assert read_table(tmp_path / "a.parquet").equals(table)
    assert read_frame(tmp_path / "a.parquet")["c"].to_list() == lists


def test_a_graph_whose_edges_are_damaged_is_named(tmp_path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 but not really")
    write_table(tmp_path / "b.parquet", {"x": pa.array([None, None], pa.int64())})
    for name in ("a.parquet", "b.parquet"):
        with pytest.raises(DamagedError, match=name):
            SortedTable(tmp_path / name, "x")
