"""Each published format against its own arithmetic; what is damaged or odd is one sentence."""

import gc
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from layouts import (
    CLASSES,
    D,
    Layout,
    N,
    dictionary_learning,
    gemma_scope_2,
    gemma_scope_transcoder,
    llama_scope,
    llamascopium,
    noise,
    qwen_scope,
    sae_lens_transcoder,
)
from safetensors.torch import load_file, save_file
from torch import Tensor

from functok.models.dictionaries import open_sae
from functok.models.dictionaries.formats.sae_lens import TRANSCODERS
from functok.models.dictionaries.sites import placed
from functok.models.interventions.intervention import Clamp
from functok.models.language.capture import capture
from functok.models.language.hooks import HookPoint
from functok.runtime import memory
from functok.runtime.errors import UserError

KINDS = ("resid_post", "mlp_out", "attn_out", "transcoder", "transcoder_affine")
LAYOUTS: dict[str, Callable[[Path], Layout]] = {
    **{f"gemma-2-{kind}": lambda root, kind=kind: gemma_scope_2(root, kind) for kind in KINDS},
    "gemma-transcoder": gemma_scope_transcoder,
    "qwen": qwen_scope,
    **{kind: lambda root, kind=kind: dictionary_learning(root, kind) for kind in CLASSES},
    "llama": llama_scope,
    "llamascopium": llamascopium,
    **{kind: lambda root, kind=kind: sae_lens_transcoder(root, kind) for kind in TRANSCODERS},
}
MAPPED = [name for name in LAYOUTS if name != "gemma-transcoder"]


def dense(active, rows: int, features: int) -> Tensor:
    found = torch.zeros(rows, features)
    found[active.rows, active.features] = active.values
    return found


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_published_sae_encodes_and_decodes_by_its_own_arithmetic(tmp_path: Path, name) -> None:
    layout = LAYOUTS[name](tmp_path)
    whole = open_sae(layout.spec, decoder=True)
    x = 2 * noise(50, whole.dictionary.W_enc.shape[0], seed=6) + 0.3
    expected = layout.encode(x)
    assert (expected > 0).sum() > 50
    for sae in (whole, open_sae(layout.spec), open_sae(str(layout.file)) if opens(name) else whole):
        active = sae.dictionary.encode(x)
        found = dense(active, len(x), sae.dictionary.features)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        assert sae.hook == (HookPoint.parse(layout.hook) if layout.hook else None)
        assert sae.dictionary.transcodes == layout.transcodes
    back = whole.dictionary.decode(whole.dictionary.encode(x), len(x))
    torch.testing.assert_close(back, layout.decode(expected), rtol=1e-4, atol=1e-4)
    assert len(open_sae(layout.spec).dictionary.W_dec) == 0, "the encoder alone is kept"


def opens(name: str) -> bool:
    """Whether the file of weights is a name for it, not the folder alone."""
    return name.startswith(("gemma", "qwen")) or name in CLASSES


@pytest.mark.parametrize("name", MAPPED)
def test_the_encoder_stays_in_its_file(tmp_path: Path, monkeypatch, name: str) -> None:
    layout = LAYOUTS[name](tmp_path)
    monkeypatch.setattr(memory, "available", lambda: 4 * N)  # nothing is left for a copy
    sae = open_sae(layout.spec)
    gc.collect()
    assert str(layout.file) in Path("/proc/self/maps").read_text()
    assert sae.dictionary.features in (N, 1024)


def test_what_is_not_fp32_is_converted_if_it_fits(tmp_path: Path, monkeypatch) -> None:
    layout = gemma_scope_2(tmp_path)
    weights = {name: weight.bfloat16() for name, weight in load_file(layout.file).items()}
    save_file(weights, layout.file)
    x = noise(20, D).bfloat16().float()
    before = x @ weights["w_enc"].float() + weights["b_enc"].float()
    expected = before.relu() * (before > weights["threshold"].float())
    found = dense(open_sae(layout.spec).dictionary.encode(x), len(x), N)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(memory, "available", lambda: 4 * D * N)
    with pytest.raises(UserError, match="of memory"):
        open_sae(layout.spec)


