"""SAELens folders read by us against the same folders read by SAELens."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from functok.models.dictionaries import Activations, Dictionary, load_dictionary
from functok.runtime.errors import UserError

D_MODEL, FEATURES, K = 12, 40, 5
KINDS = [
    "topk",
    "topk-rescaled",
    "topk-rescaled-unfolded",
    "batchtopk",
    "jumprelu",
    "standard",
    "gated",
    "layer_norm",
    "constant_norm_rescale",
]


def sae_lens_folder(kind: str, folder: Path, apply_b_dec: bool = True, seed: int = 0) -> Path:
    """A folder that SAELens itself wrote, with random weights."""
    import sae_lens

    common = {"d_in": D_MODEL, "d_sae": FEATURES, "apply_b_dec_to_input": apply_b_dec}
    if kind == "jumprelu":
        config = sae_lens.JumpReLUTrainingSAEConfig(**common, l0_coefficient=1.0)
        sae = sae_lens.JumpReLUTrainingSAE(config)
    elif kind == "standard":
        config = sae_lens.StandardTrainingSAEConfig(**common, l1_coefficient=1.0)
        sae = sae_lens.StandardTrainingSAE(config)
    elif kind == "batchtopk":
        config = sae_lens.BatchTopKTrainingSAEConfig(**common, k=K)
        sae = sae_lens.BatchTopKTrainingSAE(config)
        sae.topk_threshold.fill_(2.0)
    elif kind == "gated":
        sae = sae_lens.GatedSAE(sae_lens.GatedSAEConfig(**common))
    elif kind in ("layer_norm", "constant_norm_rescale"):
        config = sae_lens.JumpReLUSAEConfig(**common, normalize_activations=kind)
        sae = sae_lens.JumpReLUSAE(config)
    elif kind == "topk-rescaled-unfolded":
        config = sae_lens.TopKSAEConfig(**common, k=K, rescale_acts_by_decoder_norm=True)
        sae = sae_lens.TopKSAE(config)
    else:
        rescaled = kind == "topk-rescaled"
        sae = sae_lens.TopKTrainingSAE(
            sae_lens.TopKTrainingSAEConfig(**common, k=K, rescale_acts_by_decoder_norm=rescaled)
        )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sae.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            noise = noise / 2 if name == "r_mag" else noise
            weight.copy_(noise.abs() + 0.2 if "threshold" in name else noise)
        sae.W_dec *= torch.linspace(0.1, 4, FEATURES)[:, None]  # norms matter
    if kind in ("topk-rescaled-unfolded", "gated", "layer_norm", "constant_norm_rescale"):
        sae.save_model(folder)
    else:
        sae.save_inference_model(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("saes")
    return {
        (kind, apply): sae_lens_folder(kind, root / f"{kind}-{apply}", apply)
        for kind in KINDS
        for apply in (True, False)
    }


def vectors(rows: int = 50) -> Tensor:
    return 2 * torch.randn(rows, D_MODEL, generator=torch.Generator().manual_seed(9)) + 0.3


def dense(active: Activations, rows: int, features: int = FEATURES) -> Tensor:
    found = torch.zeros(rows, features)
    found[active.rows, active.features] = active.values
    return found


@pytest.mark.parametrize("apply_b_dec", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_sae_lens_folder_encodes_and_decodes_as_in_sae_lens(folders, kind, apply_b_dec):
    from sae_lens import SAE

    folder = folders[kind, apply_b_dec]
    theirs, ours = SAE.load_from_disk(folder), load_dictionary(folder)
    x = vectors()
    with torch.no_grad():
        expected = theirs.encode(x)
        reconstruction = theirs.decode(expected)
        if kind in ("layer_norm", "constant_norm_rescale"):  # ours is of the prepared input
            reconstruction = (expected @ theirs.W_dec) + theirs.b_dec
    active = ours.encode(x)
    assert len(active.values) == (expected > 0).sum() > 50
    torch.testing.assert_close(dense(active, len(x)), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.decode(active, len(x)), reconstruction, rtol=1e-4, atol=1e-4)
    assert ours.features == FEATURES


def test_subtracting_the_decoder_bias_makes_a_difference(folders):
    with_bias, without = (load_dictionary(folders["standard", apply]) for apply in (True, False))
    assert (
        with_bias.encode(vectors()).features.tolist() != without.encode(vectors()).features.tolist()
    )


def test_activations_of_a_rescaled_sae_are_the_norms_of_what_is_written(folders):
    for kind in ("topk-rescaled", "topk-rescaled-unfolded", "batchtopk"):
        dictionary = load_dictionary(folders[kind, True])
        torch.testing.assert_close(dictionary.W_dec.norm(dim=1), torch.ones(FEATURES))


@pytest.mark.parametrize("elements", [1, 60, 50 * 7, 50 * 39])
@pytest.mark.parametrize("kind", KINDS)
def test_tiles_of_any_size_give_the_same_features(folders, kind, elements):
    dictionary, x = load_dictionary(folders[kind, True]), vectors()
    whole = dictionary.encode(x)
    tiled = dictionary.encode(x, elements)
    assert torch.equal(tiled.rows, whole.rows)
    assert torch.equal(tiled.features, whole.features)
    torch.testing.assert_close(tiled.values, whole.values, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_active_features_come_once_each_by_row_then_feature(folders, kind):
    active = load_dictionary(folders[kind, True]).encode(vectors())
    place = active.rows * FEATURES + active.features
    assert bool((place[1:] > place[:-1]).all())
    assert bool((active.values > 0).all())


@pytest.mark.parametrize("kind", KINDS)
def test_no_vectors_have_no_features(folders, kind):
    dictionary = load_dictionary(folders[kind, True])
    active = dictionary.encode(torch.empty(0, D_MODEL))
    assert len(active.rows) == len(active.features) == len(active.values) == 0
    assert dictionary.decode(active, 0).shape == (0, D_MODEL)


def test_a_vector_without_features_decodes_to_the_decoder_bias(folders):
    dictionary = load_dictionary(folders["standard", True])
    active = dictionary.encode(vectors(4))
    kept = active.rows % 2 == 1
    some = dictionary.decode(Activations(*(part[kept] for part in active)), 6)
    full = dictionary.decode(active, 4)
    torch.testing.assert_close(some[1::2][:2], full[1::2])
    for row in (0, 2, 4, 5):
        assert torch.equal(some[row], dictionary.b_dec)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 20), st.integers(1, 25))
def test_top_k_in_tiles_equals_a_sort_of_every_row(seed, rows, features, k):
    generator = torch.Generator().manual_seed(seed)
    dictionary = Dictionary(
        W_enc=torch.randn(4, features, generator=generator),
        b_enc=torch.randn(features, generator=generator),
        W_dec=torch.randn(features, 4, generator=generator),
        b_dec=torch.zeros(4),
        architecture="topk",
        k=min(k, features),
    )
    x = torch.randn(rows, 4, generator=generator)
    before = x @ dictionary.W_enc + dictionary.b_enc
    expected = torch.zeros(rows, features)
    for row in range(rows):
        for feature in before[row].argsort(descending=True)[: dictionary.k]:
            expected[row, feature] = max(before[row, feature], torch.tensor(0.0))
    for elements in (None, 3 * rows, 1):
        found = dictionary.encode(x, elements)
        torch.testing.assert_close(dense(found, rows, features), expected)


def edit(source: Path, target: Path, change=None, weights=None) -> Path:
    """A copy of a folder with other settings, and other tensors."""
    target.mkdir()
    config = json.loads((source / "cfg.json").read_text())
    (target / "cfg.json").write_text(json.dumps(change(config) if change else config))
    tensors = load_file(source / "sae_weights.safetensors")
    save_file(weights(tensors) if weights else tensors, target / "sae_weights.safetensors")
    return target


def old(config: dict) -> dict:
    """A TopK as SAELens 3 to 5 described it."""
    return {
        "architecture": "standard",
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": config["k"]},
        "d_in": D_MODEL,
        "d_sae": FEATURES,
        "dtype": "float32",
        "device": "cpu",
        "hook_name": "blocks.0.hook_resid_post",
        "normalize_activations": None,
    }


def test_a_top_k_from_before_version_6_is_not_read_as_relu(folders, tmp_path):
    from sae_lens import SAE

    folder = edit(folders["topk", True], tmp_path / "old", old)
    x = vectors()
    with torch.no_grad():
        expected = SAE.load_from_disk(folder).encode(x)
    active = load_dictionary(folder).encode(x)
    torch.testing.assert_close(dense(active, len(x)), expected, rtol=1e-4, atol=1e-4)
    assert bool((active.rows.bincount() <= K).all())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c | {"architecture": "temporal"}, "is temporal"),
        (
            lambda c: c | {"normalize_activations": "expected_average_only_in"},
            "'expected_average_only_in'",
        ),
        (lambda c: c | {"architecture": "standard", "activation_fn_str": "tanh-relu"}, "tanh-relu"),
        (lambda c: {n: v for n, v in c.items() if n != "k"}, "names no k"),
        (lambda c: [c], "has no settings"),
    ],
)
def test_settings_that_are_not_honoured_here_are_refused(folders, tmp_path, change, sentence):
    with pytest.raises(UserError, match=sentence):
        load_dictionary(edit(folders["topk", True], tmp_path / "other", change))


@pytest.mark.parametrize("name", ["W_enc", "b_enc", "W_dec", "b_dec", "threshold"])
def test_a_folder_that_lacks_a_weight_is_refused(folders, tmp_path, name):
    source = folders["jumprelu", True]
    folder = edit(source, tmp_path / "less", weights=lambda w: {n: w[n] for n in w if n != name})
    with pytest.raises(UserError, match=f"is jumprelu but has no {name}"):
        load_dictionary(folder)


@pytest.mark.parametrize("name", ["W_enc", "b_enc", "W_dec", "b_dec", "threshold"])
def test_weights_that_do_not_fit_together_are_refused(folders, tmp_path, name):
    source = folders["jumprelu", True]
    folder = edit(source, tmp_path / "odd", weights=lambda w: w | {name: torch.ones(3, 7)})
    with pytest.raises(UserError, match="of inconsistent shapes"):
        load_dictionary(folder)


@pytest.mark.parametrize("file", ["cfg.json", "sae_weights.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"{"])
def test_a_folder_that_is_not_whole_is_refused(folders, tmp_path, file, content):
    folder = edit(folders["topk", True], tmp_path / "broken")
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    with pytest.raises(UserError, match=r"cannot be read|is damaged") as caught:
        load_dictionary(folder)
    assert "\n" not in str(caught.value)
