"""Bad input ends in one sentence and exit code 2; good input prints results; imports stay light."""

import gzip
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
import zstandard

from functok.claims.declared import CLAIMS
from system.tiny import (
    different,
    functok,
    results,
    settings,
    unfinished,
    write_corpus,
    write_study,
)

REPOSITORY = Path(__file__).parent.parent


def a_study(place: Path, **changes: Any) -> Path:
    """The tiny study over a small corpus of its own, with changes."""
    corpus = changes.pop("corpus", None) or write_corpus(place / "corpus.jsonl", 60)
    return write_study(place / "study.yaml", settings(Path(corpus), **changes))


def in_process_of_its_own(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command line as a user starts it."""
    command = [sys.executable, "-c", "from functok.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


# The command itself


def test_a_refusal_is_one_sentence_on_standard_error_and_exit_code_2(tmp_path: Path) -> None:
    said = in_process_of_its_own("run", tmp_path / "missing.yaml")
    assert said.returncode == 2
    assert said.stdout == ""
    assert said.stderr == (
        f"functok: There is no run folder and no study file at {tmp_path}/missing.yaml; "
        "check the path.\n"
    )


def test_help_names_every_command() -> None:
    said = functok("--help")
    assert said.code == 0
    for command in ("run", "demo", "tokens", "pretrain", "graph", "claims", "trace", "steer"):
        assert re.search(rf"^\s*{command}\b", said.out, re.MULTILINE), command


HEAVY = ("numpy", "torch", "transformers", "polars", "altair", "sae_lens", "datasets", "pandas")


@pytest.mark.parametrize(
    ("script", "allowed"),
    [
        ("import functok", ()),
        ("import functok; dir(functok); functok.__version__", ()),
        ("import functok.cli, sys; sys.argv = ['functok', '--help']\n"
         "try: functok.cli.main()\nexcept SystemExit as end: assert end.code == 0", ()),
        ("import functok.cli, sys; sys.argv = ['functok', 'run', '--help']\n"
         "try: functok.cli.main()\nexcept SystemExit as end: assert end.code == 0", ()),
        ("import functok.corpus", ("numpy",)),
        ("from functok import open_corpus, UserError", ("numpy",)),
    ],
)  # fmt: skip
def test_nothing_heavy_is_imported_before_it_is_used(script: str, allowed: tuple) -> None:
    ask = (
        f"\nimport sys; print(*(name for name in {HEAVY} if name in sys.modules), file=sys.stderr)"
    )
    said = subprocess.run(
        [sys.executable, "-c", script + ask], capture_output=True, text=True, check=True
    )
    assert said.stderr.split() == list(allowed)


def test_the_public_names_are_those_that_are_listed_and_each_can_be_had() -> None:
    import functok as package

    assert set(package.__all__) | {"__version__"} == set(dir(package))
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
    with pytest.raises(AttributeError, match="No functok attribute unheard_of"):
        package.unheard_of  # noqa: B018


# Study files


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"corups": "x"}, "unknown key 'corups'; did you mean 'corpus'?"),
        (
            {"model": {"training": {"stepz": 3}}},
            "unknown key 'model.training.stepz'; did you mean 'steps'?",
        ),
        (
            {"model": {"shape": {"hidden": 32}}},
            "unknown key 'model.shape.hidden'; did you mean 'hidden_size'?",
        ),
        (
            {"dictionaries": {"recipe": {"widht": 3}}},
            "unknown key 'dictionaries.recipe.widht'; did you mean 'width'?",
        ),
        ({"steer": {"strenght": 3}}, "unknown key 'steer.strenght'; did you mean 'strength'?"),
        ({"seed": "many"}, "seed: "),
        ({"seed": -1}, "seed: "),
        ({"held_out": 1.5}, "held_out: "),
        ({"name": "a/b"}, "name: "),
        ({"tokens": {"boundary": "above"}}, "tokens.boundary: "),
        ({"tokens": 4}, "tokens: "),
        ({"trace": {"prompts": "not a list"}}, "trace.prompts: "),
        ({"model": {"training": {"steps": "few"}}}, "model.training.steps: "),
        ({"model": {"training": {"steps": 0}}}, "steps 0 must lie between 1 and "),
        ({"model": {"shape": {"heads": 3}}}, "hidden_size 32 must be an even multiple"),
        ({"dictionaries": {"recipe": {"k": 65}}}, "k 65 must not exceed width 64."),
        ({"dictionaries": {"layer": 2}}, "the model has layers 0 to 1"),
        ({"dictionaries": {"checkpoints": [99]}}, "lie beyond the last step, 24"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_a_study_that_no_study_can_be_is_refused_by_its_key(
    changes: dict, sentence: str, tmp_path: Path
) -> None:
    study = a_study(tmp_path, **changes)
    complaint = functok("run", study, "-o", tmp_path / "run").complaint
    assert complaint.startswith(f"functok: Study file {study}: ")
    assert sentence in complaint
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"name: [unclosed", "is not valid YAML: "),
        (b"name: \xff\xfe", "is damaged"),
        (b"", "has no keys; it needs at least name: NAME."),
        (b"- a list", "has no keys; it needs at least name: NAME."),
        (b"seed: 3\n", "the key 'name' is missing."),
        (b"? [1, 2]\n: x\n", "is not valid YAML: "),
        (b"name: x\n3: y\n", "3: Keys should be strings."),
    ],
)
def test_a_file_that_is_no_study_is_refused(content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes(content)
    assert sentence in functok("run", tmp_path / "study.yaml").complaint


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    assert "There is no run in" in functok("graph", tmp_path).complaint
    assert list(tmp_path.iterdir()) == []


# Corpora


def zst(texts: list[str]) -> bytes:
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    return zstandard.ZstdCompressor().compress(lines.encode())


TORN_GZIP = gzip.compress(b'{"text": "a"}\n' * 99, mtime=0)[:-9]
STORIES = zst([f"Story {number} of {number * 7919 % 1000} words." for number in range(400)])


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("corpus.jsonl.zst", b"(\xb5/\xfd" + b"garbage" * 20, "is damaged or cut short"),
        ("corpus.jsonl.zst", b"no zstandard at all", "is damaged or cut short"),
        ("corpus.jsonl.zst", STORIES[: len(STORIES) // 2], "is damaged or cut short"),
        ("corpus.jsonl.zst", STORIES[:-1], "is damaged or cut short"),
        (
            "corpus.jsonl.gz",
            TORN_GZIP,
            "is damaged or cut short",
        ),
        ("corpus.parquet", b"PAR1 but not really", "is damaged or cut short"),
        ("corpus.jsonl", b"", "contains no text; give one that does."),
        ("corpus.jsonl", b'{"text": "  "}\n\n', "contains no text; give one that does."),
        ("corpus.jsonl", b'{"text": "a"}\n{"text": "b\n', "line 2: this is not JSON"),
        ("corpus.jsonl", b'{"body": "a"}\n', "there is no text in field 'text'"),
        ("corpus.txt", b"caf\xe9", "is not UTF-8 (byte 3)"),
        ("corpus.jsonl", b'{"text": "the only one"}\n', "is too small"),
    ],
)
def test_a_corpus_that_cannot_be_read_to_its_end_is_refused(
    name: str, content: bytes, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    study = a_study(tmp_path, corpus=tmp_path / name)
    assert sentence in functok("run", study, "-o", tmp_path / "run").complaint
    assert not (tmp_path / "run" / "tokens").exists()
    assert unfinished(tmp_path / "run") == []


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("missing.jsonl", "names no file"),
        ("missing/*.jsonl", "names no file"),
        ("study.yaml", "is of an unknown kind"),
        ("study.yaml?fild=x", "has an unknown option 'fild'"),
        ("python-docs?field=x", "has an unknown option 'field'"),
    ],
)
def test_a_corpus_that_is_not_there_is_refused_before_a_folder_is_made(
    spec: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = a_study(tmp_path, corpus=spec)
    assert sentence in functok("run", study).complaint
    assert not (tmp_path / "runs").exists()


# Places to write to


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    study = a_study(tmp_path)
    for place in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/run")):
        complaint = functok("run", study, "-o", place).complaint
        assert complaint.startswith(f"functok: Cannot write into the run folder {place}: ")
    assert (tmp_path / "file").read_text() == ""


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    (tmp_path / "mine" / "models").mkdir(parents=True)
    complaint = functok("run", study, "-o", tmp_path / "mine").complaint
    assert "is not empty and contains no run" in complaint
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["models"]


@pytest.mark.parametrize("limit", [3_000, 20_000, 200_000], ids=["tokenizer", "documents", "state"])
def test_a_full_disk_ends_in_one_sentence_and_the_run_continues_when_there_is_room(
    limit: int, tmp_path: Path, tiny_study: Path, whole_run: Path
) -> None:
    """No file may grow beyond ``limit`` bytes: the system refuses the write, as a full disk."""
    folder = tmp_path / "run"
    said = in_process_of_its_own(
        *("pretrain", tiny_study, "-o", folder),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert said.returncode == 2, said.stderr
    last = said.stderr.splitlines()[-1]
    assert last.startswith("functok: Cannot write "), last
    assert "run the same command again (finished work is kept)." in last
    assert "Traceback" not in said.stderr
    assert unfinished(folder) == []
    outcome = functok("pretrain", tiny_study, "-o", folder)
    assert outcome.code == 0, outcome.err
    assert [name for name in different(folder, whole_run) if (folder / name).exists()] == []


# Models and tokenizers


def test_a_model_folder_without_weights_is_refused_before_the_corpus_is_encoded(
    tmp_path: Path, whole_run: Path
) -> None:
    model = shutil.copytree(whole_run / "models" / "step-000024", tmp_path / "model")
    (model / "model.safetensors").unlink()
    study = a_study(
        tmp_path,
        model={"load": str(model)},
        tokenizer={"load": str(model)},
        dictionaries={"checkpoints": []},
    )
    complaint = functok("run", study, "-o", tmp_path / "run").complaint
    assert (
        f"Model folder {model} cannot be used: config.json or the weights are missing" in complaint
    )
    assert not (tmp_path / "run").exists()
    shutil.copy(whole_run / "models" / "step-000024" / "model.safetensors", model)
    outcome = functok("losses", study, "-o", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "Checking the model" in outcome.err


def test_weights_that_are_cut_short_are_refused(tmp_path: Path, whole_run: Path) -> None:
    model = shutil.copytree(whole_run / "models" / "step-000024", tmp_path / "model")
    os.truncate(model / "model.safetensors", 5_000)
    study = a_study(tmp_path, model={"load": str(model)}, tokenizer={"load": str(model)})
    assert str(model) in functok("pretrain", study, "-o", tmp_path / "run").complaint


@pytest.mark.parametrize("vocabulary", [290, 310], ids=["smaller", "larger"])
def test_a_tokenizer_that_is_not_the_models_own_is_refused(
    vocabulary: int, tmp_path: Path, whole_run: Path
) -> None:
    model = str(whole_run / "models" / "step-000024")
    study = a_study(
        tmp_path,
        model={"load": model},
        tokenizer={"vocabulary_size": vocabulary},
        dictionaries={"checkpoints": []},
    )
    complaint = functok("run", study, "-o", tmp_path / "run").complaint
    assert complaint.startswith("functok: The tokenizer ")
    assert model in complaint


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ({"load": "nowhere/no-such-model"}, "Model 'nowhere/no-such-model' cannot be loaded"),
        ({"revisions": ["main"]}, "The revision 'main' does not contain its step"),
        ({"revisions": ["step7"]}, "has no checkpoint 'step7'"),
        ({"revisions": ["step-000024", "step24"]}, "has no checkpoint 'step24'"),
    ],
)
def test_a_model_or_revision_that_does_not_exist_is_refused(
    model: dict, sentence: str, tmp_path: Path, whole_run: Path
) -> None:
    models = shutil.copytree(whole_run / "models", tmp_path / "models")
    (models / "main").mkdir()
    study = a_study(
        tmp_path,
        model={"load": str(models), **model},
        tokenizer={"load": str(models / "step-000024")},
        dictionaries={"checkpoints": []},
    )
    assert sentence in functok("run", study, "-o", tmp_path / "run").complaint


def test_a_layer_that_a_loaded_model_does_not_have_is_refused(
    tmp_path: Path, whole_run: Path
) -> None:
    model = str(whole_run / "models" / "step-000024")
    study = a_study(
        tmp_path,
        model={"load": model},
        tokenizer={"load": model},
        dictionaries={"layer": 7, "checkpoints": []},
    )
    complaint = functok("run", study, "-o", tmp_path / "run").complaint
    assert "There is no layer 7: the model has layers 0 to 1." in complaint


def test_a_checkpoint_that_a_loaded_model_does_not_have_is_refused(
    tmp_path: Path, whole_run: Path
) -> None:
    model = str(whole_run / "models" / "step-000024")
    study = a_study(tmp_path, model={"load": model}, tokenizer={"load": model})
    complaint = functok("run", study, "-o", tmp_path / "run").complaint
    assert "names the steps [0, 24], but model step-000024 has only one; omit" in complaint


def test_a_tokenizer_that_is_not_there_is_refused(tmp_path: Path) -> None:
    study = a_study(tmp_path, tokenizer={"load": str(tmp_path / "nowhere")})
    assert "cannot be loaded" in functok("tokens", study, "-o", tmp_path / "run").complaint


def test_without_saelens_the_way_to_install_it_is_named_and_finished_work_is_kept(
    run_copy: Path, whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = yaml.safe_load((whole_run / "study.yaml").read_text())
    content["dictionaries"][0]["recipe"]["steps"] = 21
    study = write_study(tmp_path / "study.yaml", content)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "sae_lens", None)
        complaint = functok("run", study, "-o", run_copy, "--replace").complaint
    assert "pip install 'functok[sae]'" in complaint
    assert unfinished(run_copy) == []
    assert "consolidation/losses.parquet" not in different(run_copy, whole_run)
    outcome = functok("dictionaries", study, "-o", run_copy)
    assert outcome.code == 0, outcome.err
    assert "Pre-training the model" not in outcome.err


def test_a_loaded_model_is_checked_and_not_pre_trained(tmp_path: Path, whole_run: Path) -> None:
    model = str(whole_run / "models" / "step-000024")
    study = a_study(
        tmp_path,
        model={"load": model},
        tokenizer={"load": model},
        dictionaries={"checkpoints": []},
    )
    for _ in range(2):
        outcome = functok("pretrain", study, "-o", tmp_path / "run")
        assert outcome.code == 0, outcome.err
        assert "The model loads and accepts" in outcome.out
        assert model in outcome.out.replace("\n", "")
    assert "Pre-training" not in outcome.err


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": {"context": 65}}, "A context of 65 exceeds the maximum of model"),
        ({"dictionaries": {"layer": 7}}, "There is no layer 7"),
        ({"dictionaries": {"load": "nowhere"}}, "There is no SAE 'nowhere'"),
        ({"tokenizer": {"load": "nowhere"}}, "Tokenizer 'nowhere' cannot be loaded"),
    ],
)
def test_what_a_loaded_model_cannot_be_is_said_before_the_corpus_is_encoded(
    changes: dict, sentence: str, tmp_path: Path, whole_run: Path
) -> None:
    model = str(whole_run / "models" / "step-000024")
    changes = {
        "model": {"load": model},
        "tokenizer": {"load": model},
        "dictionaries": {"checkpoints": []},
    } | {part: {**{"load": model}, **more} if part == "model" else more
         for part, more in changes.items()}  # fmt: skip
    study = a_study(tmp_path, **changes)
    if "dictionaries" in changes:
        content = yaml.safe_load(study.read_text())
        content["dictionaries"]["checkpoints"] = []
        write_study(study, content)
    assert sentence in functok("graph", study, "-o", tmp_path / "run").complaint
    assert not (tmp_path / "run").exists()


def test_the_version_is_told() -> None:
    assert functok("--version").out == "functok 0.1.0\n"


def test_a_finished_run_prints_its_claims_without_loading_torch(whole_run: Path) -> None:
    script = (
        "import sys; sys.argv[0] = 'functok'\nfrom functok.cli import main\nmain()\n"
        "heavy = {'torch', 'transformers', 'sae_lens', 'altair'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    command = [sys.executable, "-c", script, "claims", str(whole_run)]
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert "A few function tokens reach most" in said.stdout


# A finished run


def test_a_run_folder_takes_no_other_output_folder(run_copy: Path, tmp_path: Path) -> None:
    complaint = functok("run", run_copy, "-o", tmp_path / "other").complaint
    assert complaint.endswith("is a run folder already; omit -o.")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("tokens", "tokens/function_tokens.parquet"),
        ("pretrain", "consolidation/training.parquet"),
        ("losses", "consolidation/loss_summary.parquet"),
        ("dictionaries", "consolidation/dictionaries.parquet"),
        ("graph", "graph/main/step-000024"),
        ("coverage", "graph/main/step-000024/coverage.parquet"),
        ("claims", "claims.parquet"),
        ("report", "report.html"),
    ],
)
def test_every_command_says_where_its_result_lies(
    command: str, path: str, whole_run: Path, run_copy: Path
) -> None:
    said = functok(command, run_copy)
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1].endswith(str(run_copy / path))
    assert (run_copy / path).exists()


def test_the_findings_name_every_claim_with_its_verdict(run_copy: Path) -> None:
    said = functok("run", run_copy)
    assert said.code == 0, said.err
    rows = pl.read_parquet(run_copy / "claims.parquet").unique("claim")
    assert {*rows["claim"]} == {claim.name for claim in CLAIMS}
    words = {*re.findall(r"[\w→]+", said.out)}
    for statement, sentence in rows.select("statement", "sentence").iter_rows():
        assert {*re.findall(r"[\w→]+", f"{statement} {sentence}")} <= words
    assert "Explanation of the degree: undecided. No account is decided." in said.out
    assert "E-loss: is its loss higher above a floor, too? " in said.out
    assert re.search("Not run: .*P8", said.out)
    assert "Kneser–Ney bigram on the same tokens" in said.out


def test_more_tokens_than_the_model_can_read_are_refused(whole_run: Path) -> None:
    outcome = functok("steer", whole_run, "--prompt", "Ada saw the", "--feature", 1, "--tokens", 99)
    assert "99 more are to be generated" in outcome.complaint


def test_a_changed_corpus_is_refused_and_a_missing_one_is_not_needed(
    whole_run: Path, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl")
    study = write_study(tmp_path / "study.yaml", settings(corpus))
    assert functok("tokens", study, "-o", tmp_path / "run").code == 0
    before = results(tmp_path / "run")
    corpus.write_text(json.dumps({"text": "Another text altogether, and the rest of it."}) + "\n")
    assert "has changed since" in functok("tokens", study, "-o", tmp_path / "run").complaint
    corpus.unlink()
    assert functok("tokens", tmp_path / "run").code == 0
    assert results(tmp_path / "run").keys() == before.keys()


def test_results_can_be_read_by_others(whole_run: Path) -> None:
    for path in whole_run.rglob("*"):
        if path.is_file() and path.name != "lock":
            assert path.stat().st_mode & 0o044 == 0o044, path