@pytest.mark.parametrize("kind", KINDS)
def test_gemma_scope_2_without_settings_is_placed_by_its_folder(tmp_path: Path, kind: str) -> None:
    told, bare = gemma_scope_2(tmp_path / "told", kind), gemma_scope_2(tmp_path, kind, config=False)
    one, other = open_sae(told.spec), open_sae(bare.spec)
    assert (one.hook, one.dictionary.transcodes) == (other.hook, other.dictionary.transcodes)
    assert (one.published_l0, other.published_l0) == (60, None)
    assert (one.model, other.model) == ("gemma-v3-270m-pt", "google/gemma-3-270m-pt")
    elsewhere = Path(bare.spec).rename(tmp_path / "elsewhere")
    if kind != "transcoder_affine":  # whose skip connection only a transcoder has
        assert open_sae(str(elsewhere)).hook is None, "nothing is guessed"


def test_a_transcoder_reads_the_mlp_and_is_not_steered_by(tmp_path: Path) -> None:
    from architectures import tiny

    model = tiny("gemma3_text", hidden_size=D, head_dim=6)
    sae = open_sae(gemma_scope_2(tmp_path, "transcoder_affine").spec, decoder=True)
    old = open_sae(gemma_scope_transcoder(tmp_path).spec)
    places = placed(sae, None, model), placed(old, 1, model)
    ids, seen = torch.tensor([[3, 17, 4, 29, 11]]), []
    norm = model.model.layers[1].pre_feedforward_layernorm
    handle = norm.register_forward_hook(lambda _, inputs, out: seen.extend([inputs[0], out]))
    found = capture(model, ids, [places[0]]).hidden[0]
    middle = capture(model, ids, [places[1]]).hidden[0]
    handle.remove()
    assert torch.equal(found, seen[1])
    assert torch.equal(middle, seen[0])
    gain = 1 + norm.weight.detach()
    unit = old.dictionary.prepared(middle[0])
    torch.testing.assert_close(unit * gain, seen[1][0], rtol=1e-3, atol=1e-4)
    with pytest.raises(UserError, match="A transcoder's output is not its input"):
        Clamp(1, 0, sae.dictionary, 3).check(D)


def rewritten(layout: Layout, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    """The file with other tensors."""
    file = layout.file
    if file.suffix == ".npz":
        arrays = {name: torch.from_numpy(array) for name, array in np.load(file).items()}
        np.savez(file, **{name: tensor.numpy() for name, tensor in change(arrays).items()})
    elif file.suffix == ".pt":
        torch.save(change(torch.load(file, weights_only=True)), file)
    else:
        save_file({n: t.contiguous() for n, t in change(load_file(file)).items()}, file)


USED = [name for name in LAYOUTS if "skip" not in name and "affine" not in name]


@pytest.mark.parametrize("name", USED)
def test_missing_odd_and_infinite_tensors_are_one_sentence(tmp_path: Path, name: str) -> None:
    first = LAYOUTS[name](tmp_path / "whole")
    file = first.file
    stored = np.load(file) if file.suffix == ".npz" else {}
    if file.suffix == ".pt":
        stored = torch.load(file, weights_only=True)
    elif file.suffix == ".safetensors":
        stored = load_file(file)
    free = {"k", "group_sizes"} | ({"threshold"} if name == "AutoEncoderTopK" else set())
    free |= {key for key in stored if key.startswith("dataset_average")}
    for number, key in enumerate(sorted(set(stored) - free)):
        changes: dict[str, Callable] = {
            "missing": lambda t, key=key: {one: t[one] for one in t if one != key},
            "shape": lambda t, key=key: t | {key: torch.ones(3, 7, 2)},
            "infinite": lambda t, key=key: t | {key: torch.full_like(t[key], torch.inf)},
            "nan": lambda t, key=key: t | {key: torch.full_like(t[key], torch.nan)},
        }
        for kind, change in changes.items():
            layout = LAYOUTS[name](tmp_path / f"{number}-{kind}")
            rewritten(layout, change)
            with pytest.raises(UserError) as caught:
                open_sae(layout.spec, decoder=True)
            assert "\n" not in str(caught.value)
            if kind in ("nan", "infinite"):
                assert "not finite" in str(caught.value), key


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "gemma-2-attn_out"])
def test_an_sae_of_another_width_than_the_model_is_refused(tmp_path: Path, name: str) -> None:
    from architectures import tiny

    model = tiny("gemma3_text", hidden_size=2 * D, head_dim=6)
    with pytest.raises(UserError, match=f"expects {D} dimensions but the model's .* has {2 * D}"):
        placed(open_sae(LAYOUTS[name](tmp_path).spec), None, model)


