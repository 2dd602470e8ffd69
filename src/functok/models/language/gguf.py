"""A GGUF file as a model: dequantised once, through transformers, into a Hugging Face folder.

Such weights are not the published ones: quantising rounded them. So the folder remembers where they
come from, and whatever is measured on them says so.
"""

import io
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from functok.models.language.checkpoint import check_keys
from functok.runtime.disk import check_disk
from functok.runtime.gguf import alone, gguf_header
from functok.runtime.memory import check_memory
from functok.runtime.store import write_json, writing_folder
from functok.runtime.store.records import read_record

_ORIGIN = "gguf.json"


def beside(file: Path) -> Path:
    """Where the folder of a GGUF file lies where no run keeps it: beside the file."""
    return file.with_name(f"{file.name}-dequantised")


def origin_of(folder: Path) -> str | None:
    """Where a model's weights come from, ``dequantised from Q4_K_M``; None where from no GGUF
    file."""
    origin = read_record(folder / _ORIGIN).get("origin")
    return origin if isinstance(origin, str) else None


def dequantised(file: Path, folder: Path) -> Path:
    """The model in a GGUF file as a Hugging Face folder in fp32.

    Args:
        file: is read where ``folder`` was not made from it as it is now.
        folder: where the model is, or is put.

    Raises:
        UserError: if the file cannot be used, or there is no room for the folder.
    """
    header, status = gguf_header(file), file.stat()
    source = {
        "origin": header.origin,
        "file": file.name,
        "bytes": status.st_size,
        "changed": status.st_mtime_ns,
    }
    if read_record(folder / _ORIGIN) == source:
        return folder
    import torch
    from transformers import AutoModelForCausalLM

    size = 4 * sum(weight.numel() for weight in gguf_architecture(file).parameters())
    check_memory(size, f"The model in {file} in fp32")
    check_disk(size, folder.parent, f"The model in {file} in fp32")
    with alone(file) as place, redirect_stderr(io.StringIO()):  # transformers draws a bar
        model, report = AutoModelForCausalLM.from_pretrained(  # type: ignore[misc]
            **place, **_unpacked(), dtype=torch.float32, output_loading_info=True
        )
        check_keys(model, report, str(file))
        _unquantised(model)
    with writing_folder(folder) as temporary:
        model.save_pretrained(temporary)
        write_json(temporary / _ORIGIN, source)
    return folder


def gguf_architecture(file: Path) -> Any:
    """The model in a GGUF file without its weights (they are on the ``meta`` device).

    Raises:
        UserError: if the file cannot be used.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with alone(file) as place:
        config = AutoConfig.from_pretrained(**place)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, trust_remote_code=False).eval()


def _unpacked() -> dict[str, Any]:
    """What keeps those versions of transformers that can from leaving weights quantised."""
    import transformers

    settings = getattr(transformers, "GgufConfig", None)
    return {} if settings is None else {"quantization_config": settings(dequantize=True)}


def _unquantised(model: Any) -> None:
    """Forget that the weights were quantised, which transformers would not save otherwise."""
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
