"""The study files that come with functok say what the paper states."""

import pytest
import torch

from functok.models.training import new_llama
from functok.studies import studies, study_file
from functok.study.settings import load_study

LLAMA_3_VOCABULARY = 128_256


@pytest.mark.parametrize("name", studies())
def test_every_study_that_comes_along_can_be_read(name):
    assert load_study(study_file(name)).name == name


@pytest.mark.parametrize(
    ("name", "parameters"), [("pretrain-1.5b", 1_486_901_248), ("pretrain-8b", 8_030_261_248)]
)
def test_the_papers_models_have_their_number_of_parameters(name, parameters):
    part = load_study(study_file(name)).model
    with torch.device("meta"):
        model = new_llama(part.shape, LLAMA_3_VOCABULARY, part.training.context, 0)
    assert sum(weight.numel() for weight in model.parameters()) == parameters


@pytest.mark.parametrize("name", ["pretrain-1.5b", "pretrain-8b"])
def test_what_the_paper_states_is_what_the_studies_say(name):
    training = load_study(study_file(name)).model.training
    assert (training.batch, training.context, training.warm_up) == (1024, 4095, 8000)
    assert (training.learning_rate, training.final_learning_rate) == (8e-5, 8e-7)


def test_the_checkpoints_with_an_sae_are_the_papers():
    assert {3000, 50_000, 130_000} <= set(
        load_study(study_file("pretrain-1.5b")).checkpoint_steps()
    )
