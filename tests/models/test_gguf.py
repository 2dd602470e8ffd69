"""GGUF files as models: dequantised once, by name of their quantisation, or one sentence."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import tiny
from gguf_files import TEXTS, write
from torch import nn

from functok.encoding.tokenizer import load_tokenizer, train_tokenizer
from functok.models.language.gguf import beside, dequantised, origin_of
from functok.models.language.model import architecture, load_model
from functok.runtime.errors import UserError
from functok.runtime.gguf import gguf_header, is_gguf
from functok.study.settings import ModelPart
from system.tiny import functok, write_corpus


@pytest.fixture
def gguf() -> Any:
    return pytest.importorskip("gguf", reason="the package gguf is not installed")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(TEXTS * 3, 290)


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> nn.Module:
    """A tiny Llama whose rows fill the blocks of a quantised format."""
    return tiny(
        *("llama",),
        vocab_size=len(tokenizer),
        hidden_size=32,
        head_dim=16,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=64,
        tie_word_embeddings=False,
    )


def logits(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.arange(1, 20)[None]).logits


def test_weights_that_were_not_quantised_give_the_same_model(
    gguf: Any, model: nn.Module, tokenizer: Any, tmp_path: Path
) -> None:
    file = write(gguf, tmp_path / "plain.gguf", model, tokenizer)
    found = load_model(str(file))
    assert found.dtype == torch.float32
    torch.testing.assert_close(logits(found), logits(model))
    assert origin_of(beside(file)) == "read from a GGUF file in F32"
    meta = architecture(str(file))
    assert {name: weight.shape for name, weight in meta.state_dict().items()} == {
        name: weight.shape for name, weight in found.state_dict().items()
    }


def test_quantised_weights_are_those_that_the_format_keeps(
    gguf: Any, model: nn.Module, tokenizer: Any, tmp_path: Path
) -> None:
    kinds = {"kind": "Q8_0", "file_type": gguf.LlamaFileType.MOSTLY_Q8_0}
    file = write(gguf, tmp_path / "small.gguf", model, tokenizer, **kinds)
    folder = dequantised(file, tmp_path / "made")
    assert origin_of(folder) == "dequantised from Q8_0"
    found = load_model(str(folder)).state_dict()
    kind = gguf.GGMLQuantizationType.Q8_0
    for name in ("model.embed_tokens.weight", "model.layers.1.mlp.down_proj.weight"):
        weight = model.state_dict()[name].numpy()
        kept = gguf.quants.dequantize(gguf.quants.quantize(weight, kind), kind)
        np.testing.assert_array_equal(found[name].numpy(), kept)
        assert (kept != weight).any()


def test_a_file_is_dequantised_once_and_again_when_it_has_changed(
    gguf: Any, model: nn.Module, tokenizer: Any, tmp_path: Path
) -> None:
    file = write(gguf, tmp_path / "model.gguf", model, tokenizer)
    place = dequantised(file, tmp_path / "made") / "model.safetensors"
    before = place.stat().st_mtime_ns
    dequantised(file, tmp_path / "made")
    assert place.stat().st_mtime_ns == before
    write(gguf, file, model, tokenizer, kind="Q4_0")
    dequantised(file, tmp_path / "made")
    assert place.stat().st_mtime_ns != before
    assert origin_of(tmp_path / "made") == "dequantised from Q4_0", "as most of its numbers are"


def test_what_lies_beside_a_file_is_not_read(
    gguf: Any, model: nn.Module, tokenizer: Any, tmp_path: Path
) -> None:
    file = write(gguf, tmp_path / "model.gguf", model, tokenizer)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_text("no JSON at all")
    torch.testing.assert_close(logits(load_model(str(file))), logits(model))
    assert load_tokenizer(str(file)).get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize("splitter", ["gpt-2", "smollm"])
def test_the_tokenizer_in_a_file_gives_the_ids_of_training(
    gguf: Any, model: nn.Module, tokenizer: Any, tmp_path: Path, splitter: str
) -> None:
    file = write(gguf, tmp_path / "model.gguf", model, tokenizer, splitter=splitter)
    found = load_tokenizer(str(file))
    for text in [*TEXTS, "a 77\n\n  b<|endoftext|>c", "naïve 🙂"]:
        expected = tokenizer.encode(text, add_special_tokens=False)
        ids = found.encode(text, add_special_tokens=False)
        assert found.decode(ids) == text
        if splitter == "gpt-2":
            assert ids == expected
        else:
            assert all(sum(map(str.isdigit, found.decode([one]))) <= 1 for one in ids)
    assert found.bos_token == "<|endoftext|>"


def test_a_run_keeps_the_weights_and_every_output_says_where_they_come_from(
    gguf: Any, whole_run: Path, tmp_path: Path
) -> None:
    trained = load_model(str(whole_run / "models" / "step-000024"))
    tokenizer = load_tokenizer(str(whole_run / "tokenizer"))
    kinds = {"kind": "Q8_0", "file_type": gguf.LlamaFileType.MOSTLY_Q8_0}
    file = write(gguf, tmp_path / "my model.Q8_0.gguf", trained, tokenizer, **kinds)
    sae = whole_run / "dictionaries" / "main" / "step-000024"
    corpus, run = write_corpus(tmp_path / "corpus.jsonl", 60), tmp_path / "run"
    said = functok(
        *("graph", "--model", file, "--sae", sae, "--corpus", corpus, "--context", 32, "-o", run)
    )
    assert said.code == 0, said.err
    origin = "dequantised from Q8_0"
    assert origin in said.out
    assert origin in said.err
    assert origin_of(run / "models" / "my-model.Q8_0") == origin
    assert origin in (run / "provenance.json").read_text()
    assert not beside(file).exists(), "the run keeps it"
    file.unlink()
    for command in ("graph", "coverage", "report"):
        said = functok(command, run)
        assert said.code == 0, said.err
        assert origin in said.out
    assert origin in (run / "report.html").read_text()
    said = functok("trace", run, "--prompt", "The lamp of the")
    assert said.code == 0, said.err
    assert origin in said.out


def test_a_model_is_asked_without_a_run(gguf: Any, whole_run: Path, tmp_path: Path) -> None:
    trained = load_model(str(whole_run / "models" / "step-000024"))
    tokenizer = load_tokenizer(str(whole_run / "tokenizer"))
    file = write(gguf, tmp_path / "model.gguf", trained, tokenizer, kind="Q8_0")
    sae = whole_run / "dictionaries" / "main" / "step-000024"
    said = functok("trace", "--model", file, "--sae", sae, "--prompt", "The lamp of the")
    assert said.code == 0, said.err
    assert "The model's weights are dequantised from Q8_0." in said.out
    assert beside(file).is_dir()


def test_an_unknown_architecture_is_refused(
    gguf: Any, model: nn.Module, tokenizer: Any, tmp_path: Path
) -> None:
    file = write(gguf, tmp_path / "odd.gguf", model, tokenizer, architecture="perceiver")
    for read in (lambda: load_model(str(file)), lambda: architecture(str(file))):
        with pytest.raises(UserError, match="architecture perceiver is not supported") as caught:
            read()
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith("fetch the file again.")
    assert not beside(file).exists()


def test_a_broken_file_is_refused(
    gguf: Any, model: nn.Module, tokenizer: Any, tmp_path: Path
) -> None:
    whole = write(gguf, tmp_path / "whole.gguf", model, tokenizer).read_bytes()
    wrong = {
        "empty": b"",
        "text": b"this is no model",
        "magic": b"GGUF" + b"\xff" * 200,
        "head": whole[:500],
        "cut": whole[: len(whole) // 2],
    }
    for name, content in wrong.items():
        file = tmp_path / f"{name}.gguf"
        file.write_bytes(content)
        for read in (load_model, load_tokenizer, architecture):
            with pytest.raises(UserError, match=r"GGUF file .* cannot be (read|used)") as caught:
                read(str(file))
            assert "\n" not in str(caught.value)


def test_a_file_that_lacks_weights_is_refused(
    gguf: Any, model: nn.Module, tokenizer: Any, tmp_path: Path
) -> None:
    less = nn.Module()
    less.config = model.config  # type: ignore[assignment]
    left = {k: v for k, v in model.state_dict().items() if "layers.1.mlp.up" not in k}
    less.state_dict = lambda: left  # type: ignore[method-assign,assignment]
    file = write(gguf, tmp_path / "less.gguf", less, tokenizer)
    with pytest.raises(UserError, match=r"1 of its weights are missing.*layers\.1\.mlp\.up_proj"):
        load_model(str(file))


def test_a_rule_of_splitting_text_that_nobody_knows_is_refused(
    gguf: Any, model: nn.Module, tokenizer: Any, tmp_path: Path
) -> None:
    file = write(gguf, tmp_path / "model.gguf", model, tokenizer, splitter="my-own")
    with pytest.raises(UserError, match=r"splits text .*: my-own\); name the"):
        load_tokenizer(str(file))


def test_the_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    for read in (load_model, load_tokenizer, architecture):
        with pytest.raises(UserError, match=r"needs the package gguf, .*functok\[gguf\]"):
            read(str(file))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert is_gguf("Some/Model.GGUF")
    (tmp_path / "folder.gguf").mkdir()
    assert not is_gguf(tmp_path / "folder.gguf")
    with pytest.raises(UserError, match="There is no GGUF file"):
        gguf_header(tmp_path / "missing.gguf")
    said = functok("trace", "--model", "missing.gguf", "--sae", "x", "--prompt", "a").complaint
    assert "There is no" in said


def test_a_file_has_no_revisions() -> None:
    with pytest.raises(ValueError, match="a GGUF file has no revisions"):
        ModelPart(load="model.gguf", revisions=("step1",))
