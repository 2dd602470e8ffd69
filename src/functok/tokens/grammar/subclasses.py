"""What kind of token is it? Sub-classes from the token's text alone, for any language and corpus.

"Function" by frequency mixes commas, articles, digits, line breaks and pieces of words. Every
output can be split by these sub-classes, in this order of decision:

==================  =======================================================================
sub-class           a token whose text …
==================  =======================================================================
``special``         is BOS, EOS, or another token that the tokenizer marks as special
``subword``         is a fragment of UTF-8, or letters that begin no word (see below)
``whitespace``      is blanks, tabs or line breaks only
``digits``          has digits, and neither letters nor markup symbols
``markup``          has one of ``< > { } = + * # @ & | ~ ^ _ ` $ % \\ /`` or another
                    mathematical, currency or other symbol, and is in no class below
``punct-final``     is punctuation with one of ``. ? !`` or its like in other scripts
``punct-internal``  is punctuation with one of ``, ; :`` or a dash
``bracket-quote``   is brackets and quotation marks
``DET`` … ``SCONJ`` is a closed-class form of the lexicon (``lexicon.py``), first class listed
``content``         is anything else
==================  =======================================================================

Letters that begin no word: tokens without the tokenizer's mark of a word's start. Exempt, since
they usually are whole words or clitics: forms of the lexicon with a capital (``The`` at the start
of a line), forms that begin with an apostrophe (``'s``, ``n't``), and scripts without blanks
between words (Chinese, Japanese, Thai, …), of which no string says where a word begins.

What would surprise: a capital letter alone, ``I`` or ``A``, is PRON or DET here; a word-initial
piece such as ``␣un`` is ``content``, since no string says that more will follow; and one form has
one sub-class (``␣to`` is PART), whatever its role. Occurrences are distinguished only by alignment
with a treebank (``alignment.py``).
"""

import re
import unicodedata

import numpy as np
from jaxtyping import Int

from functok.encoding.surfaces import Surfaces, surfaces
from functok.encoding.tokenizer import Tokenizer
from functok.tokens.grammar.lexicon import CLOSED, Lexicon

SUBCLASSES = (
    "punct-final",
    "punct-internal",
    "bracket-quote",
    "whitespace",
    *CLOSED,
    "digits",
    "subword",
    "markup",
    "special",
    "content",
)
"""Names of the sub-classes; their place here is their code."""
CODE = {name: code for code, name in enumerate(SUBCLASSES)}

_FINAL = frozenset(".?!…‽。？！．｡।॥؟۔")
_INTERNAL = frozenset(",;:，；：、､､·،؛")
_MARKUP = frozenset("<>{}=+*#@&|~^_`$%\\/")
_QUOTES = frozenset("\"'")
_SPACELESS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fff\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff]"
)


def subclasses(vocabulary: Surfaces, lexicon: Lexicon) -> Int[np.ndarray, " vocabulary"]:
    """The sub-class of every token id, as a code into ``SUBCLASSES``."""
    codes = np.empty(len(vocabulary.text), np.int8)
    for index, text in enumerate(vocabulary.text):
        if vocabulary.special[index]:
            name = "special"
        elif not vocabulary.whole[index]:
            name = "subword"
        else:
            name = subclass(text, bool(vocabulary.initial[index]), lexicon)
        codes[index] = CODE[name]
    return codes


def subclass_names(tokenizer: Tokenizer, lexicon: Lexicon) -> list[str]:
    """The sub-class of every token id, by name."""
    return [SUBCLASSES[code] for code in subclasses(surfaces(tokenizer), lexicon)]


def subclass(text: str, initial: bool, lexicon: Lexicon) -> str:
    """The sub-class of one token's text.

    Args:
        text: without the mark of a word's start.
        initial: whether the token begins a word.
        lexicon: closed-class forms.
    """
    bare = text.strip()
    if not bare:
        return "whitespace" if text else "content"
    if not any(letter.isalpha() for letter in bare):
        return _without_letters(bare)
    form = bare.replace("’", "'")
    listed = lexicon.first(form)
    spaceless = _SPACELESS.search(bare) is not None
    if listed and (initial or spaceless or form[0].isupper() or "'" in form):
        return listed
    if any(_kind(letter) == "markup" for letter in bare):
        return "markup"
    return "content" if initial or spaceless else "subword"


def _without_letters(bare: str) -> str:
    kinds = {_kind(letter) for letter in bare}
    for name in ("markup", "digits", "punct-final", "punct-internal", "bracket-quote"):
        if name in kinds:
            return name
    return "subword"  # combining marks and the like: never a word of their own


def _kind(letter: str) -> str:
    if letter in _FINAL:
        return "punct-final"
    if letter in _INTERNAL:
        return "punct-internal"
    if letter in _MARKUP:
        return "markup"
    if letter in _QUOTES:
        return "bracket-quote"
    category = unicodedata.category(letter)
    if category[0] == "N":
        return "digits"
    if category[0] == "S":
        return "markup"
    if category in ("Ps", "Pe", "Pi", "Pf"):
        return "bracket-quote"
    if category[0] == "P":  # dashes, connectors, other
        return "punct-internal"
    return "other"