@pytest.mark.parametrize(
    ("layout", "file", "change", "sentence"),
    [
        (gemma_scope_2, "config.json", {"architecture": "topk"}, "is not a JumpReLU SAE"),
        (gemma_scope_2, "config.json", {"hf_hook_point_in": "lm_head.output"}, "reads 'lm_head"),
        (gemma_scope_2, "config.json", {"width": 99}, "has d_sae 99"),
        (gemma_scope_2, "config.json", {"l0": "medium"}, "l0 'medium'"),
        (llama_scope, "hyperparams.json", {"act_fn": "topk"}, "with act_fn 'topk'"),
        (llama_scope, "hyperparams.json", {"d_sae": 3}, "has d_sae 3"),
        (llama_scope, "hyperparams.json", {"jump_relu_threshold": None}, "cannot be read"),
        (llama_scope, "hyperparams.json", {"hook_point_in": None}, "does not name its site"),
        (llama_scope, "hyperparams.json", {"d_model": "wide"}, "cannot be read"),
        (llamascopium, "config.json", {"sae_type": "crosscoder"}, "of kind 'crosscoder'"),
    ],
)
def test_settings_that_are_not_honoured_are_one_sentence(
    tmp_path: Path, layout, file: str, change: dict, sentence: str
) -> None:
    from architectures import tiny

    made = layout(tmp_path)
    path = Path(made.spec) / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=sentence) as caught:
        placed(open_sae(made.spec), None, tiny("gemma3_text", hidden_size=D, head_dim=6))
    assert "\n" not in str(caught.value)


def test_sets_and_transcoders_across_layers_are_refused_by_name(tmp_path: Path) -> None:
    circuit, across, mntss, scope = (tmp_path / str(number) for number in range(4))
    for folder, kind in ((circuit, "transcoder_set"), (across, "cross_layer_transcoder")):
        folder.mkdir()
        (folder / "config.yaml").write_text(f'model_name: "m"\nmodel_kind: "{kind}"\n')
        save_file({"W_enc": noise(N, D)}, folder / "layer_0.safetensors")
    mntss.mkdir()
    save_file({"W_enc_0": noise(N, D)}, mntss / "W_enc_0.safetensors")
    scope = scope / "gemma-scope-2-1b-pt" / "clt" / "width_262k_l0_medium_affine"
    scope.mkdir(parents=True)
    save_file({"w_enc": noise(D, N)}, scope / "params_layer_0.safetensors")
    for place, said in (
        (circuit, "a set of transcoders, one per layer, in circuit-tracer's format"),
        (circuit / "layer_0.safetensors", "a set of transcoders"),
        (across, r"a cross-layer transcoder \(CLT\)"),
        (mntss, r"a cross-layer transcoder \(CLT\)"),
        (mntss / "W_enc_0.safetensors", r"a cross-layer transcoder \(CLT\)"),
        (scope, r"a cross-layer transcoder \(CLT\)"),
        (scope / "params_layer_0.safetensors", r"a cross-layer transcoder \(CLT\)"),
    ):
        with pytest.raises(UserError, match=f"is {said}.*give an SAE or a transcoder of") as caught:
            open_sae(str(place))
        assert "\n" not in str(caught.value)
    many = gemma_scope_2(tmp_path / "many")
    rewritten(many, lambda t: t | {"w_dec": torch.ones(N, 3, D)})
    with pytest.raises(UserError, match="reads or writes several layers"):
        open_sae(many.spec)
