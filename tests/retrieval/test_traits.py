"""Finding a trait's feature, on a model in which the feature and its place are planted."""

import statistics
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from statsmodels.stats.proportion import proportion_confint

from functok.models.dictionaries import Dictionary
from functok.models.interventions.intervention import Intervention, steer
from functok.models.language.capture import residual_stream
from functok.models.language.hooks import HookPoint
from functok.models.language.row_start import RowStart
from functok.models.training import LlamaShape, new_llama
from functok.retrieval.prompts.judging import contains, judge
from functok.retrieval.prompts.subject import Subject
from functok.retrieval.questions import feature_of_trait
from functok.retrieval.steering.trait_tables import by_layer, over_traits
from functok.retrieval.steering.traits import Examination, best_layer, find_feature, scan_layers
from functok.runtime.errors import UserError
from functok.tokens.vocabulary import Vocabulary

VOCABULARY, WIDTH, ANSWER, LAYERS = 20, 16, 13, 3
TRAIT, PLACE = [0, 7, 8, 5, 3], 4
TESTS = [[0, 9, 2], [0, 6, 11, 12, 4, 10], [0, 3, 17], [0, 8, 8, 8, 2, 5]]
POSITIONS = [2, 4, 1, 4]
ACTIVATIONS = {11: 5.0, 4: 4.0, 7: 3.0, 2: 2.0, 9: 1.0}
"""Active at the trait prompt, by feature; 2 is the trait's."""


def decode(ids: list[int]) -> str:
    return " ".join(f"<{token}>" for token in ids)


@pytest.fixture(scope="module")
def model():
    shape = LlamaShape(
        hidden_size=WIDTH, layers=LAYERS, heads=2, key_value_heads=2, intermediate_size=24
    )
    return new_llama(shape, VOCABULARY, 40, 0).eval()


def examination(model, rule: str = f"<{ANSWER}>", prompts=TESTS, positions=POSITIONS):
    return Examination(model, prompts, positions, decode, judge(rule), tokens=4)


@pytest.fixture(scope="module")
def planted(model) -> Dictionary:
    """At the trait's place ACTIVATIONS; feature 2 writes the answer, the others next to nothing."""
    generator = torch.Generator().manual_seed(1)
    hidden = residual_stream(model, torch.tensor([TRAIT]), LAYERS - 1)[0, PLACE]
    encoder = torch.randn(WIDTH, 12, generator=generator)
    wanted = torch.full((12,), -1.0)
    wanted[list(ACTIVATIONS)] = torch.tensor(list(ACTIVATIONS.values()))
    decoder = 1e-4 * torch.randn(12, WIDTH, generator=generator)
    rows = model.lm_head.weight.detach()
    decoder[2] = 100 * (rows[ANSWER] - rows.mean(0))
    return Dictionary(
        encoder,
        wanted - hidden @ encoder,
        decoder,
        torch.zeros(WIDTH),
        "standard",
        subtract_b_dec=False,
    )


LAST = [prompt[: place + 1] for prompt, place in zip(TESTS, POSITIONS, strict=True)]
"""Prompts that end with their function token: there the last layer reaches the answer."""


def test_the_planted_feature_is_found_at_its_rank(model, planted):
    exam = examination(model, prompts=LAST)
    found = find_feature(exam, planted, TRAIT, PLACE, LAYERS - 1)
    assert (found.layer, found.feature, found.strength) == (LAYERS - 1, 2, pytest.approx(5.0))
    tried = {row["k"]: row for row in found.steps.filter(step="features").iter_rows(named=True)}
    assert tried[4]["success"] == 1.0
    assert tried[4]["feature"] == 2
    assert tried[3]["success"] == 0.0
    assert len(tried) <= 4  # of 5: a search, not a scan
    alone = found.steps.filter(step="alone").row(0, named=True)
    assert alone["success"] == 1.0
    assert alone["control"] < 1.0
    heard = exam.answers
    rates = heard.group_by("step", "k", "direction").agg(pl.col("shows").mean())
    for k, row in tried.items():
        of = {"step": "features", "k": k}
        assert rates.filter(**of, direction="trait")["shows"].item() == row["success"]
        assert rates.filter(**of, direction="random")["shows"].item() == row["control"]
    spoken = heard["answer"].str.contains(f"<{ANSWER}>", literal=True)
    assert spoken.equals(heard["shows"], check_names=False)


