"""SAEs trained on activations whose features are known."""

import json
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from functok.encoding.contexts import RowFormat
from functok.encoding.tokenizer import Encoded
from functok.models.dictionaries import Dictionary, load_dictionary, open_sae
from functok.models.dictionaries.activations import sample_activations, sample_at
from functok.models.dictionaries.training import (
    DictionarySettings,
    _trainer,
    train_dictionary,
)
from functok.models.exclusions import Exclusions
from functok.models.language.hooks import HookPoint
from functok.models.training import LlamaShape, new_llama
from functok.runtime.errors import UserError

D_MODEL, TRUE, ACTIVE = 16, 24, 3


def planted(rows: int = 4096, scale: float = 7.0) -> Tensor:
    """Sums of a few of 24 fixed directions; their norm is far from √d_model."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(TRUE, D_MODEL, generator=generator))
    chosen = torch.rand(rows, TRUE, generator=generator).argsort(1)[:, :ACTIVE]
    strength = 0.5 + torch.rand(rows, ACTIVE, generator=generator)
    codes = torch.zeros(rows, TRUE).scatter_(1, chosen, strength)
    return scale * (codes @ directions + 0.1)


SETTINGS = {
    "topk": DictionarySettings(
        architecture="topk", width=48, k=ACTIVE, steps=150, batch=256, learning_rate=5e-3
    ),
    "batchtopk": DictionarySettings(
        architecture="batchtopk", width=48, k=ACTIVE, steps=150, batch=256, learning_rate=5e-3
    ),
    "jumprelu": DictionarySettings(
        architecture="jumprelu",
        width=48,
        l0_coefficient=0.5,
        steps=150,
        batch=256,
        learning_rate=5e-3,
    ),
}


def explained_variance(dictionary: Dictionary, x: Tensor) -> float:
    error = (x - dictionary.decode(dictionary.encode(x), len(x))).square().sum()
    return 1 - (error / (x - x.mean(0)).square().sum()).item()


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict:
    root = tmp_path_factory.mktemp("trained")
    for name, settings in SETTINGS.items():
        train_dictionary(planted(), settings, layer=2, seed=0, folder=root / name)
    return {name: root / name for name in SETTINGS}


@pytest.mark.parametrize("architecture", SETTINGS)
def test_a_trained_sae_explains_planted_features_it_has_not_seen(trained, architecture):
    dictionary = load_dictionary(trained[architecture])
    assert dictionary.features == 48
    fresh = planted(6000)[4096:]
    assert explained_variance(dictionary, fresh) > 0.8
    untrained = DictionarySettings(architecture=architecture, width=48, k=ACTIVE, steps=1, batch=8)
    folder = trained[architecture].parent / f"untrained-{architecture}"
    train_dictionary(planted(), untrained, 2, 0, folder)
    assert explained_variance(load_dictionary(folder), fresh) < 0.5


@pytest.mark.parametrize("architecture", SETTINGS)
def test_the_saved_folder_is_one_that_sae_lens_reads_alike(trained, architecture):
    from sae_lens import SAE

    theirs, ours = SAE.load_from_disk(trained[architecture]), load_dictionary(trained[architecture])
    x = planted(200)
    with torch.no_grad():
        expected = theirs(x)
    torch.testing.assert_close(ours.decode(ours.encode(x), 200), expected, rtol=1e-3, atol=1e-3)
    assert theirs.cfg.metadata.hook_name == "blocks.2.hook_resid_post"
    assert theirs.cfg.architecture() == ("topk" if architecture == "topk" else "jumprelu")


@pytest.mark.parametrize("architecture", SETTINGS)
def test_the_settings_of_a_folder_have_one_order_in_every_process(trained, architecture):
    """SAELens writes them in the order of a set, which Python draws anew for each process."""
    config = json.loads((trained[architecture] / "cfg.json").read_text())
    assert list(config) == sorted(config)


@pytest.mark.parametrize("architecture", SETTINGS)
def test_the_l0_that_a_folder_states_is_that_of_the_finished_sae(trained, architecture):
    sae = open_sae(str(trained[architecture]), "cpu")
    active = sae.dictionary.encode(planted())
    assert sae.published_l0 == pytest.approx(len(active.values) / len(planted()), rel=0.02)


@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
@pytest.mark.parametrize("steps", [2, 40])
def test_a_batch_top_k_trained_briefly_still_has_k_features_on_average(tmp_path, steps, scale):
    """SAELens' own running threshold is far off by then, and the scale is folded in."""
    settings = DictionarySettings(
        architecture="batchtopk", width=64, k=5, steps=steps, batch=128, learning_rate=1e-3
    )
    x = planted(3000, scale)
    train_dictionary(x, settings, 0, 0, tmp_path / "sae")
    active = load_dictionary(tmp_path / "sae").encode(x)
    assert len(active.values) / len(x) == pytest.approx(5, rel=0.1)


