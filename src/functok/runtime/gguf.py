"""What a GGUF file says of itself: one file with a model's weights, mostly quantised, and its
tokenizer.

transformers reads such files with the package ``gguf``; here it is only asked what there is, so
that what cannot be used ends in a sentence before anything is read.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from functok.runtime.errors import UserError, outside, require
from functok.runtime.paths import user_path
from functok.runtime.store import regular

_PLAIN = ("F32", "F16", "BF16", "F64")


class Header(NamedTuple):
    """What is known of a GGUF file before its weights are read."""

    architecture: str
    """As llama.cpp calls it, such as ``llama`` or ``gemma3``."""
    kind: str
    """Of its weights, such as Q4_K_M or F16."""
    tokenizer: str | None
    """Kind of its tokenizer: ``gpt2`` (byte-level BPE), ``llama`` (SentencePiece) …"""
    splitter: str | None
    """Name of the rule by which text is split before byte-level BPE."""

    @property
    def origin(self) -> str:
        """Where weights come from that were read from it, as a clause."""
        if self.kind in _PLAIN:
            return f"read from a GGUF file in {self.kind}"
        return f"dequantised from {self.kind}"


def is_gguf(name: str | Path) -> bool:
    """Whether a model or a tokenizer is named by a GGUF file."""
    return str(name).lower().endswith(".gguf") and not user_path(name).is_dir()


def gguf_header(file: Path) -> Header:
    """What the file says of itself.

    Raises:
        UserError: if it is not there or no GGUF file, or the package that reads it is missing.
    """
    require(regular(file), f"There is no GGUF file {file}; check the path.")
    status = os.stat(file)
    return _header(file, status.st_size, status.st_mtime_ns)


@contextmanager
def alone(file: Path) -> Iterator[dict[str, Any]]:
    """The arguments by which transformers reads a GGUF file and nothing that lies beside it.

    Raises:
        UserError: if the package that it needs is missing, or whatever it raises in this context.
    """
    gguf_header(file)
    advice = "give the model as a Hugging Face folder, or fetch the file again"
    with TemporaryDirectory(prefix="functok-") as folder:
        (Path(folder) / "model.gguf").symlink_to(file.absolute())
        with outside(f"GGUF file {file} cannot be used", advice):
            yield {
                "pretrained_model_name_or_path": folder,
                "gguf_file": "model.gguf",
                "trust_remote_code": False,
            }


@lru_cache
def _header(file: Path, size: int, changed: int) -> Header:
    """The header of the file as it was when it had this size and time of change."""
    try:
        from gguf import GGUFReader  # type: ignore[attr-defined]  # pyright takes this module
    except ImportError as error:
        raise UserError(
            f"Reading {file} needs the package gguf, which is not installed; pip install "
            "'functok[gguf]'."
        ) from error
    with outside(f"GGUF file {file} cannot be read", "fetch it again"):
        reader = GGUFReader(file)

        def said(key: str) -> Any:
            field = reader.get_field(key)
            return None if field is None else field.contents()

        architecture = said("general.architecture")
        require(
            isinstance(architecture, str),
            f"GGUF file {file} names no architecture; give a file that holds a model.",
        )
        return Header(
            architecture,
            _kind(said("general.file_type"), reader.tensors),
            said("tokenizer.ggml.model"),
            said("tokenizer.ggml.pre"),
        )


def _kind(file_type: Any, tensors: Any) -> str:
    """The kind of most weights: as the file says, or else as most of its numbers are."""
    from gguf import LlamaFileType  # type: ignore[attr-defined]

    if file_type in set(LlamaFileType) - {LlamaFileType.GUESSED}:
        return LlamaFileType(file_type).name.removeprefix("MOSTLY_").removeprefix("ALL_")
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        sizes[tensor.tensor_type.name] += int(tensor.n_elements)
    return max(sizes, key=lambda name: sizes[name], default="F32")
