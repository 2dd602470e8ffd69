"""Closed-class words by language: the linguistic definition that needs no download and no tagger.

A closed class takes no new members: determiners, adpositions, conjunctions, auxiliaries, pronouns,
particles. So its forms can be listed. Each form is listed once, under the class in which it mostly
occurs in running text; its other classes are listed separately (``that``: SCONJ, also PRON and
DET). Class names and borders are those of Universal Dependencies: possessives such as ``my`` are
PRON, ``to`` before an infinitive and ``not`` are PART, ``than`` is ADP.

The English list is meant to be complete for the standard written language; the French, German and
Chinese ones hold the frequent forms. Degree adverbs, number words and interjections are left
out: Universal Dependencies counts them as open classes or apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from functok.runtime.errors import check_name

CLOSED = ("DET", "ADP", "CCONJ", "SCONJ", "AUX", "PRON", "PART")
"""The closed classes of Universal Dependencies, NUM left out."""


@dataclass(frozen=True)
class Lexicon:
    """Forms of the closed classes of one or more languages."""

    forms: Mapping[str, tuple[str, ...]]
    """Lower-case form → its classes, the commonest first."""

    def first(self, form: str) -> str | None:
        """The commonest class of ``form`` whatever its case; None for an open-class form."""
        found = self.forms.get(form.lower())
        return found[0] if found else None


def lexicon(languages: str | Sequence[str] = "en") -> Lexicon:
    """The built-in lexicon of a language (``en fr de zh``), or of several in one.

    Of a form that several languages share, the language named first decides the class.

    Raises:
        UserError: if there is none for a language.
    """
    known, found = _listed(), dict[str, tuple[str, ...]]()
    for language in [languages] if isinstance(languages, str) else languages:
        check_name("built-in lexicon for language", language, known)
        for form, classes in known[language].items():
            found.setdefault(form, classes)
    return Lexicon(found)


@cache
def _listed() -> dict[str, dict[str, tuple[str, ...]]]:
    """By language, the classes of every form; see ``forms.tsv``.

    Its lines are a language, a class and the forms that mostly are of it, with "+" before the
    class: that also are of it.
    """
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for line in (files(__package__ or "") / "forms.tsv").read_text("utf-8").splitlines():
        language, name, forms = line.split("\t")
        listed = found.setdefault(language, {})
        for form in forms.split():
            if name.startswith("+"):
                listed[form] += tuple(name.split()[1:])
            else:
                listed.setdefault(form, (name,))
    return found
