"""Generate from several prompts in one batch."""

from collections.abc import Sequence

import torch

from functok.models.language.model import Model


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
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.zeros(len(prompts), longest, dtype=torch.long, device=model.device)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(list(prompt))
        mask[row, longest - len(prompt) :] = 1
    sampling = {"do_sample": False}
    if temperature > 0:
        # top_k and top_p as far open as they go: some models' folders ask for less.
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
        torch.manual_seed(seed)
        output = model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=tokens,
            repetition_penalty=1.0,  # some models' generation_config.json asks for another
            pad_token_id=_ends(model)[0] if _ends(model) else 0,
            **sampling,
        )
    return [_until_end(row, _ends(model)) for row in output[:, longest:].tolist()]


def _ends(model: Model) -> list[int]:
    end = model.generation_config.eos_token_id
    return [] if end is None else [end] if isinstance(end, int) else list(end)


def _until_end(ids: list[int], ends: list[int]) -> list[int]:
    """Up to and with the first end token; what follows it is padding."""
    stop = next((index + 1 for index, token in enumerate(ids) if token in ends), len(ids))
    return ids[:stop]
