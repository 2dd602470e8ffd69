"""Whatever a received run folder points at stays as it is."""

import os
import re
from functools import partial
from pathlib import Path

import pytest

import functok
from functok.models.training.metrics import JsonLines
from functok.runtime.errors import UserError
from functok.runtime.store import (
    RunFolder,
    baseline,
    control_table,
    graph_table,
    remove_file,
    remove_folder,
    write_text,
    writing_folder,
)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    with folder.opened():
        write_text(folder.study, "name: x\n")
    return folder


def test_a_lock_that_is_a_link_does_not_empty_its_target(run: RunFolder, tmp_path: Path) -> None:
    victim = tmp_path / "bashrc"
    victim.write_text("export PRECIOUS=1\n")
    (run.root / ".state/lock").unlink()
    (run.root / ".state/lock").symlink_to(victim)
    with pytest.raises(UserError, match="which functok did not create"), run.opened():
        pass
    assert victim.read_text() == "export PRECIOUS=1\n"


def test_a_lock_that_is_a_pipe_is_not_waited_for(run: RunFolder) -> None:
    (run.root / ".state/lock").unlink()
    os.mkfifo(run.root / ".state/lock")
    with pytest.raises(UserError, match="which functok did not create"), run.opened():
        pass


@pytest.mark.parametrize("part", ["models", ".state"])
def test_nothing_is_written_or_removed_through_a_linked_folder(
    run: RunFolder, tmp_path: Path, part: str
) -> None:
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "lock").touch()
    (outside / "kept").mkdir()
    if part == ".state":
        (run.root / ".state/lock").unlink()
        (run.root / ".state").rmdir()
    (run.root / part).symlink_to(outside)
    with pytest.raises(UserError, match="symbolic link"):
        write_text(run.root / part / "new", "x")
    with pytest.raises(UserError, match="symbolic link"), writing_folder(run.root / part / "new"):
        pass
    for remove in (remove_file, remove_folder):
        with pytest.raises(UserError, match="symbolic link"):
            remove(run.root / part / "kept")
    with pytest.raises(UserError, match="symbolic link"):
        run.records.remove([f"{part}/lock"])
    assert sorted(os.listdir(outside)) == ["kept", "lock"]


DELETES = re.compile(r"\.unlink\(|rmtree|\.rmdir\(|os\.(remove|unlink)|open\([^)]*\"[wa]b?\"")
OWN = {
    "runtime/atomic.py": "the means themselves",
    "runtime/store/records.py": "empty folders around what remove_file removed",
    "runtime/store/formats.py": "under a temporary name",
    "encoding/stored.py": "under a temporary name",
    "graph/construction/assembly.py": "inside a folder under a temporary name",
    "graph/folder.py": "inside a folder under a temporary name",
    "figures/code_points.py": "its own folder of fonts, outside every run",
    "weights/get.py": "inside a temporary folder, outside every run",
    "models/training/metrics.py": "appends to the file that it has just put there",
}


def test_nothing_deletes_or_writes_but_by_the_means_that_follow_no_link() -> None:
    package = Path(functok.__file__).parent
    found = {
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        if DELETES.search(file.read_text())
    }
    assert found <= OWN.keys()


@pytest.mark.parametrize("kind", ["link", "pipe", "strange"])
def test_live_metrics_are_appended_to_no_file_but_their_own(tmp_path: Path, kind: str) -> None:
    victim, live = tmp_path / "bashrc", tmp_path / "training.jsonl"
    victim.write_text("export PRECIOUS=1\n")
    if kind == "pipe":
        os.mkfifo(live)
    elif kind == "link":
        live.symlink_to(victim)
    else:
        live.write_text('{"step": 0}\n[1]\n' + "[" * 10_000 + '\n{"step": 9}\n')
    JsonLines(live)({"step": 1})
    assert live.read_text() == ('{"step": 0}\n' if kind == "strange" else "") + '{"step": 1}\n'
    assert victim.read_text() == "export PRECIOUS=1\n"


def test_a_file_that_is_a_link_is_replaced_and_its_target_kept(
    run: RunFolder, tmp_path: Path
) -> None:
    (tmp_path / "outside").write_text("old")
    run.claims.symlink_to(tmp_path / "outside")
    write_text(run.claims, "new")
    assert (tmp_path / "outside").read_text() == "old"
    assert not run.claims.is_symlink()


def test_of_a_linked_folder_only_the_link_is_removed_or_replaced(
    run: RunFolder, tmp_path: Path
) -> None:
    outside = tmp_path / "big-disk"
    outside.mkdir()
    (outside / "weights").touch()
    (run.root / "models").symlink_to(outside)
    remove_folder(run.root / "models")
    assert not (run.root / "models").is_symlink()
    (run.root / "models").symlink_to(outside)
    with writing_folder(run.root / "models"):
        pass
    assert (outside / "weights").exists()
    assert not (run.root / "models").is_symlink()


def test_only_names_that_functok_gives_are_swept(run: RunFolder, tmp_path: Path) -> None:
    outside = tmp_path / "documents"
    outside.mkdir()
    (outside / "thesis").touch()
    (run.root / ".replaced-notes").write_text("mine")
    (run.root / ".unfinished-plan").write_text("mine")
    (run.root / ".unfinished-0123abcd-models").symlink_to(outside)
    (run.root / "figures").symlink_to(outside)
    (outside / ".unfinished-0123abcd-x").touch()
    with run.opened():
        pass
    assert (run.root / ".replaced-notes").exists()
    assert (run.root / ".unfinished-plan").exists()
    assert not (run.root / ".unfinished-0123abcd-models").is_symlink()
    assert sorted(os.listdir(outside)) == [".unfinished-0123abcd-x", "thesis"]


@pytest.mark.parametrize("name", ["../precious", "/etc/passwd", "a/b", "", ".."])
def test_a_name_from_a_table_names_one_file_of_the_run(run: RunFolder, name: str) -> None:
    of_a_graph = [partial(place, run.graphs) for place in (graph_table, control_table, baseline)]
    of_a_run = [run.tokens, run.test, run.retrieval, run.consolidation, run.partials, run.resume]
    by_sae = [run.dictionary, run.verified, run.graph]
    for place in (*of_a_graph, *of_a_run, *by_sae, partial(run.figure, suffix="png")):
        with pytest.raises(UserError, match="is not the name of a file"):
            place(name)


@pytest.mark.parametrize("target", ["nowhere/run", "other"])
def test_a_place_behind_a_broken_link_is_refused_in_a_sentence_that_names_it(
    tmp_path: Path, target: str
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / target)
    (tmp_path / "other").symlink_to(tmp_path / "link")
    for place in ("link", "link/run"):
        with (
            pytest.raises(UserError, match=r"link is a broken symbolic link"),
            RunFolder(tmp_path / place).opened(),
        ):
            pass
    with pytest.raises(UserError, match=r"link is a broken symbolic link"):
        write_text(tmp_path / "link/report.html", "page")
    assert not (tmp_path / "nowhere").exists()
