"""Facts of every shape become the same prompts that their files hold; bad ones are named."""

import json
from pathlib import Path

import pytest

from functok.retrieval.causal.facts.fact import Fact, FactSet, Frame, answered
from functok.retrieval.causal.facts.reading import read_facts, read_frames
from functok.runtime.errors import UserError

SHARED = Path(__file__).parents[3] / "shared" / "data" / "facts"
PAIR = {
    "prompt": "The capital of France is",
    "counterfactual": "The capital of New Zealand is",
    "answer": "Paris",
    "counterfactual_answer": "Wellington",
}


def written(path: Path, content) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


@pytest.fixture
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the shared data are not beside the project")
    return SHARED


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "one object"])
def test_pairs_of_prompts_are_told_by_their_content(tmp_path, kind):
    other = PAIR | {
        "prompt": 'In short, "Cuba", whose',
        "counterfactual": 'In short, "Peru", whose',
    }
    rows = [PAIR, other]
    lines = "\n".join(json.dumps(row) for row in rows) + "\n\n"
    quoted = [[value.replace('"', '""') for value in row.values()] for row in rows]
    table = {
        mark: "\n".join(mark.join(f'"{value}"' for value in row) for row in [list(PAIR), *quoted])
        for mark in (",", "\t")
    }
    content = {
        "csv": table[","], "tsv": table["\t"], "jsonl": "\ufeff" + lines,
        "json": json.dumps(rows), "one object": json.dumps(PAIR),
    }[kind]  # fmt: skip
    found = read_facts(written(tmp_path / "facts", content))
    frame = "The capital of {} is"
    assert found.facts[0] == Fact(frame, "France", "Paris", "New Zealand", "Wellington")
    assert found.frames[0] == Frame(frame, frame)
    if kind != "one object":
        assert found.facts[1].counterfactual_subject == "Peru"
        assert found.frames[1].text == 'In short, "{}", whose'


@pytest.mark.parametrize(
    ("prompt", "counterfactual", "frame", "subjects"),
    [
        ("France's capital is", "Italy's capital is", "{}'s capital is", ("France", "Italy")),
        ("Guinea is", "Guinea Bissau is", "{} is", ("Guinea", "Guinea Bissau")),
        ("in Guinea", "in Guinea Bissau", "in {}", ("Guinea", "Guinea Bissau")),
        ("the cat sat", "a dog ran", "{}", ("the cat sat", "a dog ran")),
        ("A B A C", "A C", "A {}", ("B A C", "C")),
    ],
)
def test_the_subject_is_where_the_prompts_differ(tmp_path, prompt, counterfactual, frame, subjects):
    row = PAIR | {"prompt": prompt, "counterfactual": counterfactual}
    found = read_facts(written(tmp_path / "facts.json", [row]))
    (fact,), (asked,) = found.facts, found.frames
    assert asked.text == frame
    assert (fact.subject, fact.counterfactual_subject) == subjects
    assert [asked.asked(subject) for subject in subjects] == [prompt, counterfactual]


def test_a_relation_column_puts_frames_together(tmp_path):
    rows = [PAIR | {"relation": "capital"}]
    rows.append(rows[0] | {"prompt": "France, capital:", "counterfactual": "New Zealand, capital:"})
    found = read_facts(written(tmp_path / "facts.json", rows))
    facts, frames = found.relations["capital"]
    assert len(facts) == 1
    assert [frame.text for frame in frames] == ["The capital of {} is", "{}, capital:"]


def test_plain_facts_need_a_frame_file(tmp_path):
    path = written(tmp_path / "facts.csv", "relation,subject,answer\nsound,dog,bark\n")
    with pytest.raises(UserError, match=r"facts of relation 'sound' have no frame in common; give"):
        read_facts(path)
    frames = written(tmp_path / "frames.yaml", 'sound: {punctuation: ["The {} says:"]}')
    found = read_facts(path, frames)
    assert found.facts == (Fact("sound", "dog", "bark"),)
    assert found.frames == (Frame("sound", "The {} says:", "punctuation"),)
    with_counterfactual = "relation,subject,answer,counterfactual_subject,counterfactual_answer\n"
    path = written(tmp_path / "more.csv", with_counterfactual + "sound,dog,bark,cat,meow\n")
    assert read_facts(path, frames).facts[0].counterfactual == Fact("sound", "cat", "meow")


def test_frames_of_a_file_replace_those_of_their_relation(tmp_path):
    old = Frame("a", "{} was"), Frame("b", "{} was")
    found = FactSet((Fact("a", "x", "y"), Fact("b", "x", "y")), old).with_frames(
        read_frames(written(tmp_path / "f.yaml", "a: {content: ['{} called', '{} named']}"))
    )
    assert [frame.text for frame in found.relations["a"][1]] == ["{} called", "{} named"]
    assert found.relations["b"][1] == [old[1]]


def test_an_answer_follows_behind_a_blank_unless_something_opens():
    assert answered("The capital is", "Rome") == "The capital is Rome"
    assert answered("its capital (", "Rome") == "its capital (Rome"
    assert answered('"country": "', "Rome") == '"country": "Rome'
    assert answered('he said "yes"', "Rome") == 'he said "yes" Rome'
    assert answered("Rome's", "hills") == "Rome's hills"


