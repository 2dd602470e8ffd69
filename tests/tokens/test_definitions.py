import numpy as np
import polars as pl
import pytest
from polars import selectors

from functok.corpus import Document
from functok.encoding.tokenizer import (
    Encoded,
    encode,
    special_ids,
    train_tokenizer,
    vocabulary_size,
)
from functok.tokens.counting.counts import TokenCounts
from functok.tokens.definitions import describe
from functok.tokens.grammar.treebanks import read_treebank
from functok.tokens.spread.details import Details

NOUNS = ("cat", "dog", "bird", "tree", "river", "stone", "house", "road")


def described(encoded: Encoded, tokenizer, **options) -> dict[str, pl.DataFrame]:
    counts = TokenCounts.of(encoded, vocabulary_size(tokenizer))
    special = special_ids(tokenizer)
    return describe(counts, Details.of(encoded, counts, special), tokenizer, **options)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    rng = np.random.default_rng(0)
    texts = []
    for _ in range(60):
        nouns = rng.choice(NOUNS, 12)
        texts.append(" ".join(f"The {a} and the {b} of it." for a, b in nouns.reshape(6, 2)))
    tokenizer = train_tokenizer(texts, 330)
    lines = [("The", "DET"), ("cat", "NOUN"), ("and", "CCONJ"), ("the", "DET"), ("dog", "NOUN")]
    file = tmp_path_factory.mktemp("treebank") / "small.conllu"
    rest = "\t_" * 6 + "\n"
    sentence = "".join(
        f"{place}\t{form}\t_\t{upos}{rest}" for place, (form, upos) in enumerate(lines, 1)
    )
    file.write_text("".join(f"# newdoc id = {n}\n{sentence}\n" for n in range(5)))
    encoded = encode([Document(str(n), text) for n, text in enumerate(texts)], tokenizer)
    return described(encoded, tokenizer, treebanks={"small": read_treebank(file)})


def test_every_table_is_there_and_filled(tables):
    assert set(tables) == {
        "dispersion", "zipf", "bins", "sweep", "composition", "stability", "definitions",
        "types", "agreement", "ranking", "disagreement", "disagreement_tokens", "homographs",
    }  # fmt: skip
    assert all(len(table) for name, table in tables.items() if name != "homographs")


def test_the_first_definition_is_the_one_by_frequency(tables):
    first = tables["definitions"].row(0, named=True)
    assert first["definition"] == "frequency 40%"
    assert first["jaccard"] == first["jaccard_positions"] == 1.0
    assert first["reached"] >= 0.4
    assert tables["definitions"]["definition"].is_unique().all()


def test_tables_of_treebanks_name_the_treebank(tables):
    for name in ("types", "agreement", "ranking", "disagreement"):
        assert tables[name]["treebank"].unique().to_list() == ["small"]


def test_a_treebank_of_the_same_words_agrees(tables):
    types = tables["types"].filter(token="␣the")
    assert types["klass"].to_list() == ["DET"]
    kappa = tables["agreement"].filter(truth="closed class", weight="tokens", measure="kappa")
    by_name = dict(zip(kappa["definition"], kappa["value"], strict=True))
    assert by_name["treebank small"] == 1.0
    assert 0 < by_name["frequency 40%"] < 1


def test_no_table_holds_a_number_that_is_not_one(tables):
    for name in ("dispersion", "sweep", "stability", "definitions"):
        floats = tables[name].select(selectors.float())
        assert not floats.select(pl.all().is_nan().any()).sum_horizontal().item()


def test_a_token_too_rare_to_be_judged_by_its_neighbours_has_none(tables):
    table = tables["dispersion"]
    judged = table.filter(pl.col("occurrences") >= 100)
    assert 0 < len(judged) < len(table)
    assert judged["next_entropy"].null_count() == 0
    assert table.filter(pl.col("occurrences") < 100)["next_entropy"].is_null().all()


def test_a_definition_that_finds_nothing_is_left_out():
    texts = ["cat dog cat", "dog cat dog"]
    tokenizer = train_tokenizer(texts, 265)
    encoded = encode([Document(text, text) for text in texts], tokenizer)
    names = described(encoded, tokenizer, languages=())["definitions"]["definition"].to_list()
    assert names[0] == "frequency 40%"
    assert not any(name.startswith("lexicon") for name in names)
