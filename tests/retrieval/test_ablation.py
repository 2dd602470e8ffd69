"""Ablation against a hook by hand, a taught route, and its effects where the truth is known."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from functok.calibration.planted import most
from functok.models.dictionaries import Dictionary
from functok.models.interventions.intervention import Clamp, Intervention, steer
from functok.models.language.capture import residual_stream
from functok.models.language.head import direct_logits
from functok.models.training import LlamaShape, new_llama
from functok.retrieval.causal.ablation import CONTRAST, SCHEMA, TOP, ablated, by_place, places
from functok.retrieval.prompts.trace import trace
from functok.tokens.counting.function_tokens import class_array
from system.tiny import changed, functok

VOCABULARY, WIDTH, FEATURES = 20, 16, 6
CLASSES = class_array([2, 3, 4], [0], VOCABULARY)
IDS = [0, 7, 2, 11, 3, 9, 4, 2, 13, 3, 8]
SHOWN = [str(token) for token in range(VOCABULARY)]


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    generator = torch.Generator().manual_seed(3)
    return Dictionary(
        W_enc=30 * torch.randn(WIDTH, FEATURES, generator=generator),
        b_enc=-0.2 * torch.rand(FEATURES, generator=generator),
        W_dec=torch.randn(FEATURES, WIDTH, generator=generator),
        b_dec=torch.randn(WIDTH, generator=generator),
        architecture="standard",
    )


def test_places_of_a_feature_by_hand() -> None:
    positions = np.array([2, 3, 5, 6, 8, 9, 11])
    activations = np.array([1.0, 4.0, 2.0, 3.0, 5.0, 9.0, 8.0])
    names = np.array(["content", "content", *["function"] * 3, "content", "function"])
    assert places(positions, activations, names, last=11) == {
        "naming": [3],
        "function": [8],  # the strongest of three, as there is one content token
        "content": [9],
        "naming and function": [3, 8],
        "last": [11],
    }
    later = places(positions[:4], activations[:4], names[:4], last=20)
    assert later == {"naming": [3], "function": [5, 6], "naming and function": [3, 5, 6]}
    assert places(positions[-1:], activations[-1:], names[-1:], last=11) == {"last": [11]}


def by_hand(model: Any, changes: dict[int, torch.Tensor]) -> torch.Tensor:
    """Log-probabilities with vectors taken off the residual stream after layer 0."""

    def write(module: Any, inputs: Any, output: Any) -> Any:
        hidden = (output[0] if isinstance(output, tuple) else output).clone()
        for position, vector in changes.items():
            hidden[0, position] -= vector
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    handle = model.model.layers[0].register_forward_hook(write)
    with torch.no_grad():
        found = model(torch.tensor([IDS])).logits[0, -1].log_softmax(-1)
    handle.remove()
    return found


def test_effects_are_those_of_a_hook_by_hand(model: Any, dictionary: Dictionary) -> None:
    traced = trace(model, dictionary, IDS, 0, CLASSES, np.zeros(FEATURES), SHOWN)
    table = ablated(model, dictionary, 0, IDS, traced, range(FEATURES), 5, 3, 0)
    assert dict(table.schema) == SCHEMA
    assert {"naming", "function", "content"} <= set(table["place"])
    hidden = residual_stream(model, torch.tensor([IDS]), 0)[0]
    z = ((hidden - dictionary.b_dec) @ dictionary.W_enc + dictionary.b_enc).relu()
    plain = by_hand(model, {})
    for row in table.iter_rows(named=True):
        feature = row["feature"]
        fired = traced.filter(feature=feature).sort("position")
        own = [fired[name].to_numpy() for name in ("position", "activation", "class")]
        chosen = places(*own, len(IDS) - 1)[row["place"]]
        taken = {place: z[place, feature] * dictionary.W_dec[feature] for place in chosen}
        said = by_hand(model, taken)
        assert row["kl"] == pytest.approx(float((plain.exp() * (plain - said)).sum()), abs=1e-5)
        top = direct_logits(model, dictionary.W_dec[feature][None])[0].topk(TOP).indices
        moved = said[top].exp().sum().log() - plain[top].exp().sum().log()
        assert row["promoted"] == pytest.approx(float(moved), abs=1e-5)
        norms = [float(taken[place].norm() / hidden[place].norm()) for place in chosen]
        assert row["share"] == pytest.approx(np.mean(norms), rel=1e-4)
        assert row["kl_random"] > 0


def test_random_directions_depend_on_prompt_feature_and_seed_alone(
    model: Any, dictionary: Dictionary
) -> None:
    traced = trace(model, dictionary, IDS, 0, CLASSES, np.zeros(FEATURES), SHOWN)

    def found(features: list[int], prompt: int, seed: int) -> list[float]:
        table = ablated(model, dictionary, 0, IDS, traced, features, prompt, 2, seed)
        return table.filter(feature=features[-1])["kl_random"].to_list()

    last = int(traced["feature"].max())  # type: ignore[arg-type]
    assert found([last], 1, 0) == pytest.approx(found([0, 1, last], 1, 0), abs=1e-6)
    every = [found([last], 1, 0), found([last], 2, 0), found([last], 1, 9)]
    assert all(one != other for one, other in pairwise(every))


def test_what_is_not_ablated_is_kept_to_the_last_bit(model: Any, dictionary: Dictionary) -> None:
    """The SAE's error term is never touched: a silent feature leaves the model as it is."""
    hidden = residual_stream(model, torch.tensor([IDS]), 0)[0]
    z = ((hidden - dictionary.b_dec) @ dictionary.W_enc + dictionary.b_enc).relu()
    position, silent = (z == 0).nonzero()[0].tolist()
    ids = torch.tensor([IDS])
    with torch.no_grad():
        plain = model(ids).logits
        for change in (
            Clamp(0, position, dictionary, silent),
            Intervention(0, position, -0.0 * dictionary.W_dec[silent]),
        ):
            with steer(model, [change]):
                assert torch.equal(model(ids).logits, plain)
    active = int(z[position].argmax())
    left = Clamp(0, position, dictionary, active).apply(
        hidden[position][None], torch.zeros(1, dtype=torch.long)
    )
    error = hidden[position] - (z[position] @ dictionary.W_dec + dictionary.b_dec)
    without = z[position].clone()
    without[active] = 0
    rest = without @ dictionary.W_dec + dictionary.b_dec
    torch.testing.assert_close(left[0] - rest, error, atol=1e-4, rtol=1e-4)


