from pathlib import Path

import pytest

from functok.runtime.errors import UserError
from functok.tokens.grammar.treebanks import UPOS, read_treebank

DATA = Path(__file__).parents[3] / "shared" / "data" / "treebanks"

FIXTURE = """\
# newdoc id = one
# newpar
# text = Don't ask (du tout).
1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tDo\tdo\tAUX\t_\t_\t3\taux\t_\t_
2\tn't\tnot\tPART\t_\t_\t3\tadvmod\t_\t_
3\task\task\tVERB\t_\t_\t0\troot\t_\t_
3.1\tthem\tthey\tPRON\t_\t_\t_\t_\t_\t_
4\t(\t(\tPUNCT\t_\t_\t3\tpunct\t_\tSpaceAfter=No
5-6\tdu\t_\t_\t_\t_\t_\t_\t_\t_
5\tde\tde\tADP\t_\t_\t3\tcase\t_\t_
6\tle\tle\tDET\t_\t_\t3\tdet\t_\t_
7\ttout\ttout\tPRON\t_\t_\t3\tobl\t_\tSpaceAfter=No
8\t)\t)\tPUNCT\t_\t_\t3\tpunct\t_\tSpaceAfter=No
9\t.\t.\tPUNCT\t_\t_\t3\tpunct\t_\t_

# text = Yes
1\tYes\tyes\tINTJ\t_\t_\t0\troot\t_\t_

# newpar
# text = No
1\tNo\tno\tINTJ\t_\t_\t0\troot\t_\t_

# newdoc id = two
# text = 猫
1\t猫\t猫\tNOUN\t_\t_\t0\troot\t_\tSpaceAfter=No|Gloss=cat

# text = 来
1\t来\t来\tVERB\t_\t_\t0\troot\t_\t_
"""


@pytest.fixture
def treebank(tmp_path):
    file = tmp_path / "small.conllu"
    file.write_text(FIXTURE, encoding="utf-8")
    return read_treebank(file)


def test_the_text_is_rebuilt_with_blanks_paragraphs_and_documents(treebank):
    assert treebank.texts == ("Don't ask (du tout). Yes\n\nNo", "猫来")


def test_every_span_is_its_form(treebank):
    for document, _, start, stop, form, upos in treebank.words.iter_rows():
        assert treebank.texts[document][start:stop] == form
        assert upos in UPOS


def test_multiword_tokens_are_split_where_their_letters_add_up(treebank):
    words = list(zip(treebank.words["form"], treebank.words["upos"], strict=True))
    assert words[:3] == [("Do", "AUX"), ("n't", "PART"), ("ask", "VERB")]
    assert ("du", "ADP") in words
    assert ("le", "DET") not in words


def test_empty_nodes_have_no_text(treebank):
    assert "them" not in treebank.words["form"].to_list()


def test_sentences_are_counted_over_the_treebank(treebank):
    assert treebank.words["sentence"].unique().to_list() == [0, 1, 2, 3, 4]
    both = treebank + treebank
    assert both.words["sentence"].max() == 9
    assert both.words["document"].unique().to_list() == [0, 1, 2, 3]
    assert both.texts == treebank.texts * 2


def test_a_broken_line_is_named(tmp_path):
    file = tmp_path / "broken.conllu"
    file.write_text("# text = a\n1\ta\ta\tDET\n")
    with pytest.raises(UserError, match="line 2 is not CoNLL-U"):
        read_treebank(file)


def test_a_multiword_token_without_its_words_is_named(tmp_path):
    file = tmp_path / "broken.conllu"
    file.write_text("1-2\tdu" + "\t_" * 8 + "\n1\tde\tde\tADP" + "\t_" * 6 + "\n")
    with pytest.raises(UserError, match="line 1 spans words"):
        read_treebank(file)


def rows(*words: tuple[str, str]) -> str:
    lines = [f"{n}\t{form}\t_\t{tag}" + "\t_" * 6 for n, (form, tag) in enumerate(words, 1)]
    return "\n".join(lines) + "\n\n"


