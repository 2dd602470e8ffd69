"""Files appear whole or not at all; what a user can mend is said in one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as some
from safetensors import SafetensorError

from functok.runtime import atomic
from functok.runtime.errors import UserError
from functok.runtime.store import (
    RunFolder,
    fingerprint,
    read_json,
    read_tensors,
    remove_folder,
    write_json,
    write_table,
    write_text,
    writing,
    writing_folder,
)

TEXT = some.text('abcé"\n', max_size=4)
PLAIN = some.one_of(some.integers(), TEXT, some.booleans(), some.none())


def interrupted_file(place: Path) -> None:
    with writing(place) as temporary:
        temporary.write_text("half of the new")
        raise KeyboardInterrupt


def interrupted_folder(place: Path) -> None:
    with writing_folder(place) as temporary:
        (temporary / "weights").write_text("half of the new")
        raise KeyboardInterrupt


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_interrupted_while_it_is_written_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted_file(tmp_path / "table.txt")
    assert names(tmp_path) == []


def test_a_file_interrupted_while_it_is_replaced_is_still_the_old_one(tmp_path: Path) -> None:
    write_text(tmp_path / "table.txt", "old")
    with pytest.raises(KeyboardInterrupt):
        interrupted_file(tmp_path / "table.txt")
    assert names(tmp_path) == ["table.txt"]
    assert (tmp_path / "table.txt").read_text() == "old"


def test_a_file_has_its_name_only_once_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "er" / "table.txt"
    with writing(place) as temporary:
        temporary.write_text("all of it")
        assert not place.exists()
    assert place.read_text() == "all of it"
    assert names(place.parent) == ["table.txt"]


def test_a_folder_interrupted_while_it_is_filled_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted_folder(tmp_path / "model")
    assert names(tmp_path) == []


def test_a_folder_interrupted_while_it_is_replaced_is_still_the_old_one(tmp_path: Path) -> None:
    with writing_folder(tmp_path / "model") as temporary:
        (temporary / "weights").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        interrupted_folder(tmp_path / "model")
    assert names(tmp_path) == ["model"]
    assert (tmp_path / "model" / "weights").read_text() == "old"


def test_a_replaced_folder_holds_nothing_of_the_old_one(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with writing_folder(tmp_path / "model") as temporary:
            (temporary / name).write_text(name)
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == ["new"]


def test_no_reader_sees_half_of_a_folder_that_is_removed_or_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, seen = tmp_path / "model", []

    def watched(path: Path) -> None:
        seen.append(place.exists() and names(place))

    monkeypatch.setattr(atomic.shutil, "rmtree", watched)
    for name in ("old", "new"):
        with writing_folder(place) as temporary:
            (temporary / name).write_text(name)
    remove_folder(place)
    assert seen == [["new"], False]


def test_what_a_killed_process_left_is_swept_and_what_it_had_not_replaced_put_back(
    tmp_path: Path,
) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.opened():
        pass
    (folder.root / "graph" / ".unfinished-01234567-step-000004" / "deep").mkdir(parents=True)
    inside = folder.root / "graph" / ".unfinished-01234567-step-000004"
    (inside / ".unfinished-89abcdef-meta.json").write_text("half")
    (folder.root / ".unfinished-01234567-claims.parquet").write_text("half")
    (folder.models / ".replaced-01234567-step-000004").mkdir(parents=True)
    (folder.models / ".replaced-01234567-step-000004" / "weights").write_text("old")
    (folder.models / ".replaced-89abcdef-step-000008").mkdir()
    folder.model(8).mkdir()
    with folder.opened():
        assert names(folder.root) == [".state", "graph", "models"]
        assert names(folder.root / "graph") == []
        assert names(folder.models) == ["step-000004", "step-000008"]
        assert (folder.model(4) / "weights").read_text() == "old"


def test_a_place_below_a_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    below = tmp_path / "file" / "run" / "claims.parquet"
    with pytest.raises(UserError, match=r"^Cannot write .*claims\.parquet: Not a directory; .*\.$"):
        write_table(below, {"a": [1]})
    with pytest.raises(UserError, match=r"^Cannot write into the run folder .*\.$"):
        RunFolder(below.parent).opened().__enter__()


def test_a_full_disk_is_said_in_one_sentence_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(tmp_path / "timings.json", {"a": 1})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        UserError, match=r"No space left on device; free some space or choose another folder"
    ):
        write_json(tmp_path / "timings.json", {"a": 2})
    assert read_json(tmp_path / "timings.json") == {"a": 1}
    assert names(tmp_path) == ["timings.json"]


@pytest.mark.parametrize("kind", [Exception, SafetensorError])
def test_a_full_disk_is_recognised_when_a_library_in_rust_meets_it(
    kind: type[Exception], tmp_path: Path
) -> None:
    def fill(said: str) -> None:
        with writing(tmp_path / "weights"):
            raise kind(said)

    with pytest.raises(UserError, match=r"weights: No space left on device; free"):
        fill("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(kind, match=r"^a defect$") as seen:
        fill("a defect")
    assert not isinstance(seen.value, UserError)


def test_a_run_folder_is_held_by_one_process_at_a_time(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    again = (
        "import sys\nfrom pathlib import Path\nfrom functok.runtime.store import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).opened():\n    pass\n"
    )
    command = [sys.executable, "-c", again, str(folder.root)]
    with folder.opened():
        refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "Another functok process is working in" in refused.stderr.splitlines()[-1]
    assert subprocess.run(command).returncode == 0


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine").write_text("years of work")
    with (
        pytest.raises(UserError, match=r"is not empty and contains no run; .*-o\.$"),
        RunFolder(tmp_path).opened(),
    ):
        pass
    assert names(tmp_path) == ["models"]


def test_a_record_stands_for_one_key_alone(tmp_path: Path) -> None:
    records = RunFolder(tmp_path).records
    assert not records.is_done("graph", "one")
    records.write("graph", "one", [], {"positions": 3})
    assert records.is_done("graph", "one")
    assert records.read("graph")["facts"] == {"positions": 3}
    assert not records.is_done("graph", "two")
    assert not records.is_done("coverage", "one")
    records.spoil("graph", "tokens")
    records.spoil("graph", "tokens")
    assert not records.is_done("graph", "one")
    assert records.read("graph")["key"] == "one"


def test_a_part_is_unfinished_once_a_file_that_it_left_is_gone_or_cut_short(
    tmp_path: Path,
) -> None:
    records = RunFolder(tmp_path).records
    inside, alone = tmp_path / "graph" / "edges" / "a.txt", tmp_path / "b.txt"
    for change in (inside.unlink, lambda: alone.write_text("b"), lambda: None):
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.write_text("edges")
        alone.write_text("whole")
        records.write("graph", "one", [tmp_path / "graph", alone, tmp_path / "missing"], {})
        assert records.is_done("graph", "one")
        change()
        assert records.is_done("graph", "one") == (inside.exists() and alone.stat().st_size == 5)


def test_what_is_forgotten_goes_and_nothing_else(tmp_path: Path) -> None:
    run = tmp_path / "run"
    records, outside = RunFolder(run).records, tmp_path / "mine.txt"
    (run / "graph").mkdir(parents=True)
    (run / "graph" / "edges.txt").write_text("edges")
    (run / "kept.txt").write_text("kept")
    outside.write_text("years of work")
    records.write("graph", "one", [run / "graph"], {})
    place = run / ".state" / "done" / "graph.json"
    strange = read_json(place)
    strange["files"]["../mine.txt"] = {"size": 13}
    write_json(place, strange)
    assert not records.is_done("graph", "one"), "a name that leads out of the folder"
    records.forget("graph")
    records.forget("graph")
    assert names(run) == [".state", "kept.txt"]
    assert outside.read_text() == "years of work"


@given(some.dictionaries(TEXT, some.one_of(PLAIN, some.dictionaries(TEXT, PLAIN))))
def test_a_fingerprint_does_not_depend_on_the_order_of_keys(settings: dict) -> None:
    turned = {key: settings[key] for key in reversed(settings)}
    assert fingerprint("tokens", settings) == fingerprint("tokens", turned)


@given(some.lists(PLAIN), some.lists(PLAIN))
def test_different_settings_have_different_fingerprints(one: list, two: list) -> None:
    same = [(type(value), value) for value in one] == [(type(value), value) for value in two]
    assert (fingerprint(one) == fingerprint(two)) == same


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    assert fingerprint("tokens", {"coverage": 0.4, "special": [0, None]}) == fingerprint(
        *("tokens", {"special": [0, None], "coverage": 0.4})
    )
    load = "from functok.runtime.store import fingerprint"
    script = f"{load}; print(fingerprint('a', {{'b': 'é', 'c': 1.5}}))"
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert said == {fingerprint("a", {"c": 1.5, "b": "é"}) + "\n"}


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_table(tmp_path / "table.parquet", {"token": ["␣the", "\n"], "count": [3, 1]})
    found = pl.read_parquet(tmp_path / "table.parquet")
    assert found.to_dict(as_series=False) == {"token": ["␣the", "\n"], "count": [3, 1]}


def test_a_name_that_is_no_unicode_is_written_down_and_is_no_run_folders(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    write_json(tmp_path / "provenance.json", {"corpus": name})
    assert read_json(tmp_path / "provenance.json") == {"corpus": name}
    with (
        pytest.raises(UserError, match="is not valid Unicode"),
        RunFolder(tmp_path / name).opened(),
    ):
        pass
    assert not (tmp_path / name).exists()
    with (
        pytest.raises(UserError, match="is not valid Unicode"),
        writing(tmp_path / name / "tokenizer.json") as temporary,
    ):
        str(temporary).encode()  # as tokenizers does
    with pytest.raises(UserError, match="is not valid Unicode"):
        read_tensors(tmp_path / name / "weights.safetensors")
