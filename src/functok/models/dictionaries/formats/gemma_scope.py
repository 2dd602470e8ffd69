"""Gemma Scope: ``params.npz`` with W_enc, W_dec, b_enc, b_dec and threshold.

JumpReLU with one threshold per feature; b_dec is *not* subtracted from the input. The file is a
zip of plain arrays, so each member is mapped where it lies: with a million features the decoder's
15 GB are never read. Transcoders (``gemma-scope-2b-pt-transcoders``) read the norm before the MLP
without its gain, which is the stream in the middle of a layer brought to a root mean square of one.
"""

import math
import re
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from functok.models.dictionaries.dictionary import Dictionary
from functok.models.dictionaries.formats.weights import check_finite
from functok.models.dictionaries.sae import Sae
from functok.models.language.hooks import HookPoint
from functok.runtime.errors import outside, require
from functok.runtime.memory import check_memory

MEMBERS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
_SITES = {"res": "resid_post", "mlp": "mlp_out", "att": "z", "transcoders": "resid_mid"}


def found(path: Path) -> Path | None:
    """The file that ``path`` names: a folder with ``params.npz``, or any file of arrays."""
    file = path / "params.npz" if path.is_dir() else path
    return file if file.suffix == ".npz" and file.is_file() else None


def read(spec: str, file: Path, device: str, decoder: bool) -> Sae:
    """The SAE in ``params.npz``; its folders' names tell where it reads.

    Raises:
        UserError: if the file is not one.
    """
    place = str(file.parent.resolve() / file.name)
    kind, layer = _kind(place), re.search(r"layer_(\d+)", place)
    l0 = re.search(r"average_l0_(\d+)", place)
    dictionary = read_npz(file, device, decoder)
    if kind == "transcoders":
        dictionary = replace(dictionary, normalisation="constant_norm_rescale", transcodes=True)
    return Sae(
        spec=spec,
        format="gemma_scope",
        dictionary=dictionary,
        hook=HookPoint.at(int(layer[1]), _SITES[kind]) if kind and layer else None,
        published_l0=float(l0[1]) if l0 else None,
        context=1024,
    )


def read_npz(file: Path, device: str = "cpu", decoder: bool = True) -> Dictionary:
    """The SAE in ``params.npz``.

    Raises:
        UserError: if the file is not one.
    """
    with outside(
        f"{file} cannot be read as Gemma Scope's params.npz",
        f"it needs the arrays {', '.join(MEMBERS)}",
    ):
        found = {name: _member(file, name) for name in MEMBERS}
    d_model, features = found["W_enc"].shape if found["W_enc"].ndim == 2 else (-1, -1)
    wanted = {"W_dec": (features, d_model), "b_dec": (d_model,)}
    shapes = {name: array.shape for name, array in found.items()}
    require(
        features > 0
        and all(
            shapes[name] == wanted.get(name, (features,)) for name in MEMBERS if name != "W_enc"
        ),
        f"{file} has weights of inconsistent shapes: {shapes}.",
    )
    kept = [name for name in MEMBERS if decoder or name != "W_dec"]
    weights = {
        name: torch.from_numpy(np.array(found[name], dtype=np.float32)).to(device) for name in kept
    }
    check_finite(weights, str(file))
    return Dictionary(
        W_enc=weights["W_enc"],
        b_enc=weights["b_enc"],
        W_dec=weights.get("W_dec", weights["W_enc"].new_empty(0, d_model)),
        b_dec=weights["b_dec"],
        architecture="jumprelu",
        threshold=weights["threshold"],
        subtract_b_dec=False,
    )


def _kind(place: str) -> str | None:
    """What the repository's name says: ``gemma-scope-9b-pt-res/layer_20/width_1m/average_l0_101``.

    The attention SAEs (``att``) read the input of the output projection.
    """
    kind = re.search(r"gemma-scope-[^/]*-(res|mlp|att|transcoders)(?:-|/|$)", place)
    return kind[1] if kind else None


def _member(file: Path, name: str) -> np.ndarray:
    """One array, mapped into memory where it lies uncompressed."""
    with zipfile.ZipFile(file) as archive:
        info = archive.getinfo(f"{name}.npy")
        with archive.open(info) as stream:
            version = np.lib.format.read_magic(stream)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, fortran, dtype = read(stream)
            header = stream.tell()
        size = math.prod(shape) * dtype.itemsize
        require(
            size + header == info.file_size,
            f"{file} declares {size:,} bytes for {name} but has "
            f"{info.file_size - header:,}; download it again.",
        )
        if info.compress_type != zipfile.ZIP_STORED:
            check_memory(size, f"The array {name} of {file}")
            with archive.open(info) as stream:
                return np.lib.format.read_array(stream, allow_pickle=False)
    require(
        not dtype.hasobject,
        f"{file} contains Python objects in {name}, which functok does not read.",
    )
    with open(file, "rb") as stream:
        stream.seek(info.header_offset + 26)
        lengths = struct.unpack("<HH", stream.read(4))
    start = info.header_offset + 30 + sum(lengths) + header
    order = "F" if fortran else "C"
    return np.memmap(file, dtype=dtype, mode="r", offset=start, shape=shape, order=order)