def test_the_control_of_a_step_has_the_kl_of_two_forward_passes(model):
    exam = examination(model)
    row = scan_layers(exam, TRAIT, PLACE, [1]).filter(step="layer").row(0, named=True)
    vector = residual_stream(model, torch.tensor([TRAIT]), 1)[0, PLACE]
    random = torch.randn(WIDTH, generator=torch.Generator().manual_seed(0))
    change = vector.norm() * random / random.norm()
    found = []
    for prompt, place in zip(TESTS, POSITIONS, strict=True):
        ids = torch.tensor([prompt])
        with torch.no_grad():
            plain = model(ids).logits[0, -1].log_softmax(-1)
            with steer(model, [Intervention(1, place, change)]):
                changed = model(ids).logits[0, -1].log_softmax(-1)
        found.append(float((changed.exp() * (changed - plain)).sum()))
    assert row["control_kl"] == pytest.approx(statistics.median(found), rel=1e-4)


def test_a_trait_that_the_model_does_not_show_on_its_own_prompt_is_refused_with_the_answer(model):
    exam = examination(model, "<never>")
    with pytest.raises(UserError, match=r"does not show the trait on the trait prompt.*'<\d+>"):
        exam.on_itself(TRAIT)
    assert exam.answers.select("step", "direction", "prompt", "shows").rows() == [
        ("trait", "none", None, False)
    ]


def test_a_layer_scan_equals_steering_each_prompt_alone(model):
    """Judged by a token that some layers bring and others do not."""
    seen = set()
    for token in range(0, VOCABULARY, 4):
        exam = examination(model, f"<{token}>")
        table = scan_layers(exam, TRAIT, PLACE)
        for layer in range(LAYERS):
            vector = residual_stream(model, torch.tensor([TRAIT]), layer)[0, PLACE]
            accepted = 0
            for prompt, place in zip(TESTS, POSITIONS, strict=True):
                ids = list(prompt)
                for _ in range(4):
                    with torch.no_grad(), steer(model, [Intervention(layer, place, vector)]):
                        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
                accepted += token in ids[len(prompt) :]
            assert table.filter(step="layer", layer=layer)["success"].item() == accepted / 4
            seen.add(accepted)
    assert len(seen) > 2


def scan(plain: float, *layers: float) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "step": ["plain", *["layer"] * len(layers)],
            "layer": [None, *range(len(layers))],
            "success": [plain, *layers],
        }
    )


def test_the_best_layer_is_the_lowest_of_the_most_successful():
    assert best_layer(scan(0.1, 0.2, 0.9, 0.9)) == 1
    with pytest.raises(UserError, match="at best 30% of the test prompts show it, and 30% without"):
        best_layer(scan(0.3, 0.1, 0.3))


def test_a_trait_that_cannot_be_found_is_said(model, planted):
    with pytest.raises(UserError, match="All 5 features active at layer 2 together"):
        find_feature(
            examination(model, prompts=LAST), planted, TRAIT, PLACE, LAYERS - 1, strength=1e-6
        )
    everything = "|".join(f"<{token}>" for token in range(VOCABULARY))
    with pytest.raises(UserError, match="Without steering 100% of the test prompts"):
        find_feature(examination(model, everything), planted, TRAIT, PLACE, LAYERS - 1)


def test_answers_are_judged_by_strings_whatever_their_case():
    accepts = judge("Moscow | st petersburg")
    assert accepts("In MOSCOW.")
    assert accepts("to St Petersburg")
    assert not accepts("in London")
    for none in ([], [""]):
        with pytest.raises(UserError, match="at least one string"):
            contains(none)


def test_answers_are_judged_by_their_language():
    chinese, french = judge("language:zh"), judge("language: FR")
    assert chinese("莫斯科是俄罗斯的首都。")
    assert not chinese("Moscow is the capital of Russia.")
    assert french("Moscou est la capitale de la Russie.")
    assert not french("Moscow is the capital of Russia.")
    with pytest.raises(UserError, match="no language 'zz'"):
        judge("language:zz")