NAME, FUNCTION_TOKEN, OTHER, ANSWER = 7, 2, 9, 11
"""Tokens that carry the planted feature (the second is a function token), and what it promotes."""


def _planted() -> Any:
    """A model whose last position reads one dimension at function tokens alone.

    After layer 0 the stream holds the embeddings. In layer 1 every position attends to function
    tokens and copies dimension 0 into dimension 1, which the head reads as ``ANSWER``.
    """
    shape = LlamaShape(hidden_size=16, layers=2, heads=2, key_value_heads=2, intermediate_size=24)
    model = new_llama(shape, VOCABULARY, 40, 0).eval().requires_grad_(False)
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    reader, slow = model.model.layers[1].self_attn, 3  # the dimension that turns least
    for part in (reader.q_proj, reader.k_proj, reader.v_proj):
        part.weight.zero_()
    reader.q_proj.weight[slow, 4] = 30.0
    reader.k_proj.weight[slow, 3] = 30.0
    reader.v_proj.weight[0, 0] = 1.0
    reader.o_proj.weight[1, 0] = 3.0
    embedding = 0.1 * torch.randn(VOCABULARY, 16, generator=torch.Generator().manual_seed(0))
    embedding[:, :4], embedding[:, 4] = 0.0, 1.0
    embedding[2:5, 3] = 1.0
    embedding[[NAME, FUNCTION_TOKEN, OTHER], 0] = 2.0
    model.get_input_embeddings().weight.copy_(embedding)
    head = embedding.clone()
    head[:, :5] = 0.0
    head[ANSWER, 1] = 3.0
    model.set_output_embeddings(torch.nn.Linear(16, VOCABULARY, bias=False))
    model.get_output_embeddings().weight = torch.nn.Parameter(head, requires_grad=False)
    return model


