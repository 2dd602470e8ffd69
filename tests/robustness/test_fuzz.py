"""Studies, model and SAE configs, tokenizers and corpora made up at random: read, or one sentence.

``FUNCTOK_FUZZ`` says how many in all (1,000; ``make fuzz`` tries 20,000). Each takes at most twenty
seconds, and all of them together no more than a gigabyte above what was held before.
"""

import json
import os
import resource
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
from functok.encoding.backend.tokenizer_file import check_tokenizer_file
from functok.models.dictionaries import open_sae
from functok.models.language.folder import check_model_folder
from functok.runtime.errors import UserError
from functok.study.settings import Study, load_study

KINDS = 5
fuzzed = settings(
    max_examples=int(os.environ.get("FUNCTOK_FUZZ", "1000")) // KINDS,
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
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with suppress(UserError):
        read()
    assert time.monotonic() - began < 20
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB
    assert more < 1 << 20


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


SAE = {
    "architecture": "topk",
    "k": 4,
    "d_in": 8,
    "d_sae": 16,
    "num_latents": 16,
    "activation_fn": "relu",
    "activation_fn_kwargs": {"k": 4},
    "normalize_activations": "none",
    "rescale_acts_by_decoder_norm": True,
    "hook_name": "blocks.0.hook_resid_post",
    "hook_layer": 0,
    "metadata": {"hook_name": "blocks.0.hook_resid_post", "model_from_pretrained_kwargs": {}},
}


@pytest.fixture(scope="module")
def saes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The weights of one SAE as SAELens and as sparsify keep them."""
    import numpy as np
    from safetensors.numpy import save_file

    lens, sparse = (tmp_path_factory.mktemp(name) for name in ("lens", "layers.0"))
    wide, biases = np.ones((16, 8), np.float32), np.zeros(16, np.float32)
    own = {"W_dec": wide, "b_dec": np.zeros(8, np.float32)}
    both = {"W_enc": np.ascontiguousarray(wide.T), "b_enc": biases}
    save_file({**own, **both}, lens / "sae_weights.safetensors")
    linear = {"encoder.weight": wide, "encoder.bias": biases}
    save_file({**own, **linear}, sparse / "sae.safetensors")
    return [lens, sparse]


@fuzzed
@given(mutants(SAE))
def test_sae_configs(saes: list[Path], config: Any) -> None:
    for folder in saes:
        (folder / "cfg.json").write_text(json.dumps(config), "utf-8")
        reads_or_refuses(lambda folder=folder: open_sae(str(folder), decoder=True))


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
