"""Residual streams and losses against what transformers itself returns."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from families import (
    FAMILIES,
    LAYERS,
    VOCABULARY,
    WIDTH,
    edited_logits,
    final_norm,
    layers_by_name,
    tiny,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from functok.models.interventions.intervention import Intervention, steer
from functok.models.language.capture import residual_stream
from functok.models.language.head import cuts, token_losses
from functok.models.language.model import (
    check_tokenizer,
    decoder_layers,
    layer_of,
    load_model,
    replacing,
)
from functok.runtime.errors import UserError

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"


def hidden_states(model: nn.Module, ids: Tensor) -> tuple[Tensor, ...]:
    with torch.no_grad():
        return model(ids, output_hidden_states=True, use_cache=False).hidden_states


def in_tuples(model: nn.Module) -> nn.Module:
    """The same model with layers that return tuples, as transformers 4 had them."""

    def unwrap(hidden: Tensor | tuple) -> Tensor:
        return hidden[0] if isinstance(hidden, tuple) else hidden

    def tupled(forward, pack):
        return lambda hidden, *rest, **named: pack(forward(unwrap(hidden), *rest, **named))

    for layer in layers_by_name(model):
        layer.forward = tupled(layer.forward, lambda output: (output, "attention"))
    norm = final_norm(model)
    norm.forward = tupled(norm.forward, lambda output: output)
    return model


@pytest.mark.parametrize("layer", range(LAYERS - 1))
def test_residual_stream_is_the_hidden_state_after_the_layer(model, ids, layer):
    torch.testing.assert_close(
        residual_stream(model, ids, layer), hidden_states(model, ids)[layer + 1], rtol=0, atol=0
    )


def test_the_last_hidden_state_is_the_last_residual_stream_only_after_the_final_norm(model, ids):
    last = residual_stream(model, ids, LAYERS - 1)
    normed = hidden_states(model, ids)[-1]
    assert (last - normed).abs().max() > 0.1
    with torch.no_grad():
        torch.testing.assert_close(final_norm(model)(last), normed)


@pytest.mark.parametrize("layer", range(LAYERS))
def test_nothing_above_the_layer_is_computed(model, ids, layer):
    ran: list[str] = []
    parts = {f"layer {index}": part for index, part in enumerate(layers_by_name(model))}
    parts |= {"norm": final_norm(model), "head": model.get_output_embeddings()}
    for name, part in parts.items():
        part.register_forward_pre_hook(lambda *_, name=name: ran.append(name))
    residual_stream(model, ids, layer)
    assert ran == [f"layer {index}" for index in range(layer + 1)]


def test_reading_leaves_no_hook_behind(model, ids):
    residual_stream(model, ids, 1)
    with replacing(model, 1, lambda hidden: hidden):
        pass
    with pytest.raises(RuntimeError, match="odd"), replacing(model, 1, lambda hidden: hidden):
        raise RuntimeError("odd")
    assert not any(module._forward_hooks for module in model.modules())


def test_decoder_layers_are_those_that_the_architecture_names(model):
    assert decoder_layers(model) is layers_by_name(model)
    assert len(decoder_layers(model)) == LAYERS
    assert layer_of(model, 2) is layers_by_name(model)[2]


@pytest.mark.parametrize("layer", [-1, LAYERS])
def test_a_layer_that_does_not_exist_is_refused(layer):
    with pytest.raises(UserError, match="layers 0 to 2"):
        layer_of(tiny("Llama"), layer)


def test_two_lists_of_layers_are_refused():
    model = tiny("Llama")
    model.model.twins = nn.ModuleList(nn.Linear(2, 2) for _ in range(LAYERS))
    with pytest.raises(UserError, match="2 lists of 3 layers"):
        decoder_layers(model)


def test_layers_that_return_tuples_read_and_write_the_same(family, ids):
    plain, old = tiny(family), in_tuples(tiny(family))
    torch.testing.assert_close(residual_stream(old, ids, 1), residual_stream(plain, ids, 1))
    change = Intervention(1, 4, torch.linspace(-5, 5, WIDTH))
    with torch.no_grad(), steer(plain, [change]), steer(old, [change]):
        steered = plain(ids, use_cache=False).logits
        torch.testing.assert_close(old(ids, use_cache=False).logits, steered)
    with torch.no_grad():
        assert (steered - plain(ids, use_cache=False).logits).abs().max() > 0.01


@pytest.mark.parametrize("layer", range(LAYERS))
def test_replacing_changes_what_the_part_above_reads(model, ids, layer):
    def edit(hidden: Tensor) -> Tensor:
        return hidden.flip(1) * 2

    expected = edited_logits(model, ids, layer, edit)
    with torch.no_grad(), replacing(model, layer, edit):
        torch.testing.assert_close(model(ids, use_cache=False).logits, expected)


@settings(max_examples=20, deadline=None)
@given(
    family=st.sampled_from([*FAMILIES]),
    kept=st.lists(st.booleans(), min_size=18, max_size=18),
    targets=st.lists(st.integers(0, VOCABULARY - 1), min_size=18, max_size=18),
    positions=st.sampled_from([1, 5, 4096]),
)
def test_token_losses_equal_a_loop_over_tokens(family, kept, targets, positions):
    """However few logits fit into memory at a time."""
    model = tiny(family)
    ids = torch.arange(18).reshape(2, 9)
    wanted = torch.tensor([t if k else -100 for t, k in zip(targets, kept, strict=True)])
    assert cuts(model)
    losses = token_losses(model, ids, wanted.reshape(2, 9), 16 * VOCABULARY * positions)
    with torch.no_grad():
        logits = model(ids).logits.double().flatten(0, 1)
    for loss, row, target in zip(losses.flatten(), logits, wanted, strict=True):
        expected = 0.0 if target < 0 else (row.exp().sum().log() - row[target]).item()
        assert loss.item() == pytest.approx(expected, abs=1e-5)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    tiny("Llama").to(torch.bfloat16).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def refusal(name: Path | str) -> str:
    """What a user is told; one sentence on one line."""
    with pytest.raises(UserError) as caught:
        load_model(str(name))
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert not sentence.endswith("..")
    return sentence


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float32])
def test_a_saved_model_comes_back_in_its_own_precision_and_ready_to_evaluate(tmp_path, precision):
    original = tiny("Llama").to(precision)
    original.save_pretrained(tmp_path / "model")
    loaded = load_model(str(tmp_path / "model"))
    assert loaded.dtype == precision
    assert not loaded.training
    weights = dict(original.named_parameters())
    assert weights.keys() == dict(loaded.named_parameters()).keys()
    assert all(torch.equal(weights[name], found) for name, found in loaded.named_parameters())


def test_a_folder_without_weights_is_refused(saved):
    (saved / "model.safetensors").unlink()
    assert "contains no weights" in refusal(saved)


def test_a_file_of_weights_cut_short_is_refused(saved):
    file = saved / "model.safetensors"
    file.write_bytes(file.read_bytes()[:500])
    assert "cannot be loaded" in refusal(saved)


@pytest.mark.parametrize("config", ["{", "{}", '{"model_type": "no-such"}'])
def test_a_folder_whose_configuration_is_broken_is_refused(saved, config):
    (saved / "config.json").write_text(config)
    sentence = refusal(saved)
    assert "cannot be loaded" in sentence or "is damaged" in sentence


@pytest.mark.parametrize("change", [{"num_hidden_layers": 4}, {"intermediate_size": 32}])
def test_weights_that_are_missing_or_misshapen_are_refused_and_not_drawn_at_random(saved, change):
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(config | change))
    assert "missing or not of the shape" in refusal(saved)


@pytest.mark.parametrize("name", ["nobody/no-such-model", "no such name", "./no-such-folder"])
def test_an_unknown_name_offline_is_refused_in_one_sentence(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert repr(name) in refusal(name)


def word_tokenizer(words: int, first: str = "w"):
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    vocabulary = {f"{first}{index}": index for index in range(words)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(vocabulary, unk_token=f"{first}0"))
    )


def test_a_tokenizer_with_more_ids_than_the_model_embeds_is_refused():
    model = tiny("Llama")
    check_tokenizer(model, word_tokenizer(VOCABULARY), "some/model")
    with pytest.raises(UserError, match="41 tokens but model 'some/model' embeds only 40"):
        check_tokenizer(model, word_tokenizer(VOCABULARY + 1), "some/model")


def test_another_tokenizer_than_the_one_in_the_models_folder_is_refused(saved):
    model, own = tiny("Llama"), word_tokenizer(30)
    own.save_pretrained(saved)
    check_tokenizer(model, own, str(saved))
    with pytest.raises(UserError, match="differs from"):
        check_tokenizer(model, word_tokenizer(30, first="v"), str(saved))


def test_a_trained_model_predicts_the_stories_it_was_trained_on(tmp_path):
    folder, text = DATA / "models" / "stories260K", DATA / "texts" / "tinystories.jsonl.zst"
    if not (folder.is_dir() and text.is_file()):
        pytest.skip("the real model and text are not beside the project (../shared/data)")
    import zstandard
    from transformers import AutoTokenizer

    shutil.copytree(folder, tmp_path / "model")
    model = load_model(str(tmp_path / "model"))
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path / "model"))
    with zstandard.open(text, "rt", encoding="utf-8") as lines:
        stories = [json.loads(next(lines))["text"] for _ in range(4)]
    for story in stories:
        ids = torch.tensor([tokenizer(story)["input_ids"][:200]])
        loss = token_losses(model, ids[:, :-1], ids[:, 1:]).mean().item()
        assert loss < 2.2  # uniform: ln 512 = 6.24
        backwards = ids.flip(1)
        assert token_losses(model, backwards[:, :-1], backwards[:, 1:]).mean().item() > 1.5 * loss
