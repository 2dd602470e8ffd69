"""Every id of the installed SAELens registry has a reader, the large families functok's own."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch
from layouts import Layout, dictionary_learning, gemma_scope_2, gemma_scope_transcoder, noise
from sae_lens.loading.pretrained_sae_loaders import NAMED_PRETRAINED_SAE_LOADERS
from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

from functok.models.dictionaries import open_sae
from functok.models.dictionaries.formats.registry import reader_of
from functok.models.language.hooks import HookPoint
from functok.runtime.errors import UserError

OWN = {"gemma_scope", "gemma_scope_2", "dictionary_learning", "qwen_scope"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def cache(hub: Path, repository: str, path: str, source: Path) -> None:
    """Put a folder or a file into the cache as ``path`` of the repository."""
    place = hub / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True, exist_ok=True)
    (place / "refs" / "main").write_text("0" * 40)
    target = place / "snapshots" / ("0" * 40) / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        blob = place / "blobs" / "0"  # where the hub's client keeps files, linked to by their names
        blob.parent.mkdir()
        shutil.copy(source, blob)
        target.symlink_to(blob)


def test_at_least_99_per_cent_of_the_registry_have_a_reader() -> None:
    readers: Counter[str | None] = Counter()
    for entry in get_pretrained_saes_directory().values():
        known = entry.conversion_func
        assert known is None or known in NAMED_PRETRAINED_SAE_LOADERS
        readers.update(reader_of(known, folder) for folder in entry.saes_map.values())
    total = sum(readers.values())
    assert total > 13_000
    assert set(readers) == {*OWN, "sae_lens", None}
    assert readers[None] < 0.01 * total
    assert sum(readers[name] for name in OWN) > 0.9 * total, "without SAELens but as an index"


def test_what_has_none_is_refused_before_anything_is_fetched(hub: Path) -> None:
    refused = 0
    for release, entry in get_pretrained_saes_directory().items():
        for identity, folder in entry.saes_map.items():
            if reader_of(entry.conversion_func, folder) is None:
                with pytest.raises(UserError, match="give an SAE or a transcoder of one layer"):
                    open_sae(f"{release}/{identity}")
                refused += 1
    assert refused > 20


def entry_of(conversion: str, part: str = "") -> tuple[str, str, str, str]:
    """Release, id, repository and folder of the first SAE of that format."""
    for release, entry in get_pretrained_saes_directory().items():
        for identity, folder in entry.saes_map.items():
            if entry.conversion_func == conversion and part in folder:
                return release, identity, entry.repo_id, folder
    raise AssertionError(conversion)


def check(spec: str, layout: Layout, layer: int, site: str) -> None:
    sae = open_sae(spec, decoder=True)
    x = noise(30, sae.dictionary.W_enc.shape[0], seed=6)
    active = sae.dictionary.encode(x)
    found = torch.zeros(30, sae.dictionary.features)
    found[active.rows, active.features] = active.values
    torch.testing.assert_close(found, layout.encode(x), rtol=1e-4, atol=1e-4)
    assert sae.format == "registry"
    assert sae.spec == spec
    assert sae.hook is not None
    assert (sae.hook.layer, sae.hook.site) == (layer, site)
    assert sae.hook == HookPoint.parse(sae.hook.name)


@pytest.mark.parametrize("config", [True, False])
def test_gemma_scope_2(hub: Path, tmp_path: Path, config: bool) -> None:
    release, identity, repository, folder = entry_of("gemma_3", "transcoder_all/layer_1_width_16k")
    layout = gemma_scope_2(tmp_path, "transcoder", config)
    cache(hub, repository, folder, Path(layout.spec))
    check(f"{release}/{identity}", layout, 1, "mlp_in")


def test_gemma_scope_transcoders(hub: Path, tmp_path: Path) -> None:
    release, identity, repository, folder = entry_of("gemma_2_transcoder", "layer_1/")
    layout = gemma_scope_transcoder(tmp_path)
    cache(hub, repository, folder, Path(layout.spec))
    check(f"{release}/{identity}", layout, 1, "resid_mid")


def test_dictionary_learning(hub: Path, tmp_path: Path) -> None:
    release, identity, repository, folder = entry_of("dictionary_learning_1", "resid_post_layer_3/")
    layout = dictionary_learning(tmp_path, "BatchTopKSAE", submodule_name=None)
    cache(hub, repository, folder, Path(layout.spec))
    check(f"{release}/{identity}", layout, 3, "resid_post")
    assert "pickle" in str(open_sae(f"{release}/{identity}").note)


def test_qwen_scope(hub: Path, tmp_path: Path) -> None:
    release, identity, repository, file = entry_of("qwen_scope", "layer1.")
    width, k = 32 * 1024, 50
    assert f"W32K-L0_{k}" in repository
    w = {"W_enc": noise(width, 4), "W_dec": noise(4, width), "b_enc": noise(width)}
    source = tmp_path / "layer1.sae.pt"
    torch.save(w | {"b_dec": noise(4)}, source)
    cache(hub, repository, file, source)

    def encode(x: torch.Tensor) -> torch.Tensor:
        before = (x @ w["W_enc"].T + w["b_enc"]).relu()
        best = before.topk(k, dim=1)
        return torch.zeros_like(before).scatter_(1, best.indices, best.values)

    layout = Layout("", source, encode, lambda z: z, None)
    check(f"{release}/{identity}", layout, 1, "resid_post")


def test_a_number_takes_the_place_of_the_registrys_norm_factor(hub: Path, tmp_path: Path) -> None:
    from layouts import llama_scope

    release, identity = "llama_scope_lxr_8x", "l7r_8x"
    entry = get_pretrained_saes_directory()[release]
    layout = llama_scope(tmp_path)
    cache(hub, entry.repo_id, entry.saes_map[identity], Path(layout.spec))
    folded, given = (
        open_sae(f"{release}/{identity}"),
        open_sae(f"{release}/{identity}", norm_factor=0.25),
    )
    factor = entry.norm_scaling_factor[identity]
    assert folded.dictionary.norm_factor == pytest.approx(factor)
    assert given.dictionary.norm_factor == 0.25
    torch.testing.assert_close(given.dictionary.W_enc, folded.dictionary.W_enc)
    own = open_sae(layout.spec).dictionary.W_enc
    torch.testing.assert_close(folded.dictionary.W_enc, own, rtol=1e-2, atol=1e-2)
