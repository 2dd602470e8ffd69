"""The tokenizer that was named, and no other.

``AutoTokenizer`` builds a tokenizer from its class: the class's own pre-tokenizer replaces the one
in ``tokenizer.json`` (Qwen, Cohere, Gemma …), and a folder's ``tokenizer.json`` replaces any other
file that was named. So the file itself encodes here, by ``tokenizers``; transformers tells only
which tokens are special and what the chat template is.

Without ``tokenizer.json`` a SentencePiece model is read by itself (``sentencepiece.py``); other
folders are converted by their class, and the conversion is compared with ``vocab.json`` or
``vocab.txt``. Where ids differ, or nothing tells how text is split into words, the folder is
refused.
"""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend

from functok.encoding.backend.sentencepiece import sentencepiece_backend
from functok.encoding.backend.tokenizer_file import check_tokenizer_file
from functok.runtime.errors import outside, require
from functok.runtime.gguf import alone, gguf_header, is_gguf
from functok.runtime.paths import user_path

FILE = "tokenizer.json"
_NAMED = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


def named_tokenizer(name: str) -> Any:
    """A ``PreTrainedTokenizerFast`` that gives the ids of the tokenizer at ``name``.

    Args:
        name: a folder, a file in the format of ``tokenizer.json``, a GGUF file, or a name on the
            hub.

    Raises:
        UserError: if nothing there can be used.
    """
    path = user_path(name)
    if is_gguf(name):
        return _in_gguf(path)
    file = path / FILE if path.is_dir() else path
    place = str(file.parent) if file.is_file() or path.is_dir() else name
    found = file if file.is_file() else None if path.is_dir() else _on_hub(name)
    if found is None:
        return _converted(name, place)
    check_tokenizer_file(found)
    with _loading(name):
        backend = Backend.from_file(str(found))
    return wrapped(checked(backend, name), _settings(place))


def wrapped(backend: Backend, settings: dict[str, Any]) -> Any:
    """``backend`` itself as a Hugging Face tokenizer.

    Args:
        backend: left as it is: of the special tokens, those that it does not have are dropped.
        settings: special tokens, ``extra_special_tokens`` and ``chat_template``.
    """
    from transformers import PreTrainedTokenizerFast

    special = {f"{name}_token": settings.get(f"{name}_token") for name in _NAMED}
    special = {name: token for name, token in special.items() if _has(backend, token)}
    extra = [token for token in settings.get("extra_special_tokens", ()) if _has(backend, token)]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        clean_up_tokenization_spaces=False,
        extra_special_tokens=extra,
        chat_template=settings.get("chat_template"),
        **special,
    )
    # The constructor adds the special tokens to its copy, which changes how text is cut.
    tokenizer._tokenizer = backend
    return tokenizer


def checked(backend: Backend, name: str) -> Backend:
    """``backend``, set to encode texts whole.

    Raises:
        UserError: if it has no tokens, or gives no fixed ids.
    """
    dropout = getattr(backend.model, "dropout", None)
    require(
        not dropout,
        f"Tokenizer {name!r} drops merges at random (dropout {dropout}), so its ids change "
        f"from call to call; set dropout to null in its {FILE}.",
    )
    require(
        backend.get_vocab_size(with_added_tokens=True) > 0,
        f"Tokenizer {name!r} has no tokens; give a trained one.",
    )
    backend.no_truncation()
    backend.no_padding()
    return backend


def _on_hub(name: str, file: str = FILE) -> Path | None:
    """The hub's ``file``, from the cache or fetched; ``None`` where there is none."""
    from transformers.utils.hub import cached_file

    with _loading(name):
        found = cached_file(name, file, _raise_exceptions_for_missing_entries=False)
    return Path(found) if found else None


def _settings(place: str) -> dict[str, Any]:
    """Special tokens and chat template at ``place``: by its class, else as its files say."""
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    except Exception:  # a class that cannot be built from this vocabulary, or wants to run code
        return _written(Path(place))
    return _said(found) | {"extra_special_tokens": list(found.all_special_tokens)}


def _said(tokenizer: Any) -> dict[str, Any]:
    """Special tokens and the chat template as a tokenizer of transformers says them."""
    named = {f"{name}_token": getattr(tokenizer, f"{name}_token", None) for name in _NAMED}
    return named | {"chat_template": tokenizer.chat_template}


