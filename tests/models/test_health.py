"""What is said of an SAE, and when it counts as broken."""

from dataclasses import replace

import pytest

from functok.models.dictionaries.health import Health

SOUND = Health(
    features=1000,
    positions=20_000,
    l0=16.0,
    dead=20,
    dense=3,
    explained_variance=0.8,
    with_massive=0.99,
    ce_recovered=0.9,
    loss=3.0,
    loss_reconstructed=3.5,
    loss_zero=8.0,
    loss_mean=7.0,
)


def test_all_of_it_stands_in_one_line():
    assert SOUND.line == (
        "SAE health: 2.0% of 1,000 features dead on 20,000 positions, L0 16, 3 dense, explained "
        "variance 0.800 without massive positions, 0.990 with, CE recovered 0.900 (loss 3.00 nats, "
        "reconstructed 3.50, mean-ablated 7.00, zero-ablated 8.00)."
    )
    assert SOUND.warning is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dead": 101}, "10% of its features are dead"),
        ({"dense": 51}, "5% of its features are dense"),
        ({"explained_variance": 0.49}, "explains 0.49"),
        ({"ce_recovered": 0.4, "loss_reconstructed": 6.0}, "recovers 0.40"),
        ({"loss_reconstructed": 7.1, "ce_recovered": 0.6}, "worse from it than from the mean"),
    ],
)
def test_each_bound_is_named(change, said):
    assert said in (replace(SOUND, **change).warning or "")


def test_a_feature_that_a_short_text_may_have_missed_is_silent_not_dead():
    short = replace(SOUND, dead=900, positions=6000)
    assert "90.0% of 1,000 features silent" in short.line
    assert short.warning is None


def test_more_than_all_recovered_is_explained_and_too_small_a_span_has_no_ratio():
    above = replace(SOUND, loss_reconstructed=2.9, ce_recovered=1.02)
    assert "not a merit of the SAE" in above.line
    flat = replace(SOUND, loss_zero=3.05, loss_reconstructed=3.1, ce_recovered=-1.0, loss_mean=3.0)
    assert "CE recovered undefined" in flat.line
    assert flat.warning is None
