"""The corpus of the golden run, and its treebank: sentences of tagged words, drawn from a seed.

Closed-class words come from long lists, so that the controls have function types to compare, and
some strings (that, her, can, saw, light) stand in two word classes.
"""

import json
import random
from pathlib import Path

Word = tuple[str, str]
"""Form and universal part of speech."""

_WORDS = {
    "PROPN": "Ada Ben Cleo Dan Eve Finn Ida Jon Lea Max Nia Otto Pia Will Rose London Oslo",
    "NOUN": "apple book candle garden river market lamp light saw can letter window teacher boat "
    "house dog cat song road ship table stone bird field box answer train key",
    "VERB": "found lost saw made sold carried opened kept left liked wanted read heard moved",
    "ADJ": "old small green heavy quiet round light open golden left strange cold",
    "ADV": "never often soon here there again slowly almost",
    "DET": "the the the the a a a this that these every some no each any another its their her his",
    "ADP": "of of in in on under near from with by to for at over through about after without",
    "PRON": "it it she he they we you who nothing everyone her him them that this",
    "AUX": "was was is had has could would can will might must did",
    "CCONJ": "and and but or nor yet",
    "SCONJ": "that because if when while although until since whether",
    "NUM": "two three 7 12 1984 40",
    "PART": "not to",
}
_LISTS = {tag: words.split() for tag, words in _WORDS.items()}
_SENTENCES = [
    "PROPN VERB DET ADJ NOUN ADP DET NOUN .",
    "ADP DET NOUN ADP PROPN there/PRON was/AUX a/DET ADJ NOUN , CCONJ DET NOUN AUX ADJ .",
    "DET NOUN ADP DET NOUN is/AUX ADJ , CCONJ PROPN and/CCONJ DET NOUN VERB PRON .",
    "When/SCONJ PROPN VERB DET NOUN , PRON AUX ADJ and/CCONJ PRON AUX not/PART ADJ .",
    "PRON said/VERB that/SCONJ PROPN AUX not/PART read/VERB DET NOUN SCONJ PRON VERB PRON .",
    "PROPN wanted/VERB to/PART keep/VERB that/DET NOUN for/ADP NUM days/NOUN .",
    "“ AUX PRON ADJ ? ” asked/VERB PROPN . “ No/INTJ , PRON AUX ADV ADJ ! ” said/VERB PROPN .",
    "PRON VERB her/PRON , CCONJ her/DET NOUN VERB ADP DET NOUN ADP DET NOUN ADP PROPN .",
    "SCONJ PRON VERB DET NOUN , PROPN AUX ADV VERB DET NOUN ; PRON AUX ADJ .",
    "DET NOUN that/PRON PROPN VERB ADP DET NOUN AUX ADJ : NUM ADJ NOUN and/CCONJ NUM NOUN .",
    "ADV DET NOUN VERB ADP DET NOUN , ADP DET NOUN , and/CCONJ ADP PROPN .",
]
_BEFORE_NONE = set(".,;:?!”")
"""Marks without a blank before them."""


def _sentence(chance: random.Random, topic: dict[str, str]) -> list[Word]:
    words: list[Word] = []
    for part in chance.choice(_SENTENCES).split():
        form, _, tag = part.partition("/")
        if form in _LISTS:
            drawn = topic.get(form) if chance.random() < 0.4 else None
            words.append((drawn or chance.choice(_LISTS[form]), form))
        else:
            words.append((form, tag or "PUNCT"))
    first, tag = words[0]
    words[0] = (first[0].upper() + first[1:], tag)
    return words


def _document(chance: random.Random) -> list[list[Word]]:
    """Sentences that come back to one noun, one name and one adjective."""
    topic = {tag: chance.choice(_LISTS[tag]) for tag in ("PROPN", "NOUN", "ADJ")}
    return [_sentence(chance, topic) for _ in range(chance.randint(2, 4))]


def _joined(words: list[Word]) -> list[bool]:
    """Whether no blank stands after each word."""
    following = [form for form, _ in words[1:]] + [""]
    return [
        word == "“" or after in _BEFORE_NONE
        for (word, _), after in zip(words, following, strict=True)
    ]


def _text(words: list[Word]) -> str:
    parts = (
        form + ("" if close else " ")
        for (form, _), close in zip(words, _joined(words), strict=True)
    )
    return "".join(parts).strip()


def write_corpus(path: Path, documents: int = 420, seed: int = 0) -> Path:
    """A JSON-lines corpus; the same seed gives the same bytes."""
    chance = random.Random(seed)
    texts = [" ".join(map(_text, _document(chance))) for _ in range(documents)]
    lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts]
    path.write_text("".join(lines), "utf-8")
    return path


def write_treebank(path: Path, documents: int = 250, seed: int = 0) -> Path:
    """The first documents of the same seed's corpus, as CoNLL-U with universal tags alone."""
    chance = random.Random(seed)
    blocks = []
    for number in range(documents):
        blocks.append(f"# newdoc id = {number}\n")
        blocks += [_block(words) for words in _document(chance)]
    path.write_text("".join(blocks), "utf-8")
    return path


def _block(words: list[Word]) -> str:
    """A sentence in CoNLL-U."""
    rows = [
        "\t".join([str(place), form, "_", tag, *"_____", "SpaceAfter=No" if near else "_"])
        for place, ((form, tag), near) in enumerate(zip(words, _joined(words), strict=True), 1)
    ]
    return "\n".join([f"# text = {_text(words)}", *rows]) + "\n\n"
