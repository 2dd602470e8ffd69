import pytest

from functok.runtime.errors import UserError
from functok.tokens.grammar.lexicon import CLOSED, lexicon


def test_the_english_lexicon_is_large_enough():
    assert len(lexicon("en").forms) >= 280


@pytest.mark.parametrize("language", ["en", "fr", "de", "zh"])
def test_forms_are_lower_case_and_their_first_class_is_closed(language):
    for form, classes in lexicon(language).forms.items():
        assert form == form.lower()
        assert classes[0] in CLOSED
        assert len(set(classes)) == len(classes)


def test_a_form_keeps_its_other_classes():
    assert lexicon("en").forms["that"] == ("SCONJ", "PRON", "DET")


def test_the_language_named_first_decides():
    assert lexicon(["en", "fr"]).first("a") == "DET"
    assert lexicon(["fr", "en"]).first("a") == "AUX"
    assert lexicon(["en", "de"]).first("und") == "CCONJ"


def test_case_does_not_matter():
    assert lexicon("en").first("THE") == "DET"
    assert lexicon("en").first("house") is None


def test_an_unknown_language_names_those_there_are():
    with pytest.raises(UserError, match="valid are de, en, fr, zh"):
        lexicon("xx")