def test_a_planted_route_through_function_tokens_is_found() -> None:
    model = _planted()
    encoder = torch.zeros(16, 2)
    encoder[0, 0] = encoder[6, 1] = 1.0
    dictionary = Dictionary(
        encoder, torch.tensor([0.0, -9.0]), encoder.T.contiguous(), torch.zeros(16), "standard"
    )
    tables = []
    for number, middle in enumerate(([5, 2, 6, 9], [5, 9, 6, 2], [9, 5, 12, 2], [3, 9, 13, 2])):
        ids = [0, NAME, 12, *middle, 13, 8]
        traced = trace(model, dictionary, ids, 0, CLASSES, np.zeros(2), SHOWN)
        tables.append(ablated(model, dictionary, 0, ids, traced, [0, 1], number, 8, 0))
    table = pl.concat(tables)
    assert set(table["feature"]) == {0}, "the other one is silent"
    means = {row["place"]: row for row in by_place(table).filter(measure="kl").to_dicts()}
    assert means["function"]["own"] > 0.1
    assert means["function"]["own"] > 5 * means["function"]["random"]
    for place in ("naming", "content"):
        assert abs(means[place]["own"]) < 1e-4, "nothing reads the feature there"
    assert means["naming and function"]["own"] == pytest.approx(means["function"]["own"], rel=0.01)
    assert means[CONTRAST]["effect"] > 0.1
    moved = by_place(table).filter(measure="promoted", place="function")
    assert moved["own"][0] < 5 * moved["random"][0]  # down, and far


def _study(seed: int, effect: float) -> pl.DataFrame:
    """Effects of 12 features in 16 prompts, each with a size of its own."""
    chance = np.random.default_rng(seed)
    prompts, features = np.indices((16, 12)).reshape(2, -1)
    of_prompt, of_feature = 0.1 * chance.normal(size=16), 0.1 * chance.normal(size=12)
    values = {}
    for name in ("kl", "promoted"):
        noise = of_prompt[prompts] + of_feature[features] + 0.2 * chance.normal(size=len(prompts))
        values[name] = 0.5 + effect + noise
        values[f"{name}_random"] = np.full(len(prompts), 0.5)
    about = {"prompt": prompts, "feature": features, "place": "function", "positions": 1}
    return pl.DataFrame({**about, "share": 0.3, **values}, schema_overrides=SCHEMA)


def test_intervals_count_prompts_and_features() -> None:
    runs = 200
    null = [by_place(_study(seed, 0.0)).row(0, named=True) for seed in range(runs)]
    assert sum(row["p_value"] < 0.05 for row in null) <= most(runs)
    held = [by_place(_study(seed, 0.2)).row(0, named=True) for seed in range(runs)]
    assert sum(row["effect_low"] <= 0.2 <= row["effect_high"] for row in held) >= runs - most(runs)
    assert sum(row["effect_low"] > 0 for row in held) > 0.9 * runs
    assert [null[0][name] for name in ("prompts", "features", "pairs")] == [16, 12, 192]


def test_classes_are_compared_where_both_are_there() -> None:
    function, content = _study(0, 0.3), _study(1, 0.0).with_columns(place=pl.lit("content"))
    table = pl.concat([function, content.filter(pl.col("prompt") < 10)])
    rows = {(row["place"], row["measure"]): row for row in by_place(table).iter_rows(named=True)}
    contrast = rows[(CONTRAST, "kl")]
    assert contrast["pairs"] == 120
    means = [
        part.filter(pl.col("prompt") < 10)["kl"].to_numpy().mean() for part in (function, content)
    ]
    assert contrast["effect"] == pytest.approx(means[0] - means[1])
    assert contrast["random"] == pytest.approx(0.0)


def test_a_study_ablates_its_traced_features(
    run_copy: Path, tiny_study: Path, tmp_path: Path
) -> None:
    refused = functok("ablation", run_copy)
    assert "ablates no features; give it ablation: {}." in refused.complaint
    study = changed(tiny_study, tmp_path / "study.yaml", ablation={"prompts": 6, "random": 2})
    outcome = functok("ablation", study, "-o", run_copy)  # what is added spoils nothing
    assert outcome.code == 0, outcome.err
    assert "KL of the next token" in outcome.out
    assert "Pre-training" not in outcome.err
    table = pl.read_parquet(run_copy / "retrieval/ablation.parquet")
    assert table["prompt"].n_unique() > 3
    assert (table["kl"] >= -1e-6).all()
    means = pl.read_parquet(run_copy / "retrieval/ablation_places.parquet")
    row = means.row(0, named=True)
    part = table.filter(place=row["place"])
    assert row["effect"] == pytest.approx((part["kl"] - part["kl_random"]).mean())
    assert list((run_copy / "figures").glob("ablation.svg"))
    other = changed(tiny_study, tmp_path / "other.yaml", trace={"features": [999]}, ablation={})
    refused = functok("ablation", other, "-o", run_copy, "--replace")
    assert "There is no feature 999: the SAE has features 0 to 63." in refused.complaint
