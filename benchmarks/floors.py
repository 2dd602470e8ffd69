"""Modified Kneser–Ney of order 5 on synthetic text: seconds and memory.

    python benchmarks/floors.py [--tokens 10000000] [--order 5]

Documents of 1,000 tokens drawn from Zipf's law over 50,000 types, each token with probability ½ the
one that most often follows the one before: half of it repeats, half is new, which is harder than
prose, where fewer n-grams are distinct. The model is fitted, and then predicts a million tokens.

The bar: ten million tokens in at most 120 s on one core, below 4 GB of memory.
"""

import argparse
import resource
import time

import numpy as np

from functok.consolidation.kneser_ney import ORDER, KneserNey
from functok.encoding.tokenizer import Encoded
from functok.tokens.counting.function_tokens import CONTENT

TYPES, LENGTH, PREDICTED = 50_000, 1_000, 1_000_000
SECONDS, GIGABYTES = 120, 4


def drawn(tokens: int, seed: int = 0) -> Encoded:
    """Text whose unigram is Zipf's, and half of whose bigrams are usual."""
    chance = np.random.default_rng(seed)
    reach = np.cumsum(1 / np.arange(1, TYPES + 1))
    successor = np.random.default_rng(1).permutation(TYPES)
    documents = tokens // LENGTH
    ids = np.searchsorted(reach, chance.random((documents, LENGTH)) * reach[-1]).astype(np.int32)
    usual = chance.random(ids.shape) < 0.5
    for place in range(1, LENGTH):
        ids[:, place] = np.where(usual[:, place], successor[ids[:, place - 1]], ids[:, place])
    return Encoded(ids.ravel(), np.arange(documents + 1) * LENGTH, np.arange(documents))


def peak() -> float:
    """GB that this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=10_000_000)
    parser.add_argument("--order", type=int, default=ORDER)
    options = parser.parse_args()
    text, other = drawn(options.tokens), drawn(PREDICTED, seed=2)
    classes = np.full(TYPES, CONTENT, np.int8)
    print(f"\n{len(text.ids):,} tokens of {TYPES:,} types: {peak():.2f} GB", flush=True)
    started, busy = time.perf_counter(), time.process_time()
    model = KneserNey.fit(text, classes, options.order)
    spent, busy = time.perf_counter() - started, time.process_time() - busy
    sizes = ", ".join(f"{len(level.grams):,}" for level in model.levels)
    print(f"  n-grams by order: {sizes}")
    print(f"  fit     {spent:6.1f} s (bar: {SECONDS} s), of which {busy:.1f} s of the processor")
    print(f"  memory  {peak():6.2f} GB (bar: {GIGABYTES} GB)")
    started = time.perf_counter()
    found = -np.log(model.probabilities(other))
    spent = time.perf_counter() - started
    print(f"  predict {spent:6.1f} s, {len(found):,} tokens, mean loss {found.mean():.3f} nats")


if __name__ == "__main__":
    main()
