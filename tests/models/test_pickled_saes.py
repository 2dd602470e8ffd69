"""Pickles of published SAEs: tensors alone are read, and that is said."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from layouts import D, N, dictionary_learning, noise, qwen_scope

from functok.models.dictionaries import open_sae
from functok.models.dictionaries.verification import sentence, verify
from functok.models.language.hooks import HookPoint
from functok.runtime.errors import UserError


class Opens:
    """Code that a pickle may name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def refusal(spec: str) -> str:
    with pytest.raises(UserError) as caught:
        open_sae(spec)
    said = str(caught.value)
    assert "\n" not in said
    assert "weights_only" not in said, "torch's own words advise to run what the file says"
    return said


def test_that_a_pickle_was_read_is_said(tmp_path: Path) -> None:
    for layout in (qwen_scope(tmp_path), dictionary_learning(tmp_path, "BatchTopKSAE")):
        sae = open_sae(layout.spec, decoder=True)
        said = f"{layout.file.name} is a pickle; only its tensors were read (weights_only)."
        assert sae.note == said
        assert sae.hook is not None
        assert sentence(sae, sae.hook, verify(sae, noise(30, D))).endswith(said)


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    layout, trace = qwen_scope(tmp_path), tmp_path / "was-run"
    whole = torch.load(layout.file, weights_only=True)
    torch.save(whole | {"more": Opens(trace)}, layout.file)
    assert "never reads; convert it to safetensors" in refusal(layout.spec)
    layout.file.write_bytes(pickle.dumps(Opens(trace)))
    refusal(layout.spec)
    assert not trace.exists()


@pytest.mark.parametrize(
    "content",
    [
        {"W_enc": noise(4, 4), "k": 50},
        {"state_dict": {"W_enc": noise(4, 4)}},
        {3: noise(4, 4)},
        [noise(4, 4)],
        noise(4, 4),
        {},
        {"W_enc": torch.zeros(1).expand(1 << 20, 1 << 20)},
        {"W_enc": torch.eye(3).to_sparse()},
        {"W_enc": torch.zeros(3, dtype=torch.complex64)},
    ],
)
def test_anything_but_tensors_by_name_is_refused(tmp_path: Path, content) -> None:
    layout = qwen_scope(tmp_path)
    torch.save(content, layout.file)
    assert "a pickle of more than named tensors" in refusal(layout.spec)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02nonsense", b"{"])
def test_a_damaged_pickle_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    layout = dictionary_learning(tmp_path, "AutoEncoder")
    layout.file.write_bytes(content)
    assert str(layout.file) in refusal(layout.spec)


def test_a_truncated_pickle_is_one_sentence(tmp_path: Path) -> None:
    layout = qwen_scope(tmp_path)
    layout.file.write_bytes(layout.file.read_bytes()[:5_000])
    assert str(layout.file) in refusal(layout.spec)


def test_a_pickle_of_the_old_kind_is_read_whole(tmp_path: Path) -> None:
    layout = qwen_scope(tmp_path)
    whole = OrderedDict(torch.load(layout.file, weights_only=True))
    torch.save(whole, layout.file, _use_new_zipfile_serialization=False)
    x = noise(20, D)
    active = open_sae(layout.spec).dictionary.encode(x)
    found = torch.zeros(20, 1024)
    found[active.rows, active.features] = active.values
    torch.testing.assert_close(found, layout.encode(x), rtol=1e-4, atol=1e-4)


def test_parameters_are_tensors(tmp_path: Path) -> None:
    layout = dictionary_learning(tmp_path, "AutoEncoder")
    stored = torch.load(layout.file, weights_only=True)
    torch.save({name: torch.nn.Parameter(one) for name, one in stored.items()}, layout.file)
    assert not open_sae(layout.spec).dictionary.W_enc.requires_grad


def test_qwen_scope_says_what_it_misses(tmp_path: Path) -> None:
    layout = qwen_scope(tmp_path, k=9)
    sae = open_sae(layout.spec)
    assert (sae.dictionary.k, sae.published_l0, sae.model) == (9, 9, "Qwen/Qwen3-1.7B-Base")
    folder = layout.file.parent
    assert "name one of its files" in refusal(str(folder))
    renamed = folder.rename(tmp_path / "SAE-Res-Qwen3-1.7B-Base-W2K-L0_9")
    assert "has d_sae 2048" in refusal(str(renamed / layout.file.name))
    nowhere = renamed.rename(tmp_path / "here")
    assert "how many features are active" in refusal(str(nowhere / layout.file.name))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dict_class": "CrossCoder"}, "of dict_class 'CrossCoder'"),
        ({"dict_class": None}, "of dict_class None"),
        ({"dict_class": ["AutoEncoder"]}, "which functok does not support"),
        ({"activation_dim": 3 * D}, f"has d_in {3 * D}"),
        ({"dict_size": 2 * N}, f"has d_sae {2 * N}"),
    ],
)
def test_trainers_that_do_not_fit_are_one_sentence(tmp_path: Path, changes, said: str) -> None:
    assert said in refusal(dictionary_learning(tmp_path, "AutoEncoder", **changes).spec)


def test_dictionary_learning_needs_its_settings(tmp_path: Path) -> None:
    layout = dictionary_learning(tmp_path, "BatchTopKSAE", submodule_name=None)
    assert open_sae(layout.spec).hook == HookPoint.residual(1), "the folder's name says it"
    settings = layout.file.parent / "config.json"
    for content in (None, "[]", "{}", '{"trainer": 3}', '{"trainer": {}, "buffer": 7}'):
        settings.unlink()
        if content is not None:
            settings.write_text(content)
        refusal(layout.spec)
        settings.touch()
    other = dictionary_learning(tmp_path / "b", "AutoEncoder", submodule_name="mlp_layer_1")
    assert open_sae(other.spec).hook is None, "whose output is meant is not fixed"
