"""Greedy decoding takes the likeliest token, whatever the model's folder asks for."""

import pytest
import torch
from families import tiny
from transformers import GenerationConfig

from functok.models.language.generation import generate

PROMPTS = [[3, 17, 4, 29, 11, 8], [5, 9]]
ASKED = {
    "beams": {"num_beams": 3},
    "sequences": {"num_beams": 2, "num_return_sequences": 2},
    "sampling": {"do_sample": True, "temperature": 5.0, "top_k": 3},
    "repeats": {"no_repeat_ngram_size": 1},
    "penalty": {"repetition_penalty": 5.0},
    "encoder": {"encoder_repetition_penalty": 0.2},
    "suppressed": {"suppress_tokens": [0]},
    "begin": {"begin_suppress_tokens": [0]},
    "bad words": {"bad_words_ids": [[0]]},
    "bias": {"sequence_bias": [[[7], 90.0]]},
    "forced first": {"forced_bos_token_id": 7},
    "forced last": {"forced_eos_token_id": 7},
    "least": {"min_new_tokens": 8},
    "length": {"max_length": 4, "min_length": 7, "exponential_decay_length_penalty": [1, 9.0]},
    "guidance": {"guidance_scale": 1.5},
    "outputs": {"return_dict_in_generate": True, "output_scores": True},
    "cache": {"use_cache": False, "cache_implementation": "static"},
    "ends": {"stop_strings": ["a"], "max_time": 0.0},
    "lookup": {"prompt_lookup_num_tokens": 2},
    "renormalised": {"renormalize_logits": True, "remove_invalid_values": True},
    "watermark": {"watermarking_config": {"bias": 20.0, "seeding_scheme": "selfhash"}},
}


def by_hand(model, prompt: list[int], tokens: int, end: int | None) -> list[int]:
    ids = list(prompt)
    while len(ids) < len(prompt) + tokens and (ids == prompt or ids[-1] != end):
        with torch.no_grad():
            ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.fixture(scope="module")
def net():
    return tiny("Llama")


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_greedy_answers_do_not_depend_on_the_folders_settings(net, asked):
    plain = [by_hand(net, prompt, 6, None) for prompt in PROMPTS]
    likeliest = plain[0][0]
    asked = {
        name: [likeliest] if value == [0] else [[likeliest]] if value == [[0]] else value
        for name, value in asked.items()
    }
    kept = net.generation_config
    net.generation_config = GenerationConfig.from_dict({**kept.to_dict(), **asked})
    try:
        wanted = net.generation_config
        assert generate(net, PROMPTS, 6) == plain
        assert net.generation_config is wanted, "the model keeps its own"
    finally:
        net.generation_config = kept


def test_an_answer_ends_at_the_folders_end_token(net):
    end = by_hand(net, PROMPTS[0], 6, None)[2]
    kept = net.generation_config.eos_token_id
    net.generation_config.eos_token_id = [end]
    try:
        assert generate(net, PROMPTS, 6) == [by_hand(net, prompt, 6, end) for prompt in PROMPTS]
    finally:
        net.generation_config.eos_token_id = kept
