import numpy as np
import pytest
from scipy import sparse

from functok.tokens.spread.partitions import PartCounts
from functok.tokens.spread.zipf import exponent, zipf_table


def zeta_counts(alpha: float, ranks: int, draws: int, parts: int, seed: int) -> PartCounts:
    weights = np.arange(1, ranks + 1) ** -alpha
    rng = np.random.default_rng(seed)
    rows = [rng.multinomial(draws // parts, weights / weights.sum()) for _ in range(parts)]
    return PartCounts(sparse.csr_array(np.array(rows, np.int64)))


@pytest.mark.parametrize("alpha", [0.6, 1.0, 1.7])
def test_the_exponent_of_exact_frequencies_is_found(alpha):
    frequencies = np.round(1e9 * np.arange(1, 2001) ** -alpha).astype(np.int64)
    assert exponent(frequencies) == pytest.approx(alpha, abs=1e-4)


def test_the_exponent_maximises_the_likelihood():
    frequencies = np.array([50, 30, 9, 12, 3])
    logs = np.log(np.arange(3, 8))
    grid = np.linspace(0, 4, 40_001)
    likelihood = [
        -alpha * (frequencies @ logs) - frequencies.sum() * np.log(np.exp(-alpha * logs).sum())
        for alpha in grid
    ]
    assert exponent(frequencies, first=3) == pytest.approx(grid[np.argmax(likelihood)], abs=1e-4)


def test_ranks_from_other_parts_take_the_bias_away():
    # Equally frequent tokens: sorted by their own counts they seem to fall, and do not.
    parts = zeta_counts(0.0, 500, 20_000, 20, seed=2)
    own = np.sort(parts.occurrences)[::-1]
    found = zipf_table(parts, ranges=((1, None),)).row(0, named=True)
    assert exponent(own) > 0.05
    assert found["exponent"] == pytest.approx(0.0, abs=0.02)
    assert found["low"] < 0.0 < found["high"]


def test_the_interval_holds_the_true_exponent_of_a_sampled_power_law():
    found = zipf_table(zeta_counts(1.1, 300, 400_000, 100, seed=3), ranges=((1, 100), (10, 100)))
    assert (found["low"] < 1.1).all()
    assert (found["high"] > 1.1).all()
    assert (found["distance"] < 0.02).all()


def test_ranges_beyond_the_vocabulary_are_left_out():
    found = zipf_table(zeta_counts(1.0, 50, 10_000, 10, seed=4))
    assert found["last_rank"].to_list() == [50]
