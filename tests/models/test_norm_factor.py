"""SAEs whose inputs were multiplied by one number in training, which their files may not hold."""

import json
from pathlib import Path

import pytest
import torch
from layouts import D, N, llama_scope, llamascopium, noise, parts
from safetensors.torch import save_file

from functok.models.dictionaries import open_sae
from functok.models.dictionaries.sae import measured_factor
from functok.models.interventions.intervention import Clamp
from functok.runtime.errors import UserError


def folder(root: Path, **changes) -> Path:
    """As SAELens writes one that was trained on inputs brought to a mean norm of √d."""
    root.mkdir(parents=True)
    save_file(parts(), root / "sae_weights.safetensors")
    settings = {
        "architecture": "jumprelu",
        "d_in": D,
        "d_sae": N,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "expected_average_only_in",
        "metadata": {"sae_lens_version": "6.54.12", "hook_name": "blocks.1.hook_resid_post"},
        **changes,
    }
    (root / "cfg.json").write_text(json.dumps(settings))
    return root


def test_a_factor_is_what_sae_lens_folds_into_the_weights(tmp_path: Path) -> None:
    from sae_lens import SAE

    theirs = SAE.load_from_disk(folder(tmp_path / "sae"))
    theirs.fold_activation_norm_scaling_factor(0.37)
    ours = open_sae(str(tmp_path / "sae"), decoder=True, norm_factor=0.37).dictionary
    x = 9 * noise(40, D, seed=5) + 0.4
    with torch.no_grad():
        expected = theirs.encode(x)
        back = theirs.decode(expected)
    active = ours.encode(x)
    found = torch.zeros(40, N)
    found[active.rows, active.features] = active.values
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.reconstructed(active, x), back, rtol=1e-4, atol=1e-4)


def test_what_a_feature_writes_is_scaled_back(tmp_path: Path) -> None:
    dictionary = open_sae(str(folder(tmp_path / "sae")), decoder=True, norm_factor=0.37).dictionary
    x = 9 * noise(3, D, seed=5)
    active = dictionary.encode(x[:1])
    feature, value = int(active.features[0]), float(active.values[0])
    changed = Clamp(1, 0, dictionary, feature, 0.0).apply(x[:1], torch.zeros(1, dtype=torch.long))
    direction = parts()["W_dec"][feature]
    expected = x[0] - value / 0.37 * direction
    torch.testing.assert_close(changed[0], expected, rtol=1e-4, atol=1e-4)


def test_without_the_factor_it_is_not_read(tmp_path: Path) -> None:
    for changes in ({}, {"normalize_activations": True}):
        place = folder(tmp_path / str(len(changes)), **changes)
        with pytest.raises(UserError, match="give --norm-factor auto") as caught:
            open_sae(str(place))
        assert "\n" not in str(caught.value)
        assert open_sae(str(place), norm_factor=2.0).dictionary.norm_factor == 2


def test_an_sae_that_normalises_each_input_takes_none(tmp_path: Path) -> None:
    place = folder(tmp_path / "sae", normalize_activations="layer_norm")
    with pytest.raises(UserError, match="omit --norm-factor"):
        open_sae(str(place), norm_factor=2.0)


def test_a_number_takes_the_place_of_what_the_files_say(tmp_path: Path) -> None:
    layout = llama_scope(tmp_path, norm=11.0)
    assert open_sae(layout.spec).dictionary.norm_factor == pytest.approx(D**0.5 / 11)
    assert open_sae(layout.spec, norm_factor=0.5).dictionary.norm_factor == 0.5
    bare = llamascopium(tmp_path, norm=None)
    with pytest.raises(UserError, match="give --norm-factor auto"):
        open_sae(bare.spec)
    assert open_sae(bare.spec, norm_factor=1.0).dictionary.norm_factor == 1


@pytest.mark.parametrize("norm", [0, -1.0, "much"])
def test_a_norm_that_is_none_is_one_sentence(tmp_path: Path, norm) -> None:
    layout = llama_scope(tmp_path)
    file = Path(layout.spec) / "hyperparams.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps(settings | {"dataset_average_activation_norm": {"in": norm}}))
    with pytest.raises(UserError) as caught:
        open_sae(layout.spec)
    assert "\n" not in str(caught.value)


def test_the_measured_factor_brings_the_mean_norm_to_the_root_of_the_width() -> None:
    probe = 7 * noise(300, D, seed=2)
    factor = measured_factor(probe)
    assert float((probe * factor).norm(dim=1).mean()) == pytest.approx(D**0.5, rel=1e-5)
    with pytest.raises(UserError, match="all zero"):
        measured_factor(torch.zeros(4, D))


def test_a_llama_scope_sae_of_the_unscaled_stream_takes_it_as_it_is(tmp_path: Path) -> None:
    layout = llama_scope(tmp_path, level=0.3)
    file = Path(layout.spec) / "hyperparams.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps(settings | {"norm_activation": "inference"}))
    dictionary = open_sae(layout.spec).dictionary
    assert dictionary.norm_factor == 1
    assert dictionary.threshold is not None
    assert dictionary.threshold.tolist() == pytest.approx([0.3] * N)
    del settings["dataset_average_activation_norm"]
    file.write_text(json.dumps(settings))
    with pytest.raises(UserError, match="cannot be read"):
        open_sae(layout.spec)
