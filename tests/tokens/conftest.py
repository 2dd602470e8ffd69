"""Tokenizers of every kind: three published ones, and four trained here on a few sentences."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

SHARED = Path(__file__).parents[3] / "shared" / "data"
TRAINING = [
    "The cat sat on the mat, and the dog (who was not amused) barked at 3 o'clock.",
    "def f(x):\n    return {'a': x ** 2}\n\nclass A:\n    pass",
    "中文文本没有空格。日本語のテキスト。Ünïcödé façade naïve",
    "It was the best of times, it was the worst of times; it was the age of wisdom.",
] * 5


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of larger real data beside the project."""
    if not SHARED.is_dir():
        pytest.skip("the shared data are not beside the project")
    return SHARED


def _byte_level() -> Backend:
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        TRAINING,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    return backend


def _metaspace() -> Backend:
    backend = Backend(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    backend.train_from_iterator(
        TRAINING,
        trainers.BpeTrainer(
            vocab_size=600, special_tokens=["<unk>", "<s>", "</s>", *bytes_], show_progress=False
        ),
    )
    # the bytes are entries of the vocabulary like any other, not added tokens
    parts = json.loads(backend.to_str())
    parts["added_tokens"] = parts["added_tokens"][:3]
    return Backend.from_str(json.dumps(parts))


def _word_piece() -> Backend:
    backend = Backend(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.train_from_iterator(
        TRAINING,
        trainers.WordPieceTrainer(
            vocab_size=300, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False
        ),
    )
    return backend


def _unigram() -> Backend:
    backend = Backend(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.train_from_iterator(
        TRAINING,
        trainers.UnigramTrainer(
            vocab_size=200, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
        ),
    )
    return backend


_TRAINED: dict[str, Callable[[], Backend]] = {
    "byte-level": _byte_level,
    "metaspace": _metaspace,
    "word-piece": _word_piece,
    "unigram": _unigram,
}
KINDS = ("gpt2", "pythia", "olmo", *_TRAINED)
_made: dict[str, Backend] = {}


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Backend:
    """Each tokenizer in turn."""
    name = request.param
    if name not in _made:
        if name in _TRAINED:
            _made[name] = _TRAINED[name]()
        else:
            folder = request.getfixturevalue("shared") / "tokenizers" / name
            _made[name] = Backend.from_file(str(folder / "tokenizer.json"))
    return _made[name]
