"""What a model expects after each token of a prompt, against a plain loop over prefixes."""

import numpy as np
import polars as pl
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from functok.consolidation.tokens import predictions as module
from functok.consolidation.tokens.predictions import by_checkpoint, predictions
from functok.runtime.errors import UserError
from functok.tokens.counting.function_tokens import CLASS_NAMES, CONTENT, FUNCTION, SPECIAL
from functok.tokens.vocabulary import Vocabulary

SIZE = 40
CLASSES = np.array([SPECIAL] + [FUNCTION] * 12 + [CONTENT] * (SIZE - 13))
WORDS = Vocabulary([f"w{index}" for index in range(SIZE)], CLASSES, ["content"] * SIZE)
PROMPT = [0, 5, 30, 5, 17, 39, 2]


@pytest.fixture
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=SIZE,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
        tie_word_embeddings=True,
        initializer_range=0.5,
    )
    return LlamaForCausalLM(config).eval()


@pytest.mark.parametrize("rows", [2, 64])
def test_every_prediction_is_that_of_the_prefix_alone(
    rows: int, model: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROWS", rows)
    table = predictions(model, PROMPT, WORDS)
    assert table["position"].to_list() == [*range(1, len(PROMPT))], "the special token is left out"
    assert table["predicted_id"].n_unique() > 1
    for row in table.iter_rows(named=True):
        place = row["position"]
        with torch.no_grad():
            logits = model(torch.tensor([PROMPT[: place + 1]])).logits[0, -1].double().numpy()
        shares = np.exp(logits) / np.exp(logits).sum()
        order = np.argsort(-shares)
        assert row["predicted_id"] == order[0]
        assert row["predicted"] == f"w{order[0]}"
        assert row["predicted_class"] == CLASS_NAMES[CLASSES[order[0]]]
        assert row["probability"] == pytest.approx(shares[order[0]], abs=1e-5)
        assert (row["token"], row["class"]) == (
            f"w{PROMPT[place]}",
            CLASS_NAMES[CLASSES[PROMPT[place]]],
        )
        if place == len(PROMPT) - 1:
            assert {row[f"next{end}"] for end in ("", "_id", "_probability", "_rank")} == {None}
        else:
            following = PROMPT[place + 1]
            assert (row["next_id"], row["next"]) == (following, f"w{following}")
            assert row["next_probability"] == pytest.approx(shares[following], abs=1e-5)
            assert order[row["next_rank"] - 1] == following


def test_a_model_that_was_taught_the_prompt_is_right_everywhere(model: LlamaForCausalLM) -> None:
    before = predictions(model, PROMPT, WORDS).with_columns(step=pl.lit(0))
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    ids = torch.tensor([[0, 5, 30, 7, 17, 39, 2]])  # no token twice: nothing is ambiguous
    for _ in range(150):
        optimiser.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimiser.step()
    after = predictions(model, ids[0].tolist(), WORDS).with_columns(step=pl.lit(9))
    found = by_checkpoint(pl.concat([before, after]))
    assert found["step"].to_list() == [0, 9]
    assert found["right"][0] < 1
    assert found.row(1, named=True)["right"] == 1.0
    assert found["next_rank"][1] == 1
    # after 5 30 7 17 39 come 30 7 17 39 2: two function tokens; the last token's guess is free
    free = after["predicted_class"][-1] == "function"
    assert found["function"][1] == pytest.approx((2 + free) / 6)


def test_one_token_has_no_next_one(model: LlamaForCausalLM) -> None:
    table = predictions(model, [5], WORDS)
    assert table["next_rank"].to_list() == table["next"].to_list() == [None]
    assert table.schema == predictions(model, PROMPT, WORDS).schema


def test_a_model_without_numbers_is_refused(model: LlamaForCausalLM) -> None:
    model.model.norm.weight.data[:] = float("nan")
    with pytest.raises(UserError, match="logits are not finite"):
        predictions(model, PROMPT, WORDS)
