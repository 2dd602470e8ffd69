"""Generate from several prompts in one batch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from transformers import GenerationConfig

from functok.models.language.model import Model
from functok.models.language.probe import bears_padding
from functok.models.placement import device_of


@torch.no_grad()
def generate(
    model: Model,
    prompts: Sequence[Sequence[int]],
    tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[list[int]]:
    """What the model writes after each prompt, up to its end token.

    Prompts are padded on the left, so that all end together; ``steer`` counts positions
    after the padding.

    Args:
        prompts: ids as the model reads them, of any lengths.
        tokens: most tokens to generate after each.
        temperature: 0 always takes the likeliest token; 1 samples from the model's distribution.
        seed: of the samples.
    """
    lengths = [len(prompt) for prompt in prompts]
    if min(lengths) < max(lengths) and not bears_padding(model):
        return [generate(model, [prompt], tokens, temperature, seed)[0] for prompt in prompts]
    longest = max(lengths)
    device = device_of(model)
    ids = torch.zeros(len(prompts), longest, dtype=torch.long, device=device)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(list(prompt))
        mask[row, longest - len(prompt) :] = 1
    ends = _ends(model)
    bare = GenerationConfig(
        max_new_tokens=tokens, eos_token_id=ends or None, pad_token_id=ends[0] if ends else 0
    )
    if temperature > 0:  # top_k and top_p as far open as they go
        bare.update(do_sample=True, temperature=temperature, top_k=0, top_p=1.0)
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), _configured(model, bare):
        torch.manual_seed(seed)
        output = model.generate(ids, attention_mask=mask, generation_config=bare)
    return [_until_end(row, ends) for row in output[:, longest:].tolist()]


@contextmanager
def _configured(model: Model, bare: GenerationConfig) -> Iterator[None]:
    """The model with ``bare`` in place of its folder's generation_config.json.

    ``generate`` fills in what a call leaves unsaid from there: beams, bans on repeats, forced and
    suppressed tokens, several sequences per prompt, kinds of cache. Each changes the answer.
    """
    kept, model.generation_config = model.generation_config, bare
    try:
        yield
    finally:
        model.generation_config = kept


def _ends(model: Model) -> list[int]:
    end = model.generation_config.eos_token_id
    return [] if end is None else [end] if isinstance(end, int) else list(end)


def _until_end(ids: list[int], ends: list[int]) -> list[int]:
    """Up to and with the first end token; what follows it is padding."""
    stop = next((index + 1 for index, token in enumerate(ids) if token in ends), len(ids))
    return ids[:stop]
