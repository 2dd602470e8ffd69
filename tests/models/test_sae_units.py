"""Encode, decode, ablate and steer, format by format, against the equations that define them.

An SAE that normalises at run time encodes p(x) and writes in the units of p(x). SAELens decodes
x̂ = p⁻¹(W_decᵀ z + b_dec); so one unit of activation writes ‖x‖/√d · d_f (constant norm) or
σ(x) · d_f (layer norm) into the stream.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from functok.models.dictionaries import Dictionary, open_sae
from functok.models.dictionaries.sites import placed
from functok.models.interventions.intervention import Clamp
from functok.models.language.capture import capture
from functok.models.language.hooks import HookPoint, module_at
from functok.retrieval.steering.grid import Unit, steering_vector
from functok.runtime.errors import UserError

D, N = 12, 30
FORMATS = ["standard", "topk", "jumprelu", "gated", "rescaled", "tuned", "sparsify", "gemma"]
PREPARATIONS = ["none", "constant_norm_rescale", "layer_norm"]
CASES = [(kind, "none") for kind in FORMATS] + [
    (kind, preparation)
    for kind in ("standard", "topk", "jumprelu", "gated", "rescaled")
    for preparation in PREPARATIONS[1:]
]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def write(folder: Path, kind: str, preparation: str, apply_b_dec: bool = True) -> dict[str, Tensor]:
    """A folder of that format, and its weights by SAELens' names."""
    folder.mkdir(parents=True, exist_ok=True)
    w = {"W_enc": noise(D, N), "W_dec": noise(N, D, seed=3), "b_dec": noise(D) / 2}
    w["b_enc"] = noise(N) / 3
    if kind == "gated":
        w["b_gate"] = w.pop("b_enc")
        w |= {"b_mag": noise(N, seed=1) / 3, "r_mag": noise(N, seed=2) / 3}
    if kind in ("jumprelu", "gemma"):
        w["threshold"] = noise(N, seed=4).abs()
    if kind == "tuned":
        w["finetuning_scaling_factor"] = noise(N, seed=5).abs() + 0.5
    if kind == "sparsify":
        names = {"encoder.weight": w["W_enc"].T.contiguous(), "encoder.bias": w["b_enc"]}
        names |= {name: w[name] for name in ("W_dec", "b_dec")}
        save_file(names, folder / "sae.safetensors")
        config: dict = {"d_in": D, "num_latents": N, "k": 7, "expansion_factor": 1}
    elif kind == "gemma":
        np.savez(folder / "params.npz", **{name: value.numpy() for name, value in w.items()})
        return w
    else:
        save_file(w, folder / "sae_weights.safetensors")
        config = {
            "architecture": kind if kind in ("topk", "jumprelu", "gated") else "standard",
            "k": 7,
            "apply_b_dec_to_input": apply_b_dec,
            "normalize_activations": preparation,
            "rescale_acts_by_decoder_norm": kind == "rescaled",
            "finetuning_scaling_factor": kind == "tuned",
            "metadata": {"hook_name": "blocks.1.hook_resid_post"},
        }
    (folder / "cfg.json").write_text(json.dumps(config))
    return w


def by_definition(w: dict, kind: str, preparation: str, x: Tensor, apply_b_dec: bool = True):
    """Activations, decoder rows and reconstruction of one vector, in plain words."""
    mean, scale = torch.tensor(0.0), torch.tensor(1.0)
    if preparation == "constant_norm_rescale":
        scale = x.norm() / D**0.5
    if preparation == "layer_norm":
        mean, scale = x.mean(), x.std()
    p = (x - mean) / (scale + (1e-5 if preparation == "layer_norm" else 0))
    entering = p - w["b_dec"] if apply_b_dec and kind != "gemma" else p
    rows = w["W_dec"].clone()
    if kind == "gated":
        gate = entering @ w["W_enc"] + w["b_gate"]
        magnitude = entering @ (w["W_enc"] * w["r_mag"].exp()) + w["b_mag"]
        z = (gate > 0) * magnitude.relu()
    else:
        z = entering @ w["W_enc"] + w["b_enc"]
        if kind == "rescaled":
            z, rows = z * rows.norm(dim=1), rows / rows.norm(dim=1, keepdim=True)
        z = z * (z > w["threshold"]) if kind in ("jumprelu", "gemma") else z.relu()
        if kind in ("topk", "sparsify"):
            z = torch.where(z >= z.topk(7).values[-1], z, 0)
    if kind == "tuned":
        rows = rows * w["finetuning_scaling_factor"][:, None]
    return z, rows, scale, (z @ rows + w["b_dec"]) * scale + mean