def test_relations_with_several_templates(shared):
    found = read_facts(shared / "relations")
    raw = [json.loads(file.read_text()) for file in sorted((shared / "relations").glob("*.json"))]
    assert list(found.relations) == [content["name"] for content in raw]
    assert len(found.facts) == sum(len(content["samples"]) for content in raw)
    facts, frames = found.relations["country capital city"]
    assert Fact("country capital city", "France", "Paris") in facts
    assert [frame.text for frame in frames][:2] == [
        "The capital city of {} is",
        "The capital of {} is",
    ]


def test_known_1000(shared):
    found = read_facts(shared / "known_1000.json")
    raw = json.loads((shared / "known_1000.json").read_text())
    assert len(found.facts) == len(raw)
    for fact, frame, row in zip(found.facts, found.frames, raw, strict=True):
        assert frame.asked(fact.subject) == row["prompt"]
        assert (fact.relation, fact.answer) == (row["relation_id"], row["attribute"])


def test_ravel_needs_both_of_its_files(shared):
    found = read_facts(shared / "ravel-city")
    facts, frames = found.relations["Country"]
    assert Fact("Country", "Aarhus", "Denmark") in facts
    assert "{} is a city in the country of" in [frame.text for frame in frames]
    for name in ("attribute_to_prompts", "entity_attributes"):
        with pytest.raises(UserError, match="needs its companion"):
            read_facts(shared / "ravel-city" / f"ravel_city_{name}.json")


def test_in_context_counterfactuals_differ_in_what_the_prompt_states(shared):
    found = read_facts(shared / "counterfact-gpt2-knows.jsonl")
    lines = (shared / "counterfact-gpt2-knows.jsonl").read_text().splitlines()
    assert len(found.facts) == len(lines)
    for fact, frame, line in zip(found.facts, found.frames, lines, strict=True):
        row = json.loads(line)
        new, true = row["target_new"], row["target_true"]
        assert frame.asked(fact.subject) == row["prompt"]
        assert (fact.subject, fact.counterfactual_subject) == (new.strip(), true.strip())
        stated = row["prompt"].replace(row["base_prompt"] + new, row["base_prompt"] + true, 1)
        assert frame.asked(str(fact.counterfactual_subject)) == stated


BAD = {
    "": "holds no facts",
    "[]": "holds no facts",
    "{nothing": "is not JSON",
    '{"a": 1}\n{"b": ': "Line 2 of .* is not a JSON object",
    "[1, 2]": "something other than objects",
    "[" * 100_000: "is not JSON",
    "a,b\n1,2\n": "unknown format \\(its fields are a, b\\)",
    '{"a": 1}': "unknown format",
    "relation,subject,answer\nx,y\n": "Line 2 of .* does not have as many fields",
    'relation,subject,answer\nx,"y,z\n': "is not a row of a table",
    "relation,subject,answer\nx,,z\n": "no text in field 'subject' of row 1",
    '[{"relation": "x", "subject": "\\ud800", "answer": "z"}]': "no text in field 'subject'",
    '[{"relation": "x", "subject": 3, "answer": "z"}]': "no text in field 'subject'",
    '[{"relation": "x", "subject": "y", "answer": "z", "counterfactual_subject": "w"}]': "half a",
    json.dumps([PAIR | {"counterfactual": PAIR["prompt"]}]): "are the same",
    '[{"prompt": "x is", "subject": "y", "attribute": "z", "relation_id": "r"}]': "does not name",
    '{"name": "x", "samples": 3}': "not a list of objects",
    '{"name": "x", "prompt_templates": ["none"], "samples": []}': "has 0 placeholders",
    '[{"base_prompt": "a", "prompt": "b", "target_true": "c", "target_new": "d"}]': "does not say",
}


@pytest.mark.parametrize("content", BAD, ids=range(len(BAD)))
def test_bad_facts_end_in_one_sentence(tmp_path, content):
    with pytest.raises(UserError, match=BAD[content]) as refused:
        read_facts(written(tmp_path / "facts", content))
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith(".")


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="no file or folder"):
        read_facts(tmp_path / "none")
    with pytest.raises(UserError, match="has no facts"):
        read_facts(tmp_path)
    with pytest.raises(UserError, match="There are no facts"):
        FactSet((), ())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is not a frame file"),
        ("a: [x]", "is not a frame file"),
        ("a: {function: x}", "is not a frame file"),
        ("a: {functional: ['{} is']}", "did you mean 'function'"),
        ("a: {function: ['is']}", "has 0 placeholders"),
        ("a: {function: ['{} {} is']}", "has 2 placeholders"),
        ("a: {content: ['of {}']}", "ends in its subject"),
        ("a: {", "is not valid YAML"),
    ],
)
def test_a_bad_frame_file_ends_in_one_sentence(tmp_path, content, sentence):
    with pytest.raises(UserError, match=sentence):
        read_frames(written(tmp_path / "frames.yaml", content))
