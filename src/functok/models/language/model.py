"""Any Hugging Face causal LM: load it, check its tokenizer, change its residual stream.

The residual stream after layer L, counting from 0, is the *output of decoder layer L*
(``blocks.L.hook_resid_post`` in TransformerLens). It is read with a forward hook on the layer:
``output_hidden_states[-1]`` has the final norm applied and is something else. Nothing above the
layer that is asked for is computed.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from functok.models.language.checkpoint import check_adapter, check_keys, check_quantisation
from functok.models.language.folder import check_model_folder
from functok.models.language.gguf import beside, dequantised, gguf_architecture
from functok.models.language.layers import Model as Model
from functok.models.language.layers import decoder_layers as decoder_layers
from functok.models.language.layers import hidden_of, layer_of, with_hidden
from functok.models.language.probe import check_model, finite
from functok.models.placement import check_precision, parts_of, remedy, spread
from functok.runtime.errors import UserError, outside, require
from functok.runtime.gguf import is_gguf
from functok.runtime.paths import user_path

_LOG = logging.getLogger(__name__)


def load_model(
    name: str, revision: str | None = None, device: str = "cpu", dtype: str = "auto"
) -> Model:
    """A causal LM from a folder or the hub, in evaluation mode, by default in its own precision.

    Args:
        name: a Hugging Face folder, a name on the hub, or a GGUF file, which is dequantised into a
            folder beside it.
        revision: on the hub.
        device: where its weights go; from ``cuda`` they are spread over all devices where they
            exceed its free memory.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.

    Raises:
        UserError: if there is none by that name, if the folder holds no weights, others than its
            configuration says, or an adapter that is not used, if it is no causal LM, or if the
            device does not know its precision.
    """
    from transformers import AutoModelForCausalLM

    folder = _folder_with_weights(name)
    check_adapter(folder, name, revision)
    parts = _parts(name, revision, device, dtype)
    with _loading(name):
        model, report = AutoModelForCausalLM.from_pretrained(  # type: ignore[misc]
            name if folder is None else str(folder),
            revision=revision,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # reported below, in words
            output_loading_info=True,
            **parts,
        )
    check_quantisation(model, name)
    check_keys(model, report, name)
    if not parts:
        check_precision(device, str(model.dtype).removeprefix("torch."))
        with _loading(name):
            model = model.to(torch.device(device))  # type: ignore[arg-type]
    model.eval()
    # what a causal LM returns is fixed here, whatever its config.json asks for
    model.config.return_dict, model.config.is_encoder_decoder = True, False
    check_model(model, name)
    if (said := parts_of(model)) is not None:
        _LOG.warning(said)
    return model


def _parts(name: str, revision: str | None, device: str, dtype: str) -> dict[str, Any]:
    """How accelerate is told to spread a model; nothing where ``device`` alone can hold it."""
    if device != "cuda":  # a number is taken as said
        return {}
    model = architecture(name, revision)
    with _loading(name):
        kind = model.dtype if dtype == "auto" else getattr(torch, dtype)
        most = spread(kind.itemsize * sum(weight.numel() for weight in model.parameters()))
    return {} if most is None else {"device_map": "auto", "max_memory": most}


def _folder_with_weights(name: str) -> Path | None:
    """The folder called ``name``; None where it is a name on the hub.

    Raises:
        UserError: if the folder holds no weights, or asks for what it must not.
    """
    folder = user_path(name)
    if is_gguf(name):
        folder = dequantised(folder, beside(folder))
    if not folder.is_dir():
        return None
    check_model_folder(folder)
    return folder


def _loading(name: str) -> AbstractContextManager[None]:
    return outside(
        f"Model {name!r} cannot be loaded",
        "give a Hugging Face folder, or the name of a causal LM on the hub",
    )


def architecture(name: str, revision: str | None = None) -> Model:
    """A causal LM without its weights (they are on the ``meta`` device): quick to make.

    Raises:
        UserError: if there is none by that name, or the folder holds no weights.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    if is_gguf(name):
        return gguf_architecture(user_path(name))
    folder = _folder_with_weights(name)
    with _loading(name):
        config = AutoConfig.from_pretrained(
            name if folder is None else str(folder), revision=revision, trust_remote_code=False
        )
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, trust_remote_code=False).eval()


def own_precision(model: Model) -> str | None:
    """The dtype that a model's configuration states; None where it states none."""
    dtype = model.config.dtype
    return None if dtype is None else str(dtype).removeprefix("torch.")


def vocabulary_of(model: Model) -> int:
    """Token ids that the model can read (some embed more than the tokenizer has)."""
    return model.get_input_embeddings().weight.shape[0]


def check_tokenizer(model: Model, tokenizer: Any, name: str) -> None:
    """Refuse a tokenizer with ids that the model cannot embed, or that is not the model's own.

    Raises:
        UserError: if an id lies beyond the embedding, or the folder ``name`` carries another
            vocabulary.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise UserError(
            f"The tokenizer has {len(tokenizer)} tokens but model {name!r} embeds only {rows}; "
            "give the tokenizer that the model was trained with."
        )
    own = user_path(name) / "tokenizer.json"
    if own.is_file():
        from tokenizers import Tokenizer

        if Tokenizer.from_file(str(own)).get_vocab() != tokenizer.get_vocab():
            raise UserError(
                f"The tokenizer differs from the one in the folder of model {name!r}; "
                f"load {name!r} as the tokenizer too."
            )


def numbers(found: Tensor, what: str, dtype: torch.dtype) -> Tensor:
    """``found``, if all its values are numbers.

    Args:
        what: the model computed there.
        dtype: the model's.

    Raises:
        UserError: naming what it is, and a dtype that may hold it.
    """
    require(finite(found), f"The model's {what} are not finite in {dtype}; {remedy(dtype)}.")
    return found


@contextmanager
def replacing(model: Model, layer: int, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Pass the residual stream after ``layer`` through ``change`` on every forward pass."""

    def write(module: nn.Module, inputs: Any, output: Any) -> Any:
        return with_hidden(output, change(hidden_of(output)))

    handle = layer_of(model, layer).register_forward_hook(write)
    try:
        yield
    finally:
        handle.remove()
