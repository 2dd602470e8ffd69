"""Studies, model configs, tokenizers and corpora made up at random: read, or one sentence.

``FUNCTOK_FUZZ`` says how many of each kind (250, so 1,000 in all; ``make fuzz`` tries 5,000).
"""

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from functok.corpora import open_corpus
from functok.corpus.problems import Problems
from functok.encoding.tokenizer_file import check_tokenizer_file
from functok.models.language.folder import check_model_folder
from functok.runtime.errors import UserError
from functok.study.settings import Study, load_study

COUNT = int(os.environ.get("FUNCTOK_FUZZ", "250"))
fuzzed = settings(
    max_examples=COUNT,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

NUMBERS = [-1, 0, 1, 2**31, 2**63, 10**18, 10**30, -(10**18), 0.5, 1e308]
NUMBERS += [float("inf"), float("-inf"), float("nan")]
TEXTS = ["", "x", "..", ".", "/dev/zero", "~nobody", "a" * 5000, "\x1b"]
PARTS = [[], {}, [[]], [1], ["x"], {"x": 1}, {"type": "Replace", "content": "x" * 100}]
ODD = some.sampled_from([None, True, *NUMBERS, *TEXTS, *PARTS])


def changed(value: Any, path: list[int], odd: Any) -> Any:
    """``value`` with one of its parts, found by ``path``, replaced."""
    if not path or not isinstance(value, dict | list) or not value:
        return odd
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[path[0] % len(keys)]
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[key] = changed(copy[key], path[1:], odd)
    return copy


def mutants(base: Any) -> some.SearchStrategy[Any]:
    """``base`` with up to three parts replaced by odd values."""
    change = some.tuples(some.lists(some.integers(0, 40), min_size=1, max_size=4), ODD)

    def apply(changes: list[tuple[list[int], Any]]) -> Any:
        value = base
        for path, odd in changes:
            value = changed(value, path, odd)
        return value

    return some.lists(change, min_size=1, max_size=3).map(apply)


def reads_or_refuses(read: Callable[[], object]) -> None:
    began = time.monotonic()
    with suppress(UserError):
        read()
    assert time.monotonic() - began < 20


@fuzzed
@given(mutants(Study(name="x").model_dump(mode="json")))
def test_studies(tmp_path: Path, study: Any) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study), "utf-8", "replace")
    reads_or_refuses(lambda: load_study(tmp_path / "study.yaml"))


CONFIG = {
    "model_type": "llama",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "vocab_size": 300,
    "rope_scaling": {"type": "linear", "factor": 2.0},
    "attn_implementation": "sdpa",
    "text_config": {"hidden_size": 32},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import numpy as np
    from safetensors.numpy import save_file

    folder = tmp_path_factory.mktemp("model")
    save_file({"x": np.zeros((300, 32), np.float32)}, folder / "model.safetensors")
    return folder


@fuzzed
@given(mutants(CONFIG))
def test_model_configs(model: Path, config: Any) -> None:
    for name in ("config.json", "generation_config.json"):
        (model / name).write_text(json.dumps(config), "utf-8")
    reads_or_refuses(lambda: check_model_folder(model))
    sizes = config.get("hidden_size") if isinstance(config, dict) else None
    if isinstance(sizes, int) and sizes > 10**9:
        with pytest.raises(UserError, match="hidden_size"):
            check_model_folder(model)


TOKENIZER = {
    "added_tokens": [{"id": 2, "content": "<s>", "special": True}],
    "normalizer": {
        "type": "Sequence",
        "normalizers": [{"type": "Replace", "pattern": {"String": " "}, "content": "_"}],
    },
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [], "end_of_word_suffix": None},
}


@fuzzed
@given(mutants(TOKENIZER))
def test_tokenizer_files(tmp_path: Path, tokenizer: Any) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    reads_or_refuses(lambda: check_tokenizer_file(tmp_path / "tokenizer.json"))


@fuzzed
@given(
    some.lists(
        some.one_of(
            mutants({"text": "the cat", "id": 1, "more": [1, {"x": None}]}).map(json.dumps),
            some.text(max_size=20),
            some.sampled_from(["", "[" * 5000, '{"text": "\\ud800"}', '{"text": 1e999}', "\ufeff"]),
        ),
        max_size=6,
    ),
    some.binary(max_size=3),
)
def test_corpora(tmp_path: Path, lines: list[str], tail: bytes) -> None:
    content = "\n".join(lines).encode("utf-8", "surrogatepass") + tail
    (tmp_path / "c.jsonl").write_bytes(content)
    (tmp_path / "d.txt").write_bytes(tail)
    corpus, problems = open_corpus(str(tmp_path)), Problems("skip")
    for shard in corpus.shards():
        blocks = [text for block in corpus.blocks(shard, problems) for text in block.to_pylist()]
        again = [one.text for one in corpus.documents(shard, Problems("skip"))]
        assert blocks == [text for text in again if text.strip()]