def test_one_recipe_gives_the_same_sae_at_every_scale(tmp_path):
    settings = DictionarySettings(width=32, k=4, steps=20, batch=128)
    for name, scale in (("small", 0.5), ("large", 64.0)):
        train_dictionary(planted(1000, scale), settings, 0, 0, tmp_path / name)
    small, large = (load_dictionary(tmp_path / name) for name in ("small", "large"))
    one, other = small.encode(planted(100, 0.5)), large.encode(planted(100, 64.0))
    assert one.features.tolist() == other.features.tolist()
    torch.testing.assert_close(128 * one.values, other.values, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("architecture", SETTINGS)
def test_the_seed_decides_every_byte(tmp_path, architecture):
    settings = DictionarySettings(architecture=architecture, width=32, k=4, steps=6, batch=64)
    state = torch.random.get_rng_state()
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        train_dictionary(planted(500), settings, 0, seed, tmp_path / name)
    assert torch.equal(torch.random.get_rng_state(), state)
    one, again, other = (
        (tmp_path / name / "sae_weights.safetensors").read_bytes()
        for name in ("one", "again", "other")
    )
    assert one == again
    assert one != other


def test_a_diverging_sae_is_refused_and_not_saved(tmp_path):
    settings = DictionarySettings(width=32, k=4, steps=20, batch=64).fitted(D_MODEL)
    object.__setattr__(settings, "learning_rate", 1e30)  # beyond what a study may ask for
    with pytest.raises(UserError, match="SAE 3 diverged; lower learning_rate \\(now 1e\\+30\\)"):
        train_dictionary(planted(500), settings, 0, 0, tmp_path / "sae", name="SAE 3")
    assert list(tmp_path.iterdir()) == []


def test_without_sae_lens_the_user_is_told_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sae_lens", None)
    with pytest.raises(UserError, match=r"pip install 'functok\[sae\]'"):
        train_dictionary(planted(100), SETTINGS["topk"], 0, 0, tmp_path / "sae")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"width": 0}, {"k": 0}, {"batch": 0}, {"k": 9, "width": 8}])
def test_impossible_sae_settings_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        DictionarySettings(**wrong)


@pytest.mark.parametrize("separator", [None, 0])
def test_the_sample_is_the_residual_stream_at_tokens_neither_special_nor_massive(separator):
    shape = LlamaShape(hidden_size=16, layers=2, heads=2, key_value_heads=2, intermediate_size=24)
    model = new_llama(shape, 20, 32, 0)
    special, massive = 1, 17
    with torch.no_grad():
        model.get_input_embeddings().weight[massive] *= 100
    documents = [[3, 4, 5, 6, 7], [8, 1, 9, 10], [11, 12, 13, 14, 15, 16, 17, 18, 1, 19, 2, 4, 6]]
    flat = np.array([token for document in documents for token in document], np.int32)
    encoded = Encoded(flat, np.array([0, 5, 9, 22]), np.array([101, 102, 103]))
    lead = [] if separator is None else [separator]
    expected = []
    for document in documents:
        with torch.no_grad():
            ids = torch.tensor([lead + document])
            hidden = model(ids, output_hidden_states=True).hidden_states[1][0, len(lead) :]
        kept = [token not in (special, massive) for token in document]
        kept[0] &= bool(lead)  # what stands first in a row does not count
        expected += list(hidden[kept])
    rule = Exclusions(special=(0, special), massive=5.0)
    sample, excluded = sample_activations(model, encoded, 0, RowFormat(32, separator), rule, 1000)
    first = 0 if lead else 3
    assert excluded["left_out"] == {
        "special": 2,
        "first": first,
        "massive": 1,
        "dense_features": 0,
    }
    assert sample.norm(dim=1).max() <= excluded["norm_above"]
    key = lambda row: row[0].item()  # noqa: E731
    torch.testing.assert_close(
        torch.stack(sorted(sample, key=key)), torch.stack(sorted(expected, key=key))
    )