@pytest.mark.parametrize("apply_b_dec", [True, False])
@pytest.mark.parametrize(("kind", "preparation"), CASES)
def test_everything_equals_the_defining_equations(
    tmp_path: Path, kind: str, preparation: str, apply_b_dec: bool
) -> None:
    apply_b_dec = apply_b_dec or kind == "sparsify"
    w = write(tmp_path / "layers.1", kind, preparation, apply_b_dec)
    dictionary = open_sae(str(tmp_path / "layers.1"), decoder=True).dictionary
    x = 3 * noise(5, D, seed=9) + 0.7
    active = dictionary.encode(x)
    back = dictionary.reconstructed(active, x)
    norms = torch.arange(1.0, N + 1).numpy()
    for row in range(5):
        z, rows, scale, expected = by_definition(w, kind, preparation, x[row], apply_b_dec)
        found = torch.zeros(N)
        found[active.features[active.rows == row]] = active.values[active.rows == row]
        torch.testing.assert_close(found, z, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(back[row], expected, rtol=1e-4, atol=1e-4)
        for f in (int(z.argmax()), int(z.argmin())):
            ablated = x[row] - z[f] * scale * rows[f]
            held = x[row] + (2.5 - z[f]) * scale * rows[f]
            one, where = x[row : row + 1], torch.zeros(1, dtype=torch.long)
            clamped = Clamp(1, 0, dictionary, f, 0.0).apply(one, where)[0]
            torch.testing.assert_close(clamped, ablated, rtol=1e-4, atol=1e-4)
            clamped = Clamp(1, 0, dictionary, f, 2.5).apply(one, where)[0]
            torch.testing.assert_close(clamped, held, rtol=1e-4, atol=1e-4)

            def vector(unit: Unit, kind="add", f=f, x=x[row]) -> Tensor:
                return steering_vector(dictionary, {f: 2.5}, unit, x, norms, kind)

            length = x[row].norm() / rows[f].norm()
            wanted = [
                (vector("activation", "ablate"), ablated - x[row]),
                (vector("activation", "set"), held - x[row]),
                (vector("norm", "set"), (2.5 * length - z[f] * scale) * rows[f]),
                (vector("activation"), 2.5 * scale * rows[f]),
                (vector("maximum"), 2.5 * scale * (f + 1) * rows[f]),
                (vector("norm"), 2.5 * length * rows[f]),
            ]
            for given, right in wanted:
                torch.testing.assert_close(given, right, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("preparation", PREPARATIONS)
def test_sae_lens_reconstructs_the_same(tmp_path: Path, preparation: str) -> None:
    from sae_lens import SAE

    write(tmp_path / "sae", "jumprelu", preparation)
    config = json.loads((tmp_path / "sae" / "cfg.json").read_text())
    more = {"d_in": D, "d_sae": N, "dtype": "float32", "device": "cpu"}
    del config["k"], config["finetuning_scaling_factor"], config["rescale_acts_by_decoder_norm"]
    (tmp_path / "sae" / "cfg.json").write_text(json.dumps(config | more))
    theirs, ours = (
        SAE.load_from_disk(tmp_path / "sae"),
        open_sae(str(tmp_path / "sae"), "cpu", True),
    )
    x = 3 * noise(9, D, seed=9) + 0.7
    with torch.no_grad():
        expected = theirs.decode(theirs.encode(x))
    found = ours.dictionary.reconstructed(ours.dictionary.encode(x), x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_tensor_that_is_no_number_is_named(tmp_path: Path, kind: str, value: float) -> None:
    from safetensors.torch import load_file

    names = list(write(tmp_path / "layers.1", kind, "none"))
    for name in names:
        folder = tmp_path / name / "layers.1"
        write(folder, kind, "none")
        if kind == "gemma":
            arrays = dict(np.load(folder / "params.npz"))
            arrays[name].flat[3] = value
            np.savez(folder / "params.npz", **arrays)
        else:
            file = next(folder.glob("*.safetensors"))
            theirs = (
                {"W_enc": "encoder.weight", "b_enc": "encoder.bias"} if kind == "sparsify" else {}
            )
            weights = load_file(file)
            weights[theirs.get(name, name)].view(-1)[3] = value
            save_file(weights, file)
        with pytest.raises(UserError, match="not finite") as caught:
            open_sae(str(folder), decoder=True)
        assert f"in {name if kind != 'sparsify' else ''}" in str(caught.value)


def test_a_tensor_that_would_not_be_used_is_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    write(tmp_path / "sae", "standard", "none")
    file = tmp_path / "sae" / "sae_weights.safetensors"
    save_file(load_file(file) | {"W_skip": torch.ones(2, 2)}, file)
    with pytest.raises(UserError, match="contains W_skip, which functok does not use"):
        open_sae(str(tmp_path / "sae"))


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": "none"},
        {"metadata": {"hook_name": 3}},
        {"metadata": {"hook_name": "blocks.1.hook_resid_post", "hook_head_index": 0}},
        {"architecture": "topk", "k": "many"},
        {"architecture": "topk", "k": -1},
        {"architecture": ["topk"]},
        {"normalize_activations": "expected_average_only_in"},
        {"normalize_activations": {"by": 2}},
        {"apply_b_dec_to_input": "false"},
        {"d_in": D + 1},
        {"d_sae": 2 * N},
        {"activation_fn_str": "topk", "activation_fn_kwargs": [3], "k": None},
    ],
    ids=str,
)
def test_settings_that_are_not_honoured_are_one_sentence(tmp_path: Path, change: dict) -> None:
    write(tmp_path / "sae", "standard", "none")
    file = tmp_path / "sae" / "cfg.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(UserError) as caught:
        open_sae(str(tmp_path / "sae"))
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def model():
    from architectures import tiny

    return tiny("llama", hidden_size=D, head_dim=6)


IDS = torch.tensor([[3, 17, 4, 29, 11]])


def test_a_transcoder_reads_the_input_of_its_module(tmp_path: Path, model) -> None:
    write(tmp_path / "layers.1.mlp", "sparsify", "none")
    file = tmp_path / "layers.1.mlp" / "cfg.json"
    place = placed(open_sae(str(file.parent)), None, model)
    output = capture(model, IDS, [place]).hidden[0]
    file.write_text(json.dumps(json.loads(file.read_text()) | {"transcode": True}))
    sae = open_sae(str(file.parent), decoder=True)
    found = capture(model, IDS, [placed(sae, None, model)]).hidden[0]
    seen: list[Tensor] = []
    mlp = model.model.layers[1].mlp
    handle = mlp.register_forward_hook(lambda _, inputs, out: seen.extend([inputs[0], out]))
    with torch.no_grad():
        model(IDS)
    handle.remove()
    assert torch.equal(found, seen[0])
    assert torch.equal(output, seen[1])
    assert torch.equal(capture(model, IDS, [HookPoint.at(1, "mlp_in")]).hidden[0], seen[0])
    with pytest.raises(UserError, match="A transcoder's output is not its input"):
        Clamp(1, 0, sae.dictionary, 3).check(D)
    with pytest.raises(UserError, match="A transcoder's output is not its input"):
        steering_vector(sae.dictionary, {3: 1.0}, "norm", torch.ones(D))


@pytest.mark.parametrize(
    "change",
    [
        {"hook_name_out": "blocks.1.hook_mlp_out"},
        {"hook_point_out": "blocks.1.hook_mlp_out"},
        {"is_transcoder": True},
    ],
)
def test_what_is_meant_for_another_place_is_not_taken_for_an_sae(tmp_path: Path, change) -> None:
    write(tmp_path / "sae", "standard", "none")
    file = tmp_path / "sae" / "cfg.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(UserError, match="A transcoder's output is not its input"):
        Clamp(1, 0, open_sae(str(file.parent), decoder=True).dictionary, 3).check(D)


@pytest.mark.parametrize("name", ["model.layers.1", "layers.1", "blocks.1.hook_resid_post"])
def test_module_paths_name_the_residual_stream(tmp_path: Path, model, name: str) -> None:
    write(tmp_path / "sae", "standard", "none")
    file = tmp_path / "sae" / "cfg.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"metadata": {"hook_name": name}}))
    place = placed(open_sae(str(tmp_path / "sae")), 1, model)
    assert (place.site, place.layer) == ("resid_post", 1)
    assert module_at(model, place) is model.model.layers[1]


@pytest.mark.parametrize("kind", ["sparsify", "gemma", "standard"])
def test_a_folder_that_does_not_tell_its_site_is_refused_with_the_question(
    tmp_path: Path, model, kind: str
) -> None:
    folder = tmp_path / "layer_1" / "somewhere"  # not a name that tells the site
    write(folder, kind, "none")
    if kind == "standard":
        file = folder / "cfg.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"metadata": {}}))
    sae = open_sae(str(folder))
    for layer, site in ((None, None), (1, None), (None, "resid_post")):
        with pytest.raises(UserError, match="give it with --layer and --site"):
            placed(sae, layer, model, site)
    assert placed(sae, 1, model, "resid_post") == HookPoint.residual(1)
    assert placed(sae, 0, model, "attn_out") == HookPoint.parse("blocks.0.hook_attn_out")
    with pytest.raises(UserError, match="There is no site 'resid'"):
        placed(sae, 1, model, "resid")


def test_a_site_that_the_folder_denies_is_refused(tmp_path: Path, model) -> None:
    write(tmp_path / "sae", "standard", "none")
    sae = open_sae(str(tmp_path / "sae"))
    assert placed(sae, None, model, "resid_post") == HookPoint.residual(1)
    with pytest.raises(UserError, match="not on mlp_out; omit --site"):
        placed(sae, None, model, "mlp_out")


def test_an_sae_of_one_head_is_refused_by_its_width(tmp_path: Path, model) -> None:
    write(tmp_path / "sae", "standard", "none")
    wide = open_sae(str(tmp_path / "sae"))
    narrow = Dictionary(noise(6, N), noise(N), noise(N, 6), noise(6), "standard")
    for name in ("blocks.1.attn.hook_z", "layers.1.mlp", "blocks.1.hook_mlp_out"):
        sae = type(wide)("s", "sae_lens", narrow, HookPoint.parse(name))
        with pytest.raises(UserError, match="expects 6 dimensions but the model's"):
            placed(sae, None, model)
