"""Settings that a command changes in the study that it reads."""

from pathlib import Path

import pytest

from functok.runtime.errors import UserError
from functok.study.settings import load_study
from functok.study.settings.changes import changed
from system.tiny import functok

CONTENT = {"graph": {"tokens": 5}, "dictionaries": [{"name": "one"}, {"name": "two"}]}


@pytest.mark.parametrize(
    ("change", "where", "value"),
    [
        ("graph.tokens=30000", ("graph", "tokens"), 30000),
        ("graph.tokens=null", ("graph", "tokens"), None),
        ("model.load=/a=b", ("model", "load"), "/a=b"),
        ("corpus=texts.jsonl", ("corpus",), "texts.jsonl"),
        ("dictionaries.1.layer=3", ("dictionaries", 1, "layer"), 3),
        ("trace.prompts=[a, b]", ("trace", "prompts"), ["a", "b"]),
    ],
)
def test_one_setting_is_replaced_and_the_rest_stays(change, where, value):
    whole = changed(CONTENT, [change])
    part = whole
    for name in where:
        part = part[name]
    assert part == value
    assert CONTENT == {"graph": {"tokens": 5}, "dictionaries": [{"name": "one"}, {"name": "two"}]}
    assert whole["dictionaries"][0] == {"name": "one"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("graph.tokens", "sets nothing; write it as --set KEY=VALUE"),
        ("=3", "sets nothing"),
        ("graph.tokens={", "is not valid YAML"),
        ("graph.tokens.more=3", "names no setting: the study has no 'more'"),
        ("dictionaries.2.layer=3", "names no setting: the study has no '2'"),
    ],
)
def test_what_sets_nothing_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=sentence):
        changed(CONTENT, [change])


def test_a_key_that_no_study_has_is_named(tiny_study: Path):
    with pytest.raises(UserError, match=r"unknown key 'graph\.token'; did you mean 'tokens'"):
        load_study(tiny_study, ["graph.token=3"])
    assert load_study(tiny_study, ["seed=3", "graph.tokens=77"]).graph.tokens == 77


def test_the_settings_of_a_run_folder_are_its_own(whole_run: Path):
    refused = functok("run", whole_run, "--set", "seed=3")
    assert refused.code == 2
    assert "is a run folder, whose settings are in its study.yaml" in refused.err