def _written(folder: Path) -> dict[str, Any]:
    """What a folder's own files say of special tokens and the chat template."""
    settings: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        try:
            content = json.loads((folder / name).read_bytes())
        except (OSError, ValueError):
            continue
        settings |= content if isinstance(content, dict) else {}
    template = folder / "chat_template.jinja"
    if template.is_file():
        settings["chat_template"] = template.read_text(errors="replace")
    found = {name: _content(settings.get(name)) for name in (f"{one}_token" for one in _NAMED)}
    template = settings.get("chat_template")
    return found | {"chat_template": template if isinstance(template, str) else None}


def _content(token: Any) -> Any:
    return token.get("content") if isinstance(token, dict) else token


def _has(backend: Backend, token: Any) -> bool:
    return isinstance(token, str) and backend.token_to_id(token) is not None


def _converted(name: str, place: str) -> Any:
    """A tokenizer that its class builds from other files than ``tokenizer.json``."""
    from transformers import AutoTokenizer

    with _loading(name):
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    require(
        isinstance(backend, Backend),
        f"Tokenizer {name!r} is not a fast tokenizer; give one with {FILE}.",
    )
    assert isinstance(backend, Backend)
    settings = _said(tokenizer)
    folder = Path(place) if Path(place).is_dir() else _fetched(place)
    models = sorted(folder.glob("*.model")) if folder is not None else []
    why = _difference(backend, folder)
    if models:
        exact = sentencepiece_backend(models[0], name)
        vocabulary = backend.get_vocab(with_added_tokens=True)
        moved = any(vocabulary.get(one) != at for one, at in exact.get_vocab().items())
        why = f"its class gives different ids from {models[0].name}" if moved else None
        backend = exact
    require(
        why is None,
        f"Tokenizer {name!r} has no {FILE}, and {why}; give a folder that holds {FILE}.",
    )
    return wrapped(checked(backend, name), settings)


_GPT2_SPLIT = ("gpt-2", "phi-2", "mpt", "olmo", "jais", "roberta-bpe")
_DIGITS_APART = ("starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b")
"""What llama.cpp calls the rules by which text is split as for GPT-2, and likewise once every digit
stands alone."""


def _in_gguf(file: Path) -> Any:
    """The tokenizer in a GGUF file.

    transformers splits text for byte-level BPE as GPT-2 does where it does not know the rule that
    the file names; where that is another rule, ids would be others than in training.
    """
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    header = gguf_header(file)
    with alone(file) as place:
        found = AutoTokenizer.from_pretrained(**place)
    backend = found.backend_tokenizer
    if header.tokenizer == "gpt2" and isinstance(backend.pre_tokenizer, pre_tokenizers.ByteLevel):
        require(
            header.splitter in (*_GPT2_SPLIT, *_DIGITS_APART),
            f"functok does not know how the tokenizer in {file} splits text (tokenizer.ggml.pre: "
            f"{header.splitter}); name the model's own tokenizer, by its folder or on the hub.",
        )
        if header.splitter in _DIGITS_APART:
            apart = pre_tokenizers.Digits(individual_digits=True)
            backend.pre_tokenizer = pre_tokenizers.Sequence([apart, backend.pre_tokenizer])
    settings = _said(found) | {"extra_special_tokens": list(found.all_special_tokens)}
    return wrapped(checked(backend, str(file)), settings)


def _fetched(name: str) -> Path | None:
    """The folder to which transformers fetched the files of a tokenizer on the hub."""
    files = (_on_hub(name, file) for file in ("tokenizer_config.json", "config.json"))
    return next((file.parent for file in files if file is not None), None)


def _difference(backend: Backend, folder: Path | None) -> str | None:
    """How a conversion differs from the vocabulary that it was made from, in words."""
    listed = {} if folder is None else _listed(folder)
    vocabulary = backend.get_vocab(with_added_tokens=True)
    if any(vocabulary.get(token) != index for token, index in listed.items()):
        return "transformers gives different ids from its vocabulary file"
    if backend.pre_tokenizer is None and backend.normalizer is None:
        return "none of its files defines how text is split into tokens"
    return None


def _listed(folder: Path) -> dict[str, int]:
    """The ids in ``vocab.json`` or ``vocab.txt``; none where neither is there."""
    try:
        if (folder / "vocab.json").is_file():
            return json.loads((folder / "vocab.json").read_bytes())
        lines = (folder / "vocab.txt").read_text().splitlines()
        return {line.rstrip("\n"): index for index, line in enumerate(lines)}
    except (OSError, ValueError):
        return {}


def _loading(name: str) -> AbstractContextManager[None]:
    return outside(
        f"Tokenizer {name!r} cannot be loaded",
        f"give the name of one on the Hugging Face hub, or a folder that holds {FILE}",
    )
