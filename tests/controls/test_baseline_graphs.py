"""Baselines built end to end on a tiny Llama, killed in between, and built again."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import save_file

from functok.controls.baselines import build
from functok.controls.baselines.build import (
    BASELINES,
    Trained,
    build_baseline,
    named_baselines,
    possible,
)
from functok.encoding.contexts import RowFormat
from functok.encoding.tokenizer import Encoded
from functok.models.dictionaries.activations import sample_activations
from functok.models.dictionaries.training import (
    DictionarySettings,
    train_dictionary,
)
from functok.models.exclusions import Exclusions
from functok.models.language.hooks import HookPoint
from functok.models.language.model import load_model
from functok.models.training import LlamaShape, new_llama
from functok.runtime.engine import InProcess
from functok.runtime.errors import UserError
from functok.runtime.store import read_json

VOCABULARY = 40

ROWS = RowFormat(16, start=0, overlap=4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    root = tmp_path_factory.mktemp("trained")
    shape = LlamaShape(hidden_size=16, layers=2, heads=2, key_value_heads=2, intermediate_size=32)
    new_llama(shape, VOCABULARY, 16, 3).save_pretrained(root / "model")
    chance = np.random.default_rng(0)
    ids = (chance.zipf(1.4, 1200) % (VOCABULARY - 1) + 1).astype(np.int32)
    encoded = Encoded(ids, np.arange(0, 1201, 12), np.arange(100) * 7919)
    exclusions = Exclusions(special=(0,))
    recipe = DictionarySettings(width=32, k=4, steps=20, batch=64, activations=800, dead_window=10)
    model = load_model(str(root / "model"))
    x, _ = sample_activations(model, encoded, 1, ROWS, exclusions, 1200)
    train_dictionary(x, recipe, 1, 0, root / "sae")
    return Trained(
        key="trained",
        model=str(root / "model"),
        sae=str(root / "sae"),
        hook=HookPoint.residual(1),
        recipe=recipe.fitted(16),
        training=encoded,
        encoded=encoded,
        row_format=ROWS,
        exclusions=exclusions,
        seed=5,
        quality_tokens=400,
    )


@pytest.mark.parametrize(
    "baseline", [one for one in BASELINES if one.name != "step-0"], ids=lambda a: a.name
)
def test_every_baseline_is_a_graph_of_as_many_positions(baseline, trained, tmp_path):
    folder = tmp_path / baseline.name
    graph = build_baseline(baseline, trained, folder)
    assert graph.positions == 1200
    assert graph.features == 32
    assert graph.meta["baseline"] == baseline.name
    told = read_json(folder / "baseline.json")
    assert told["l0"] == pytest.approx(4, abs=0.01)
    assert told["explained_variance"] < 1
    assert (folder / "sae").exists() == baseline.trains
    counts = np.bincount(trained.encoded.ids, minlength=VOCABULARY)
    same = graph.token_occurrences.sum(0)
    assert sorted(same) == sorted(counts)
    assert (same == counts).all() or baseline.name == "renamed"
    assert not (folder / "model").exists()


def test_step_0_is_the_model_that_is_named(trained, tmp_path):
    baseline = named_baselines(["step-0"])[0]
    assert possible(baseline, trained) == "There is no checkpoint from before training."
    with pytest.raises(UserError, match="no checkpoint from before"):
        build_baseline(baseline, trained, tmp_path / "none")
    known = Trained(**{**vars(trained), "start": (trained.model, None)})
    assert build_baseline(baseline, known, tmp_path / "baseline").positions == 1200


def test_a_kept_sample_stands_in_for_another_pass(trained, tmp_path, monkeypatch):
    model = load_model(trained.model)
    x, _ = sample_activations(model, trained.training, 1, ROWS, trained.exclusions, 800)
    save_file({"activations": x}, tmp_path / "sample.safetensors")
    frozen, untrained = named_baselines(["reinitialised", "frozen-decoder"])[::-1]
    passed = build_baseline(frozen, trained, tmp_path / "passed")
    known = replace(trained, sample=tmp_path / "sample.safetensors")

    def no_pass(*given: object, **named: object) -> None:
        raise AssertionError

    monkeypatch.setattr(build, "sample_activations", no_pass)
    kept = build_baseline(frozen, known, tmp_path / "kept")
    for one, two in zip(kept.columns, passed.columns, strict=True):
        assert (one == two).all()
    with pytest.raises(AssertionError):  # another model's activations are others
        build_baseline(untrained, known, tmp_path / "untrained")


def test_a_baseline_killed_on_its_way_goes_on_and_equals_one_that_was_not(
    trained, tmp_path, monkeypatch
):
    baseline = named_baselines(["reinitialised"])[0]
    whole = build_baseline(baseline, trained, tmp_path / "whole")
    killed = tmp_path / "killed"
    for step in ("train_dictionary", "build_graphs", "dictionary_quality"):
        with monkeypatch.context() as patched:

            def dies(*given: object, **named: object) -> None:
                raise KeyboardInterrupt

            patched.setattr(build, step, dies)
            with pytest.raises(KeyboardInterrupt):
                build_baseline(baseline, trained, killed)
    made = (killed / "sae" / "cfg.json").stat().st_mtime_ns
    again = build_baseline(baseline, trained, killed, InProcess())
    assert (killed / "sae" / "cfg.json").stat().st_mtime_ns == made
    for one, two in zip(again.columns, whole.columns, strict=True):
        assert (one == two).all()


def test_a_finished_baseline_is_read_and_one_of_other_settings_is_built_again(
    trained, tmp_path, monkeypatch
):
    baseline = named_baselines(["shuffled-corpus"])[0]
    first = build_baseline(baseline, trained, tmp_path / "baseline")
    with monkeypatch.context() as patched:
        patched.setattr(build, "build_graphs", None)
        again = build_baseline(baseline, trained, tmp_path / "baseline")
    assert (again.columns.feature == first.columns.feature).all()
    other = Trained(**{**vars(trained), "seed": 6})
    rebuilt = build_baseline(baseline, other, tmp_path / "baseline")
    assert len(rebuilt.columns.feature) != len(first.columns.feature)


def test_an_sae_elsewhere_than_at_a_site_of_a_layer_has_no_baseline_of_its_own(trained):
    elsewhere = Trained(**{**vars(trained), "hook": HookPoint.parse("hook_embed")})
    sentences = [possible(baseline, elsewhere) for baseline in BASELINES]
    assert sum(sentence is None for sentence in sentences) == 4
    assert "hook_embed" in (sentences[0] or "")


def test_a_baseline_that_there_is_not_is_named():
    with pytest.raises(UserError, match="did you mean 'frozen-decoder'"):
        named_baselines(["frozen-decoderr"])
