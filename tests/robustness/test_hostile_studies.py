"""Studies that no run can use are refused with the key and its range, before anything starts."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from functok.runtime.errors import UserError
from functok.runtime.memory import available, check_memory
from functok.runtime.paths import user_path
from functok.runtime.progress import Silent
from functok.runtime.store import RunFolder, write_json, write_text
from functok.study.opening import open_run
from functok.study.resources import Resources
from functok.study.run import Run
from functok.study.settings import Study, dump_study, load_study
from functok.study.steps.steer import STEER

HUGE = 10**20


def study_of(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    study: Any = value
    for key in reversed(path):
        study = {key: study}
    return {"name": "x", **study}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("name",), "."),
        (("name",), ".."),
        (("name",), "a/b"),
        (("name",), "-x"),
        (("name",), "x" * 300),
        (("seed",), 2**63),
        (("seed",), 10**30),
        (("seed",), -1),
        (("seed",), float("nan")),
        (("held_out",), float("nan")),
        (("steer", "strength"), float("inf")),
        (("tokenizer", "vocabulary_size"), HUGE),
        (("model", "shape", "hidden_size"), 0),
        (("model", "shape", "heads"), 0),
        (("model", "shape", "key_value_heads"), -1),
        (("model", "shape", "intermediate_size"), -1),
        (("model", "shape", "layers"), HUGE),
        (("model", "shape", "norm_epsilon"), float("nan")),
        (("model", "training", "batch"), HUGE),
        (("model", "training", "learning_rate"), float("inf")),
        (("model", "training", "steps"), HUGE),
        (("dictionaries", "recipe", "width"), HUGE),
        (("dictionaries", "recipe", "learning_rate"), float("nan")),
        (("controls", "exposure"), HUGE),
        (("graph", "tokens"), HUGE),
        (("trace", "prompts"), []),
    ],
)
def test_a_number_or_name_that_no_run_can_use_is_refused(
    tmp_path: Path, path: tuple[str, ...], value: Any
) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study_of(path, value)))
    with pytest.raises(UserError) as refusal:
        load_study(tmp_path / "study.yaml")
    assert path[-1] in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["/dev/zero", "pipe"])
def test_a_study_that_is_no_file_is_not_read(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="not a file that can be read"):
        load_study(tmp_path / name)


@pytest.mark.parametrize("name", ["a" * 5000, "a" * 300, "~nosuchuser/x", "a\0b"])
def test_a_path_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="not a usable path"):
        user_path(name)


def test_what_does_not_fit_into_memory_is_refused() -> None:
    check_memory(available() // 2, "A model")
    with pytest.raises(UserError, match="A model needs at least"):
        check_memory(1 << 60, "A model")


def test_a_file_that_a_study_names_is_run_only_where_the_user_named_it(tmp_path: Path) -> None:
    judge = tmp_path / "judge.py"
    judge.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef f(answer): return True\n")
    condition = {"name": "c", "features": {1: 1.0}, "success": f"python:{judge}:f"}
    grid = {"prompts": ["Ada"], "conditions": [condition]}
    study = Study.model_validate({"name": "x", "steer": {"grid": grid}})
    run = Run(study, RunFolder(tmp_path / "run"))
    with pytest.raises(UserError, match=f"--allow-python {judge}"):
        STEER.check(run)
    assert not (tmp_path / "ran").exists()
    STEER.check(Run(study, run.folder, resources=Resources(python=(str(judge),))))
    assert (tmp_path / "ran").exists()


def test_a_run_opened_by_its_folder_has_the_input_that_it_read(tmp_path: Path) -> None:
    corpus = tmp_path / "c.jsonl"
    corpus.write_text('{"text": "the cat"}\n')
    study = Study.model_validate({"name": "x", "corpus": str(corpus)})
    run = Run(study, RunFolder(tmp_path / "run"))
    read = run.corpus_fingerprint
    write_text(run.folder.study, dump_study(study))
    write_json(run.folder.inputs, {"corpus": read, "treebanks": []})
    os.utime(corpus, (1, 1))
    again = open_run(tmp_path / "run", Silent())
    assert again.corpus_fingerprint == read, "a finished run shows its tables"
    with pytest.raises(UserError, match="has changed since"):
        again.corpus  # noqa: B018 (but nothing is made of another text)
    corpus.unlink()
    assert open_run(tmp_path / "run", Silent()).corpus_fingerprint == read
    assert Run(study, RunFolder(tmp_path / "other")).study.corpus == str(corpus)