def test_the_samples_of_several_places_come_from_one_pass():
    """Against hidden states and the modules' own outputs; massive positions are each one's own."""
    shape = LlamaShape(hidden_size=16, layers=3, heads=2, key_value_heads=2, intermediate_size=24)
    model = new_llama(shape, 20, 32, 0)
    passes, seen = [], {}
    model.base_model.register_forward_pre_hook(lambda *_: passes.append(1))
    layers = model.base_model.layers
    for name, module in (("mlp_out", layers[2].mlp), ("attn_out", layers[1].self_attn)):
        module.register_forward_hook(
            lambda module, inputs, output, name=name: seen.__setitem__(
                name, output[0] if isinstance(output, tuple) else output
            )
        )
    ids = torch.randint(2, 20, (1, 30), generator=torch.Generator().manual_seed(0))
    encoded = Encoded(ids[0].numpy().astype(np.int32), np.array([0, 30]), np.array([7]))
    with torch.no_grad():
        hidden = model(torch.cat([torch.tensor([[0]]), ids], 1), output_hidden_states=True)
    naive = [hidden.hidden_states[1], seen["attn_out"].clone(), seen["mlp_out"].clone()]
    points = [HookPoint.residual(0), HookPoint.at(1, "attn_out"), HookPoint.at(2, "mlp_out")]
    place = (RowFormat(32, 0), Exclusions(special=(0,), massive=1.2), 1000)
    list(sample_at(model, encoded, points, *place))  # which modules attention and MLP are, is known
    passes.clear()
    found = list(sample_at(model, encoded, points, *place))
    assert len(passes) == 1
    for point, sample, whole in zip(points, found, naive, strict=True):
        (alone,) = sample_at(model, encoded, [point], *place)
        assert (sample.activations == alone.activations).all()
        assert sample.excluded == alone.excluded
        norm = whole[0, 1:].norm(dim=1)
        kept = norm <= 1.2 * norm.median()
        torch.testing.assert_close(sample.activations, whole[0, 1:][kept])
        assert sample.excluded["left_out"]["massive"] == int((~kept).sum())
    massive = [sample.excluded["left_out"]["massive"] for sample in found]
    assert len({*massive}) > 1, "each place has massive positions of its own"


def test_an_sae_says_where_it_was_trained(tmp_path):
    recipe = DictionarySettings(width=24, k=2, steps=5, batch=64)
    train_dictionary(planted(500), recipe, HookPoint.at(3, "mlp_in"), 0, tmp_path / "sae")
    hook = open_sae(str(tmp_path / "sae")).hook
    assert hook is not None
    assert (hook.layer, hook.site) == (3, "mlp_in")


def test_what_a_recipe_leaves_open_follows_from_the_model():
    found = [DictionarySettings().fitted(width) for width in (32, 576, 4096)]
    assert [one.width for one in found] == [256, 4608, 32768]
    assert [one.k for one in found] == [8, 36, 64]
    assert found[1].steps * found[1].batch >= 500_000
    assert found[2].activations * 4096 * 4 <= 1 << 30
    given = DictionarySettings(width=9, steps=7)
    assert (given.fitted(576).width, given.fitted(576).k, given.fitted(576).steps) == (9, 9, 7)


def test_the_papers_recipe_is_what_saelens_is_given():
    """Constant learning rate, bandwidth, threshold, the scale of the penalty; no warm-up."""
    paper = DictionarySettings(
        architecture="jumprelu",
        width=64,
        steps=50,
        batch=32,
        learning_rate=1e-5,
        decay=0.0,
        l0_warm_up=0.0,
        bandwidth=0.03,
        threshold=0.005,
        tanh_scale=3.0,
        dead_window=1000,
    )
    trainer = _trainer(D_MODEL, paper.fitted(D_MODEL), HookPoint.residual(1), "cpu")
    config = trainer.sae.cfg
    assert (config.jumprelu_bandwidth, config.jumprelu_init_threshold) == (0.03, 0.005)
    assert (config.jumprelu_tanh_scale, config.jumprelu_sparsity_loss_mode) == (3.0, "tanh")
    assert trainer.sae.threshold.tolist() == pytest.approx([0.005] * 64)
    rates = []
    for _ in range(paper.steps or 0):
        rates.append(trainer.optimizer.param_groups[0]["lr"])
        trainer.step(torch.randn(32, D_MODEL))
        trainer.n_training_steps += 1
    assert rates == [1e-5] * 50
    assert trainer.coefficient_schedulers["l0"].current_value == config.l0_coefficient


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"bandwidth": 0.0}, "bandwidth 0.0 must lie between"),
        ({"decay": 1.0}, "decay 1.0 must lie between 0.0 and 0.9"),
        ({"threshold": -1.0}, "threshold -1.0 must lie between"),
    ],
)
def test_a_recipe_out_of_range_is_refused(settings, sentence):
    with pytest.raises(UserError, match=sentence):
        DictionarySettings(**settings)