SOUND = rows(("the", "DET"), ("cat", "NOUN"), ("_", "SYM"), ("_", "ADP"))


@pytest.mark.parametrize(
    ("added", "sentence"),
    [
        (rows(("the", "_"), ("cat", "_")), r"line 6 has '_' where a universal tag \(UPOS\)"),
        (rows(("the", "DT"), ("cat", "NN")), "line 6 has 'DT' where a universal tag"),
        (rows(("the", "DET"), ("cat", "noun")), "line 7 has 'noun' where a universal tag"),
        (rows(("_", "DET"), ("_", "NOUN"), ("sat", "VERB")), "line 6 has '_' for a word.*withheld"),
        (rows(("___", "DET"), ("_____", "NOUN"), (".", "PUNCT")), "line 6.*withheld"),
        ("# newdoc\n" + rows(("_", "NOUN")) + rows(("_", "VERB")), "line 7.*withheld"),
        (rows(("", "DET")), "line 6 has no word in column 2"),
        (
            "2-1\tdu" + "\t_" * 8 + "\n" + rows(("de", "ADP"), ("le", "DET")),
            "line 6 has number 2-1",
        ),
        ("²" + rows(("a", "DET"))[1:], "line 6 is not CoNLL-U"),
        ("1x" + rows(("a", "DET"))[1:], "line 6 is not CoNLL-U"),
        ("0" + rows(("a", "DET"))[1:], "line 6 is not CoNLL-U"),
        (rows(("a", "DET"))[:-1] + rows(("b", "DET")), "line 7 has number 1 where word 2"),
    ],
)
def test_what_is_no_gold_standard_is_refused_with_its_line(tmp_path, added, sentence):
    file = tmp_path / "bank.conllu"
    file.write_text(SOUND, encoding="utf-8")
    assert len(read_treebank(file).words) == 4
    file.write_text(SOUND + added, encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        read_treebank(file)


def test_a_treebank_in_which_no_word_is_tagged_is_refused(tmp_path):
    file = tmp_path / "bank.conllu"
    file.write_text(rows(("the", "X"), ("cat", "X"), (".", "PUNCT")), encoding="utf-8")
    with pytest.raises(UserError, match=r"PUNCT and X for every universal tag \(UPOS\)"):
        read_treebank(file)


def test_the_mark_of_unicode_at_a_files_start_is_no_text(tmp_path):
    for name, mark in (("a.conllu", ""), ("b.conllu", "\ufeff")):
        (tmp_path / name).write_text(mark + FIXTURE, encoding="utf-8")
    one, other = (read_treebank(tmp_path / name) for name in ("a.conllu", "b.conllu"))
    assert one.texts == other.texts


def test_an_empty_place_is_named(tmp_path):
    (tmp_path / "bank").write_text("# newdoc\n\n")
    with pytest.raises(UserError, match="There is no word in"):
        read_treebank(tmp_path / "bank")
    with pytest.raises(UserError, match=r"no \.conllu file"):
        read_treebank(tmp_path)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the shared treebanks beside the project")
@pytest.mark.parametrize("name", ["UD_English-PUD", "UD_French-PUD", "UD_Chinese-PUD"])
def test_sentences_of_real_treebanks_equal_their_text_comment(name):
    treebank = read_treebank(DATA / name)
    file = next((DATA / name).glob("*.conllu"))
    texts = [
        line.removeprefix("# text = ").rstrip("\n").strip()
        for line in file.open(encoding="utf-8")
        if line.startswith("# text = ")
    ]
    found = [
        treebank.texts[document][words["start"].min() : words["stop"].max()]
        for (_, document), words in treebank.words.group_by(
            "sentence", "document", maintain_order=True
        )
    ]
    differing = [(a, b) for a, b in zip(texts, found, strict=True) if a != b]
    assert len(differing) <= 0.01 * len(texts), differing[:3]
