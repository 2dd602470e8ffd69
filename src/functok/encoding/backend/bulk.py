"""Token ids in bulk: gigatoken where it agrees with Hugging Face's ``tokenizers``, else the latter.

The ids must equal Hugging Face's. A tokenizer takes the fast path only if gigatoken can load it and
gives the same ids on difficult texts (``check_texts.py``) and on a sample of the corpus; otherwise
``tokenizers`` encodes, and ``EncodingPath`` says why. Single documents with characters on which the
two libraries may differ always go through ``tokenizers`` (``unicode.py``).
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Integer
from tokenizers import Tokenizer as Backend

from functok.corpus.blocks import buffers, text_array
from functok.encoding.backend.check_texts import hostile_texts
from functok.encoding.backend.unicode import disputed
from functok.runtime.errors import UserError, first_line
from functok.runtime.limits import within

SAMPLED_DOCUMENTS, SAMPLED_CHARACTERS = 16, 16_384
"""The sample on which the fast path is checked: documents of each block, most characters of each
document."""

PATIENCE = 20.0
"""Seconds that a tokenizer is given for any text, besides one for every 50 kB: a twentieth of the
usual speed."""


class Ids(NamedTuple):
    """Some documents as token ids, without added special tokens."""

    ids: Integer[np.ndarray, " tokens"]
    """Of all documents, one after another (32 bits)."""
    offsets: Integer[np.ndarray, " bounds"]
    """Document d is ``ids[offsets[d] : offsets[d + 1]]``."""


class EncodingPath(NamedTuple):
    """Which library encodes, and why."""

    library: Literal["gigatoken", "tokenizers"]
    why: str
    """A clause for people."""


class BulkEncoder:
    """Encodes blocks of documents as ``tokenizer`` does."""

    def __init__(self, tokenizer: Backend, path: EncodingPath, fast: Any = None) -> None:
        self.path = path
        self._exact = untruncated(tokenizer)
        self._fast = fast
        if path.library == "gigatoken" and fast is None:
            self._fast = _gigatoken(self._exact)

    @classmethod
    def checked(cls, tokenizer: Backend, sample: pa.Array) -> "BulkEncoder":
        """Gigatoken, if it gives the ids of ``tokenizers`` on hostile texts and on ``sample``."""
        exact = untruncated(tokenizer)
        try:
            fast = _gigatoken(exact)
        except ImportError:
            return cls(exact, EncodingPath("tokenizers", "gigatoken is not installed here"))
        except Exception as error:
            why = f"gigatoken cannot load this tokenizer: {first_line(error)}"
            return cls(exact, EncodingPath("tokenizers", why))
        hostile = text_array(hostile_texts(exact))
        for texts, name in ((hostile, "hostile texts"), (sample, "documents of the corpus")):
            one, other = _by_gigatoken(fast, texts), _by_tokenizers(exact, texts)
            differ = np.setdiff1d(_different(one, other), disputed(texts))
            if len(differ):
                why = f"gigatoken gives different ids on {len(differ)} of {len(texts)} {name}"
                return cls(exact, EncodingPath("tokenizers", why))
        why = f"equal ids on {len(hostile)} hostile texts and {len(sample)} documents of the corpus"
        return cls(exact, EncodingPath("gigatoken", why), fast)

    def encode(self, texts: pa.Array) -> Ids:
        """The ids of some documents (``large_string``, no nulls).

        Threads may call it side by side, which costs less than gigatoken's own spreading of one
        block over all cores; each call works on one core.
        """
        if self._fast is None:
            return _by_tokenizers(self._exact, texts)
        found = _by_gigatoken(self._fast, texts)
        which = disputed(texts)
        if len(which):
            return _replaced(found, which, _by_tokenizers(self._exact, texts.take(which)))
        return found


def sample(blocks: Sequence[pa.Array]) -> pa.Array:
    """Some documents of each block, evenly spread."""
    texts: list[str] = []
    for block in blocks:
        places = np.unique(np.linspace(0, max(len(block) - 1, 0), SAMPLED_DOCUMENTS).astype(int))
        texts += [block[int(place)].as_py()[:SAMPLED_CHARACTERS] for place in places[: len(block)]]
    return text_array(texts)


def untruncated(tokenizer: Backend) -> Backend:
    """The tokenizer, or a copy that encodes texts whole where this one cuts or pads."""
    if tokenizer.truncation is None and tokenizer.padding is None:
        return tokenizer
    copy = Backend.from_str(tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy


def _gigatoken(tokenizer: Backend) -> Any:
    import gigatoken

    return gigatoken.Tokenizer.from_json(tokenizer.to_str())


def _by_gigatoken(fast: Any, texts: pa.Array) -> Ids:
    import awkward
    from awkward.contents import ListOffsetArray, NumpyArray
    from awkward.index import Index64

    offsets, data = buffers(texts)
    characters = NumpyArray(data, parameters={"__array__": "char"})  # type: ignore[arg-type]
    layout = ListOffsetArray(Index64(offsets), characters, parameters={"__array__": "string"})
    batch = awkward.Array(layout)
    found = _patiently(lambda: fast.encode_batch(batch, parallel=False), len(data)).layout
    bounds = np.asarray(found.offsets.data)
    return Ids(np.asarray(found.content.data)[bounds[0] : bounds[-1]], bounds - bounds[0])


def _by_tokenizers(exact: Backend, texts: pa.Array) -> Ids:
    held = texts.to_pylist()
    try:
        encodings = _patiently(
            lambda: exact.encode_batch_fast(held, add_special_tokens=False), texts.nbytes
        )
    except (UserError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # tokenizers raises bare ones, and panics are no Exception
        raise UserError(
            f"The tokenizer cannot encode the corpus ({first_line(error)}); give one that "
            "can encode any text."
        ) from error
    return _joined([np.asarray(encoding.ids, np.uint32) for encoding in encodings])


def _patiently(work: Callable[[], Any], size: int) -> Any:
    """Encode ``size`` bytes, unless that takes a time beyond all reason.

    A pattern in a tokenizer can take exponential time: (a+)+$.
    """
    seconds = PATIENCE + size / 50_000
    return within(
        seconds,
        work,
        f"The tokenizer took more than {seconds:.0f} s for {size:,} bytes, as a pattern like "
        "(a+)+$ makes it; give another.",
    )


def _joined(parts: list[np.ndarray]) -> Ids:
    offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    return Ids(np.concatenate([np.empty(0, np.uint32), *parts]), offsets)


def _different(one: Ids, other: Ids) -> Integer[np.ndarray, " documents"]:
    """Documents whose ids differ."""
    pairs = zip(_documents(one), _documents(other), strict=True)
    return np.flatnonzero([not np.array_equal(left, right) for left, right in pairs])


def _documents(found: Ids) -> list[np.ndarray]:
    return np.split(found.ids, found.offsets[1:-1])


def _replaced(found: Ids, which: np.ndarray, other: Ids) -> Ids:
    parts = _documents(found)
    for index, part in zip(which, _documents(other), strict=True):
        parts[index] = part
    return _joined(parts)
