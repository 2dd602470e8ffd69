"""The controls that follow from counts alone, at the size of a published SAE.

    python benchmarks/controls.py [--edges 10000000] [--only exposure richness]

A graph of 20,000 token types, 65,536 features and ten million edges (a row per token, feature and
hash group of documents) is drawn and saved. Another process then loads it and runs each control as
``functok controls`` does, every statistic with its jackknife over the 32 groups; what a control
shares with those before it, it does not work out again.

The bar: all of them in less than 120 s on two cores, below 4 GB of memory. The limit is one pass
over the edges per control, read and grouped by token and feature, whose time stands first.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from functok.controls.features.kinds import features
from functok.controls.inputs import Inputs
from functok.controls.suite import suite
from functok.corpus.splits import GROUPS
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.edges import GRID, Edges, Packing, merged
from functok.graph.labelled import LabelledGraph
from functok.tokens.counting.function_tokens import class_array
from functok.tokens.vocabulary import Vocabulary

TOKENS, FEATURES, L0, BATCH, LENGTH = 20_000, 65_536, 50, 16, 128
SECONDS, GIGABYTES = 120, 4


def control(name: str) -> Callable[[Inputs], object]:
    return suite.chosen([name])[0].work


CONTROLS: dict[str, Callable[[Inputs], object]] = {
    "exposure": control("exposure"),  # A2, of which (i) and the others in closed form
    "richness": control("richness"),  # A3
    "hubs": control("hubs"),  # N1
    "poisson": control("poisson"),  # N2
    "factorial": control("factorial"),  # A5
    "pairs": control("pairs"),
    "regression": control("regression"),  # A4
    "degree": control("degree"),
    "features": lambda given: features(given.subject),  # A8
}


def drawn_graph(edges: int, seed: int = 0) -> TokenFeatureGraph:
    """Zipf tokens, features of log-normal density, no dependence between them."""
    chance = np.random.default_rng(seed)
    unigram = np.arange(1, TOKENS + 1) ** -1.0
    unigram /= unigram.sum()
    reach = np.cumsum(chance.lognormal(0, 2, FEATURES))
    reach /= reach[-1]
    packing = Packing(TOKENS, FEATURES)
    groups, counts = [], np.zeros((2, GROUPS, TOKENS), np.int64)
    for group in range(GROUPS):
        rows = Edges.empty()
        while len(rows) < edges // GROUPS:
            token = chance.choice(TOKENS, (BATCH, LENGTH), p=unigram)
            first = np.zeros(token.shape, bool)
            for chosen, document in zip(first, token, strict=True):
                chosen[np.unique(document, return_index=True)[1]] = True
            token, first = token.ravel(), first.ravel()
            np.add.at(counts[0, group], token, 1)
            np.add.at(counts[1, group], token[first], 1)
            active = np.searchsorted(reach[:-1], chance.random((len(token), L0)))
            active.sort(axis=1)
            distinct = np.diff(active, axis=1, prepend=-1) > 0
            position = np.nonzero(distinct)[0]
            value = chance.lognormal(0, 1, len(position)).astype(np.float32)
            key = packing.by_token(token[position], active[distinct], np.array(group))
            ones, units = np.ones(len(key), np.int64), np.round(value * GRID).astype(np.int64)
            fresh = Edges(key, ones, first[position].astype(np.int64), units, value)
            rows = rows.merge(merged([fresh]))
        groups.append(rows)
    return TokenFeatureGraph.of_edges(merged(groups), TOKENS, FEATURES, *counts)


def subject(folder: Path) -> LabelledGraph:
    """The saved graph; every fourth of the 200 most frequent types, and one in 50 of the others,
    is a function token."""
    function = np.r_[np.arange(0, 200, 4), np.arange(200, TOKENS, 50)]
    classes = class_array(function, (), TOKENS)
    kinds = (("DET", "ADP", "punct-final"), ("content", "subword"))
    return LabelledGraph(
        graph=TokenFeatureGraph.load(folder),
        vocabulary=Vocabulary(
            shown=[f"t{token}" for token in range(TOKENS)],
            classes=classes,
            subclasses=[
                kinds[code][token % len(kinds[code])] for token, code in enumerate(classes)
            ],
        ),
        seed=0,
    )


def measure(folder: Path, names: list[str]) -> None:
    """Each control's seconds, and the most memory that was held so far."""
    given = Inputs(subject(folder))
    started = time.perf_counter()
    pairs = 0
    for block in given.subject.graph.by_token():
        pairs += len(np.unique(block.token * FEATURES + block.feature))
    print(f"  {'one pass':12} {time.perf_counter() - started:6.1f} s, {pairs:,} pairs", flush=True)
    total = 0.0
    for name in names:
        started = time.perf_counter()
        CONTROLS[name](given)
        total += (spent := time.perf_counter() - started)
        print(f"  {name:12} {spent:6.1f} s, {peak():5.2f} GB", flush=True)
    print(
        f"  {'all':12} {total:6.1f} s (bar: {SECONDS} s), {peak():5.2f} GB (bar: {GIGABYTES} GB)",
        flush=True,
    )


def peak() -> float:
    """GB that this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edges", type=int, default=10_000_000)
    parser.add_argument("--only", nargs="+", default=list(CONTROLS), choices=list(CONTROLS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        graph = drawn_graph(options.edges)
        graph.save(folder)
        print(
            f"\n{TOKENS:,} token types, {FEATURES:,} features, {len(graph.columns.token):,} edges, "
            f"{graph.positions:,} positions",
            flush=True,
        )
        del graph
        work = multiprocessing.get_context("spawn").Process(
            target=measure, args=(folder, options.only)
        )
        work.start()
        work.join()
    raise SystemExit(work.exitcode)


if __name__ == "__main__":
    main()