def test_answers_are_judged_by_a_function_of_the_users_own(tmp_path):
    file = tmp_path / "judges.py"
    file.write_text("import re\n\ndef short(answer):\n    return re.search('[aeiou]', answer)\n")
    trusted = [file, tmp_path / "other.py", Path()]
    short = judge(f"python:{file}:short", trusted)
    assert short("la") is True
    assert short("hm") is False
    for rule, sentence in (
        (f"python:{file}:long", "has no function 'long'"),
        (f"python:{file}:re.match", "has no function 're.match'"),
        (f"python:{tmp_path / 'other.py'}:short", "There is no file"),
        ("python:short", "There is no file ''"),
    ):
        with pytest.raises(UserError, match=sentence):
            judge(rule, trusted)
    file.write_text("def short(answer:\n")
    with pytest.raises(UserError, match="cannot be run"):
        judge(f"python:{file}:short", trusted)


def test_a_file_that_only_a_study_names_is_not_run(tmp_path):
    file = tmp_path / "judges.py"
    file.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\ndef short(answer): pass\n")
    with pytest.raises(UserError, match=f"--allow-python {file}"):
        judge(f" python: {file}:short")
    assert not (tmp_path / "ran").exists()


class Numbers:
    """A tokenizer whose tokens are numbers."""

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return [int(word) for word in text.split()]

    decode = staticmethod(decode)


def asked(model, dictionary: Dictionary) -> Subject:
    """Token 3, 4 and 5 are function tokens; nothing is added before a prompt."""
    classes = np.full(VOCABULARY, 1, np.int8)
    classes[[3, 4, 5]] = 0
    words = Vocabulary([f"<{id}>" for id in range(VOCABULARY)], classes, ["content"] * VOCABULARY)
    density = np.zeros(dictionary.features)
    place, start = HookPoint.residual(LAYERS - 1), RowStart(None, None, "as asked for")
    return Subject(model, Numbers(), dictionary, place, start, words, density)


PROMPTS = ["0 9 3", "0 6 11 12 4"]


@pytest.mark.parametrize("layers", [None, [0]])
def test_of_several_saes_that_of_the_most_successful_layer_is_searched(model, planted, layers):
    """The trait is what the last layer's stream brings about: of the SAEs its own is the best."""
    trait, subject = "0 7 8 5 3", asked(model, planted)
    spoken = model.generate(torch.tensor([TRAIT]), max_new_tokens=1, do_sample=False)
    rule = f"<{int(spoken[0, -1])}>"
    loaded = []

    def sae(layer: int):
        def load() -> Dictionary:
            loaded.append(layer)
            return planted

        return load

    saes = {layer: sae(layer) for layer in (1, LAYERS - 1)}
    options = {"tokens": 1, "layers": layers, "threshold": 0.5}
    found = feature_of_trait(subject, trait, PROMPTS, judge(rule), saes=saes, **options)
    scanned = found.scan.filter(step="layer")
    assert scanned["layer"].to_list() == [0, 1, 2], "all, or the one named with those of the SAEs"
    rates = dict(scanned.select("layer", "success").rows())
    plain = found.scan.filter(step="plain")["success"].item()
    best = max(rates.values())
    assert rates[LAYERS - 1] == best > plain
    wanted = min(layer for layer in saes if rates[layer] == max(rates[one] for one in saes))
    assert loaded == [wanted]


def test_success_over_traits_is_that_of_all_their_test_prompts():
    one = by_layer(scan(0.25, 0.5, 1.0).with_columns(control=pl.lit(0.25), control_kl=0.1), 4)
    two = by_layer(scan(0.0, 0.1).with_columns(control=pl.lit(0.0), control_kl=0.1), 10)
    assert one["plain"].to_list() == [0.25, 0.25]
    both = over_traits(pl.concat([one, two]))
    assert both["layer"].to_list() == [0, 1]
    assert both["prompts"].to_list() == [14, 4]
    assert both["success"].to_list() == pytest.approx([3 / 14, 1.0])
    assert both["plain"].to_list() == pytest.approx([1 / 14, 0.25])
    for row, hits in zip(both.iter_rows(named=True), (3, 4), strict=True):
        ends = proportion_confint(hits, row["prompts"], method="wilson")
        assert (row["success_low"], row["success_high"]) == pytest.approx(ends)


def test_the_best_layer_may_be_asked_for_among_those_with_an_sae():
    assert best_layer(scan(0.1, 0.9, 0.4, 0.5), [1, 2]) == 2
    with pytest.raises(UserError, match="At no layer that has an SAE does the trait prompt's"):
        best_layer(scan(0.4, 0.9, 0.4), [1])
