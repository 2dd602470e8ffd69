"""A named tokenizer gives the ids of the file that was named, whatever stands beside that file."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend
from tokenizers.processors import TemplateProcessing

from functok.corpus import Document
from functok.encoding.backend.check_texts import hostile_texts
from functok.encoding.tokenizer import encode, load_tokenizer, save_tokenizer, separator_id
from functok.runtime.errors import UserError

TEXTS = [
    "The lamp of the house is on the table, and the table is in the room.",
    "It was 1984, and they said: 'we do not know what the 650841823 means.'",
    "中文文本没有空格。 Ünïcödé façade naïve  two  blanks\n\tand a tab",
]
END = "<|endoftext|>"


def byte_level(size: int = 340, split: Regex | None = None) -> Backend:
    backend = Backend(models.BPE())
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split is None)
    backend.pre_tokenizer = (
        last
        if split is None
        else pre_tokenizers.Sequence([pre_tokenizers.Split(split, "isolated"), last])
    )
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(TEXTS * 5, trainer)
    return backend


def digits_by_three() -> Backend:
    return byte_level(split=Regex(r"\p{N}{1,3}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+"))


def lower_case() -> Backend:
    backend = byte_level()
    backend.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase()])
    return backend


def with_added_words() -> Backend:
    backend = byte_level()
    backend.add_tokens(["the lamp", AddedToken("table", single_word=True, normalized=False)])
    return backend


def cut_and_padded() -> Backend:
    backend = byte_level()
    backend.enable_truncation(max_length=4)
    backend.enable_padding(pad_token=END, length=64)
    backend.post_processor = TemplateProcessing(single=f"{END} $A", special_tokens=[(END, 0)])
    return backend


def metaspace() -> Backend:
    backend = Backend(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    backend.decoder = decoders.Metaspace(prepend_scheme="never")
    trainer = trainers.BpeTrainer(
        vocab_size=200, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False
    )
    backend.train_from_iterator(TEXTS * 5, trainer)
    return backend


def unigram() -> Backend:
    backend = Backend(models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement="_")
    backend.decoder = decoders.Metaspace(replacement="_")
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(TEXTS * 5, trainer)
    return backend


def word_piece() -> Backend:
    backend = Backend(models.WordPiece(unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=200, special_tokens=["[UNK]", "[CLS]"], show_progress=False
    )
    backend.train_from_iterator(TEXTS * 5, trainer)
    return backend


KINDS: tuple[Callable[[], Backend], ...] = (
    byte_level,
    digits_by_three,
    lower_case,
    with_added_words,
    cut_and_padded,
    metaspace,
    unigram,
    word_piece,
)
CLASSES = (
    "qwen2",
    "cohere",
    "gemma3_text",
    "llama",
    "gpt2",
    "bloom",
    "bert",
    "t5",
    "no-such-model",
)


def exact(backend: Backend, text: str) -> list[int]:
    whole = Backend.from_str(backend.to_str())
    whole.no_truncation()
    whole.no_padding()
    return whole.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_ids_are_those_of_the_file_whatever_class_the_folder_names(make, tmp_path):
    backend = make()
    backend.save(str(tmp_path / "tokenizer.json"))
    texts = [*TEXTS, *(text for text in hostile_texts(backend) if text)]
    expected = [exact(backend, text) for text in texts]
    for kind in CLASSES:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, "vocab_size": 400}))
        tokenizer = load_tokenizer(str(tmp_path))
        found = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
        assert found == expected, kind
    encoded = encode([Document("", text) for text in texts], tokenizer)
    assert encoded.ids.tolist() == [index for ids in expected for index in ids]


@pytest.mark.parametrize(
    "config",
    [
        {"tokenizer_class": "Qwen2Tokenizer", "split_special_tokens": True},
        {"tokenizer_class": "LlamaTokenizer", "add_prefix_space": True, "bos_token": "<s>"},
        {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "eos_token": "table"},
        {"added_tokens_decoder": {"500": {"content": "the table"}}, "pad_token": "lamp"},
        {"auto_map": {"AutoTokenizer": ["own.Own", None]}, "bos_token": {"content": END}},
    ],
    ids=lambda config: next(iter(config)),
)
def test_ids_are_those_of_the_file_whatever_its_settings_say(config, tmp_path):
    backend = byte_level()
    backend.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = load_tokenizer(str(tmp_path))
    for text in [*TEXTS, f"a{END}b"]:
        assert tokenizer.backend_tokenizer.encode(text).ids == exact(backend, text)
        assert tokenizer.encode(text, add_special_tokens=False) == exact(backend, text)
    assert all(index < backend.get_vocab_size() for index in tokenizer.all_special_ids)
    save_tokenizer(tokenizer, tmp_path / "again")
    again = load_tokenizer(str(tmp_path / "again"))
    assert again.all_special_ids == tokenizer.all_special_ids
    assert separator_id(again) == separator_id(tokenizer)
    assert [again.encode(text) for text in TEXTS] == [exact(backend, text) for text in TEXTS]


def test_a_file_that_is_named_is_used_and_not_its_neighbour(tmp_path):
    byte_level().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": END}))
    small = byte_level(300)
    small.save(str(tmp_path / "small.json"))
    tokenizer = load_tokenizer(str(tmp_path / "small.json"))
    assert tokenizer.encode(TEXTS[0]) == exact(small, TEXTS[0])
    assert separator_id(tokenizer) == 0


def test_truncation_in_the_file_cuts_no_text_and_no_treebank(tmp_path):
    from functok.tokens.grammar.alignment import align
    from functok.tokens.grammar.treebanks import read_treebank

    backend = cut_and_padded()
    backend.save(str(tmp_path / "tokenizer.json"))
    words = ["the", "lamp", "of", "the", "house", "is", "on", "the", "table"]
    rows = [f"{n}\t{word}\t_\tNOUN" + "\t_" * 6 for n, word in enumerate(words, 1)]
    (tmp_path / "bank.conllu").write_text("\n".join(rows) + "\n\n")
    treebank = read_treebank(tmp_path / "bank.conllu")
    tokenizer = load_tokenizer(str(tmp_path))
    expected = exact(backend, " ".join(words))
    plain = tokenizer.backend_tokenizer.encode(" ".join(words), add_special_tokens=False)
    assert plain.ids == expected, "neither cut nor padded"
    assert align(treebank, tokenizer)["token_id"].to_list() == expected
    tokenizer.backend_tokenizer.enable_truncation(3)  # as a caller of the tokenizer may
    assert align(treebank, tokenizer)["token_id"].to_list() == expected


def changed(backend: Backend, change: Callable[[dict], None]) -> str:
    content = json.loads(backend.to_str())
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda content: content["model"].update(dropout=0.1), "drops merges at random"),
        (lambda content: content["model"]["vocab"].update(zzz=2**31), "ids must be whole"),
        (lambda content: content["model"].update(merges=3), "cannot be loaded"),
    ],
    ids=["dropout", "id", "damaged"],
)
def test_a_file_that_gives_no_usable_ids_is_refused(change, sentence, tmp_path):
    (tmp_path / "tokenizer.json").write_text(changed(byte_level(), change))
    with pytest.raises(UserError, match=sentence):
        load_tokenizer(str(tmp_path))


def test_a_tokenizer_that_fails_on_the_corpus_is_refused(tmp_path):
    backend = Backend(models.WordLevel({"the": 0}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match="cannot encode the corpus"):
        encode([Document("", "the lamp")], load_tokenizer(str(tmp_path)))


def sentencepiece_folder(folder: Path, kind: str | None, **options):
    """A folder with a SentencePiece model alone, as SentencePiece reads it."""
    sentencepiece = pytest.importorskip("sentencepiece")
    settings = {
        "model_type": "bpe",
        "vocab_size": 360,
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
    }
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 10),
        model_prefix=str(folder / "tokenizer"),
        minloglevel=2,
        **settings | options,
    )
    if kind is not None:
        (folder / "config.json").write_text(json.dumps({"model_type": kind, "vocab_size": 400}))
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))


@pytest.mark.parametrize("kind", [None, "llama", "gemma", "t5"])
@pytest.mark.parametrize(
    "options",
    [{}, {"add_dummy_prefix": False, "user_defined_symbols": ["▁▁", "<x>", "\n"]}],
    ids=["prefix", "none"],
)
def test_a_sentencepiece_model_gives_its_own_ids(kind, options, tmp_path):
    exact = sentencepiece_folder(tmp_path, kind, **options)
    tokenizer = load_tokenizer(str(tmp_path))
    texts = [*TEXTS, "  <x>two  lines<s>\n\n <x> x   y </s> <0x0A>"]
    found = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    assert found == exact.encode(texts)
    assert all(index < exact.get_piece_size() for index in tokenizer.all_special_ids)


@pytest.mark.parametrize(
    ("kind", "options", "sentence"),
    [
        ("xglm", {}, "its class gives different ids"),
        (None, {"normalization_rule_name": "nmt_nfkc"}, "is not a BPE model of unnormalised text"),
        (None, {"user_defined_symbols": ["<x>"]}, "gives different ids from"),
    ],
)
def test_a_sentencepiece_model_whose_ids_cannot_be_given_is_refused(
    kind, options, sentence, tmp_path
):
    sentencepiece_folder(tmp_path, kind, **options)
    if kind == "xglm":  # its ids are those of the model, but one
        name = json.dumps({"tokenizer_class": "XGLMTokenizer"})
        (tmp_path / "tokenizer_config.json").write_text(name)
        (tmp_path / "tokenizer.model").rename(tmp_path / "sentencepiece.bpe.model")
    with pytest.raises(UserError, match=sentence):
        load_tokenizer(str(tmp_path))


def test_a_vocabulary_without_a_word_on_how_text_is_split_is_refused(tmp_path):
    content = json.loads(byte_level().to_str())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(content["vocab"]))
    merges = "\n".join(" ".join(pair) for pair in content["merges"])
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + merges)
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        load_tokenizer(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    tokenizer = load_tokenizer(str(tmp_path))
    assert tokenizer.encode(TEXTS[0]) == exact(byte_level(), TEXTS[0])


def test_settings_come_from_the_files_where_the_class_cannot_be_built(tmp_path: Path):
    byte_level().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"bos_token": {"content": END}}))
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}")
    tokenizer = load_tokenizer(str(tmp_path))
    assert separator_id(tokenizer) == 0
    assert tokenizer.chat_template == "{{ messages[0].content }}"
