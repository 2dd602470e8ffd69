"""The bytes of text that each token represents.

A token that begins a word under WordPiece stands for the word alone: the blank before it is in no
token. One that ends a word by its mark (``the</w>``) stands for the word and the blank after it.
"""

from typing import Any

from functok.encoding.backend.spelling import Spelling
from functok.encoding.tokenizer import vocabulary_size


def token_bytes(tokenizer: Any) -> list[bytes]:
    """The bytes of every token id of a fast tokenizer; added tokens as they are written."""
    backend = tokenizer.backend_tokenizer
    added = backend.get_added_tokens_decoder()
    spelling = Spelling.of(backend)
    spelled = []
    for index in range(vocabulary_size(tokenizer)):
        entry = backend.id_to_token(index)
        if index in added or entry is None:
            spelled.append((entry or "").encode())
        else:
            spelled.append(spelling.spelled(entry))
    return spelled
