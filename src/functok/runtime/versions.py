"""What made a result: versions of packages, the commit that ran, fingerprints of files."""

import hashlib
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def sha256(file: Path) -> str:
    """The file's SHA-256, in hex."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def package_version(name: str) -> str | None:
    """The version of an installed package; ``None`` where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit of the source tree that is running, if it runs from one."""
    command: list[Any] = ["git", "-C", Path(__file__).parent, "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
