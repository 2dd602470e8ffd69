"""A model's folder from somebody else, looked at before anything is loaded from it.

``transformers`` takes weights from whatever files an index names, pickled ones too, allocates what
``config.json`` asks for, and fetches attention kernels that it names. So the names must be those of
safetensors files in the folder, and the sizes no more than the weights themselves can fill.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from functok.runtime.errors import UserError, require
from functok.runtime.store import read_json, regular

_LARGEST = 1 << 24
_INDEX = "model.safetensors.index.json"
_COUNTED = ("layer", "expert", "head")
_SIZED = ("size", "dim", "embd", "inner", "d_model", "d_ff", "width", "rank", "vocab")


def check_model_folder(folder: Path) -> None:
    """Refuse a folder whose files name others outside it, or claim what its weights cannot hold.

    Raises:
        UserError: that names the file and the key.
    """
    settings = {}
    for name in ("config.json", "generation_config.json"):
        file = folder / name
        if file.exists() or file.is_symlink():
            settings[name] = read_json(file, _LARGEST)
            require(isinstance(settings[name], dict), f"{file} does not contain settings.")
    weights = _weights(folder)
    if not weights:
        raise UserError(
            f"Model folder {folder} contains no weights; it needs model.safetensors and "
            "config.json."
        )
    numbers = 8 * sum(file.stat().st_size for file in weights)  # nothing is stored in under a bit
    for key, value in _entries(settings.get("config.json", {})):
        last = key.rpartition(".")[2]
        if "attn_implementation" in last and isinstance(value, str):
            require(
                "/" not in value,
                f"{folder / 'config.json'} names an attention kernel on the hub, {value[:80]!r}, "
                f"which would be run; remove {key}.",
            )
        if isinstance(value, bool) or not isinstance(value, int):
            continue
        if any(word in last for word in (*_COUNTED, *_SIZED)):
            require(
                value <= numbers,
                f"{folder / 'config.json'} gives {key} as {value:,}, but its weights have at most "
                f"{numbers:,} numbers; correct it.",
            )


def _weights(folder: Path) -> list[Path]:
    """The weights' files; those that an index names must be safetensors in the folder itself."""
    index = folder / _INDEX
    single = folder / "model.safetensors"
    if regular(single) or not (index.exists() or index.is_symlink()):
        return [file for file in folder.glob("*.safetensors") if regular(file)]
    content = read_json(index, 1 << 28)
    names = content.get("weight_map") if isinstance(content, dict) else None
    require(
        isinstance(names, dict) and bool(names), f"{index} has no weight_map; download it again."
    )
    assert isinstance(names, dict)
    found = sorted({str(name) for name in names.values()})
    for name in found:
        require(
            name.endswith(".safetensors") and Path(name).name == name,
            f"{index} names {name[:80]!r}; weights are read from safetensors files in the model's "
            "own folder alone, never from pickled or other ones.",
        )
        require(regular(folder / name), f"{index} names {name[:80]!r}, which is not there.")
    return [folder / name for name in found]


def _entries(part: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested settings."""
    if isinstance(part, dict) and depth < 20:
        for key, value in part.items():
            yield f"{prefix}{key}", value
            yield from _entries(value, f"{prefix}{key}.", depth + 1)
