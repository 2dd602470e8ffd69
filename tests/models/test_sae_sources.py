"""SAEs from Gemma Scope files, sparsify folders and SAELens' registry, against their own code."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from functok.models.dictionaries import Activations, Dictionary, open_sae
from functok.models.language.hooks import HookPoint
from functok.runtime.errors import UserError

D_MODEL, FEATURES = 16, 50
REPO = "google/gemma-scope-2b-pt-res"
GEMMA = ("gemma-scope-2b-pt-res", "layer_3/width_16k/average_l0_59")


def vectors(rows: int = 60, width: int = D_MODEL) -> Tensor:
    return 2 * torch.randn(rows, width, generator=torch.Generator().manual_seed(4)) + 0.2


def dense(active: Activations, rows: int, features: int) -> Tensor:
    found = torch.zeros(rows, features)
    found[active.rows, active.features] = active.values
    return found


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def params(folder: Path, save=np.savez, **changes: np.ndarray) -> Path:
    """A Gemma Scope folder."""
    arrays = {
        "W_enc": noise(D_MODEL, FEATURES).numpy(),
        "W_dec": noise(FEATURES, D_MODEL).numpy(),
        "b_enc": noise(FEATURES).numpy(),
        "b_dec": noise(D_MODEL).numpy(),
        "threshold": noise(FEATURES, seed=5).abs().numpy() * 4,
        **changes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / "params.npz", **arrays)
    return folder


def cached(home: Path, repo: str, folder: str) -> Path:
    """Where a file of ``repo`` lies in a Hugging Face cache."""
    place = home / "hub" / f"models--{repo.replace('/', '--')}"
    (place / "refs").mkdir(parents=True, exist_ok=True)
    (place / "refs" / "main").write_text("0" * 40)
    made = place / "snapshots" / ("0" * 40) / folder
    made.mkdir(parents=True)
    return made


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_gemma_scope_is_read_as_by_sae_lens(cache: Path, save) -> None:
    """SAELens reads the same file from the cache by its own loader."""
    from sae_lens.loading.pretrained_sae_loaders import gemma_2_sae_huggingface_loader
    from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig

    folder = params(cached(cache, REPO, GEMMA[1]), save)
    config, weights, _ = gemma_2_sae_huggingface_loader(REPO, GEMMA[1])
    theirs = JumpReLUSAE(
        JumpReLUSAEConfig(
            d_in=D_MODEL, d_sae=FEATURES, apply_b_dec_to_input=config["apply_b_dec_to_input"]
        )
    )
    theirs.load_state_dict(weights)
    x = vectors()
    with torch.no_grad():
        expected = theirs.encode(x)
    assert (expected > 0).sum() > 100
    by_file = open_sae(str(folder))
    by_name = open_sae("/".join(GEMMA))
    for sae in (by_file, by_name):
        found = dense(sae.dictionary.encode(x), len(x), FEATURES)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        assert sae.published_l0 == 59
        assert sae.hook == HookPoint.parse("blocks.3.hook_resid_post")
        assert len(sae.dictionary.W_dec) == 0, "the decoder is not kept"
    whole = open_sae(str(folder), decoder=True)
    with torch.no_grad():
        torch.testing.assert_close(
            whole.dictionary.decode(whole.dictionary.encode(x), len(x)),
            theirs.decode(expected),
            rtol=1e-4,
            atol=1e-4,
        )


def test_llama_scope_has_its_norm_factor_folded_in(cache: Path) -> None:
    from sae_lens import SAE

    release, identity = "llama_scope_lxr_8x", "l7r_8x"
    place = cached(cache, "fnlp/Llama3_1-8B-Base-LXR-8x", "Llama3_1-8B-Base-L7R-8x")
    settings = {
        "d_model": D_MODEL,
        "d_sae": FEATURES,
        "jump_relu_threshold": 0.3,
        "dataset_average_activation_norm": {"in": 11.0},
        "hook_point_in": "blocks.7.hook_resid_post",
    }
    (place / "hyperparams.json").write_text(json.dumps(settings))
    (place / "checkpoints").mkdir()
    weights = {
        "encoder.weight": noise(FEATURES, D_MODEL),
        "encoder.bias": noise(FEATURES),
        "decoder.weight": noise(D_MODEL, FEATURES),
        "decoder.bias": noise(D_MODEL),
    }
    save_file(weights, place / "checkpoints" / "final.safetensors")
    ours = open_sae(f"{release}/{identity}", decoder=True)
    theirs = SAE.from_pretrained(release, identity)
    x = vectors() / 30
    with torch.no_grad():
        expected = theirs.encode(x)
    found = dense(ours.dictionary.encode(x), len(x), FEATURES)
    torch.testing.assert_close(found, expected.float(), rtol=1e-3, atol=1e-3)
    plain = (x @ weights["encoder.weight"].T.bfloat16().float() + weights["encoder.bias"]).relu()
    assert not torch.allclose(found, plain * (plain > 0.3)), "without the factor it is another SAE"
    assert ours.hook == HookPoint.residual(7)


def test_res_jb_reads_centred_activations(cache: Path) -> None:
    from sae_lens import StandardSAE, StandardSAEConfig

    identity = "blocks.2.hook_resid_pre"
    place = cached(cache, "jbloom/GPT2-Small-SAEs-Reformatted", identity)
    sae = StandardSAE(StandardSAEConfig(d_in=D_MODEL, d_sae=FEATURES))
    with torch.no_grad():
        for weight in sae.parameters():
            weight.copy_(noise(*weight.shape))
    sae.cfg.metadata.hook_name = identity
    sae.save_model(place)
    ours = open_sae(f"gpt2-small-res-jb/{identity}")
    assert ours.dictionary.centred
    assert ours.published_l0 == 18
    assert ours.published_variance == 0.999
    x = vectors()
    with torch.no_grad():
        expected = sae.encode(x - x.mean(-1, keepdim=True))
    found = dense(ours.dictionary.encode(x), len(x), FEATURES)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert ours.hook is not None
    assert (ours.hook.site, ours.hook.layer) == ("resid_pre", 2)


def sparsify_folder(folder: Path, **changes) -> Path:
    """A folder as sparsify writes it (``SparseCoder.save_to_disk``)."""
    config = {
        "activation": "topk",
        "expansion_factor": 4,
        "normalize_decoder": True,
        "num_latents": 0,
        "k": 6,
        "multi_topk": False,
        "skip_connection": False,
        "transcode": False,
        "d_in": D_MODEL,
        **changes,
    }
    features = config["num_latents"] or config["expansion_factor"] * D_MODEL
    folder.mkdir(parents=True)
    (folder / "cfg.json").write_text(json.dumps(config))
    weights = {
        "encoder.weight": noise(features, D_MODEL),
        "encoder.bias": noise(features) - 2,
        "W_dec": noise(features, D_MODEL, seed=1),
        "b_dec": noise(D_MODEL),
    }
    save_file(weights, folder / "sae.safetensors")
    return folder


@pytest.mark.parametrize("changes", [{}, {"transcode": True}, {"num_latents": 33, "k": 4}], ids=str)
def test_a_sparsify_folder_keeps_the_k_largest(tmp_path: Path, changes: dict) -> None:
    folder = sparsify_folder(tmp_path / "layers.3.mlp", **changes)
    ours = open_sae(str(folder), decoder=True)
    features = ours.dictionary.features
    assert features == (changes.get("num_latents") or 4 * D_MODEL)
    W, b = noise(features, D_MODEL), noise(features) - 2
    x = vectors()
    shifted = x if changes.get("transcode") else x - noise(D_MODEL)
    before = torch.nn.functional.linear(shifted, W, b).relu()
    best = before.topk(changes.get("k", 6), dim=-1)
    expected = torch.zeros_like(before).scatter_(1, best.indices, best.values)
    found = dense(ours.dictionary.encode(x), len(x), features)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    transcodes = bool(changes.get("transcode"))
    assert ours.hook == HookPoint.parse("layers.3.mlp" + ".hook_in" * transcodes)
    decoded = ours.dictionary.decode(ours.dictionary.encode(x), len(x))
    wanted = expected @ noise(features, D_MODEL, seed=1) + noise(D_MODEL)
    torch.testing.assert_close(decoded, wanted, rtol=1e-4, atol=1e-4)


def test_a_sparsify_folder_is_read_as_by_sparsify(tmp_path: Path) -> None:
    sparsify = pytest.importorskip("sparsify")
    folder = sparsify_folder(tmp_path / "layers.3")
    theirs = sparsify.SparseCoder.load_from_disk(folder)
    x = vectors()
    with torch.no_grad():
        found = theirs.encode(x)
    expected = torch.zeros(len(x), theirs.num_latents)
    expected.scatter_(1, found.top_indices, found.top_acts)
    ours = open_sae(str(folder)).dictionary
    torch.testing.assert_close(dense(ours.encode(x), len(x), ours.features), expected)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("nothing-here", "There is no SAE 'nothing-here'"),
        ("gemma-scope-2b-pt-rse/layer_3", "did you mean 'gemma-scope-2b-pt-res'"),
        ("gemma-scope-2b-pt-res/layer_3/width_16k/average_l0_58", "has no SAE 'layer_3"),
        ("gemma-scope-2b-pt-res/layer_3/width_16k/average_l0_59", "check the network"),
        ("gpt2-small-res-jb/blocks.2.hook_resid_pre", "check the network"),
    ],
)
def test_an_sae_that_is_not_there_is_one_sentence(cache: Path, spec: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        open_sae(spec)
    assert "\n" not in str(caught.value)


def test_damaged_files_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "params.npz").write_bytes(b"no zip")
    with pytest.raises(UserError, match=r"cannot be read as Gemma Scope's params\.npz"):
        open_sae(str(tmp_path))
    odd = params(tmp_path / "odd", b_enc=np.zeros(3, np.float32))
    with pytest.raises(UserError, match="of inconsistent shapes"):
        open_sae(str(odd))
    group = sparsify_folder(tmp_path / "layers.1", activation="groupmax")
    with pytest.raises(UserError, match="has activation 'groupmax'"):
        open_sae(str(group))
    short = sparsify_folder(tmp_path / "layers.2")
    (short / "sae.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be read"):
        open_sae(str(short))


def jump(features: int = 400, width: int = 64) -> Dictionary:
    W = noise(width, features)
    return Dictionary(
        W_enc=W,
        b_enc=noise(features) / 9,
        W_dec=W.T,
        b_dec=noise(width) / 9,
        architecture="jumprelu",
        threshold=noise(features, seed=2).abs() * 20,
    )


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_low_precision_product_gives_the_active_features_of_fp32(precision) -> None:
    dictionary, x = jump(), vectors(800, 64)
    exact = dictionary.encode(x)
    found, disagreement = dictionary.encode_counted(x, precision=precision)
    pairs = {(row, feature) for row, feature in zip(*(p.tolist() for p in exact[:2]), strict=True)}
    ours = {(row, feature) for row, feature in zip(*(p.tolist() for p in found[:2]), strict=True)}
    assert ours == pairs
    assert disagreement.active == len(pairs) > 1000
    assert 0 < disagreement.changed < disagreement.checked < len(pairs)
    alone = (dictionary.prepared(x) - dictionary.b_dec).bfloat16() @ dictionary.W_enc.bfloat16()
    if precision == "bf16":  # without the second look it would differ
        plain = alone.float() + dictionary.b_enc > dictionary.threshold
        assert plain.sum() != len(pairs) or disagreement.changed > 0


def test_disagreements_add_up() -> None:
    dictionary, x = jump(), vectors(200, 64)
    whole = dictionary.encode_counted(x, precision="bf16")[1]
    parts = [dictionary.encode_counted(x[a : a + 100], precision="bf16")[1] for a in (0, 100)]
    total = parts[0] + parts[1]
    assert total.active == whole.active
