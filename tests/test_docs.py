"""Every command that the README and the docs show is run, on the tiny study in the demo's place."""

import ast
import json
import re
import shlex
import shutil
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
import pytest
import torch
import yaml

from functok.encoding.tokenizer import train_tokenizer
from functok.models.dictionaries import Dictionary
from functok.models.training import LlamaShape, new_llama
from functok.retrieval.causal.facts.asking import ask
from functok.retrieval.causal.facts.reading import shipped_facts
from functok.runtime.versions import sha256
from functok.weights.cache import ORIGIN
from functok.weights.cache import place as cached
from functok.weights.known import KNOWN
from retrieval.taught import taught, vocabulary, write_facts_study
from system.tiny import functok, settings, write_corpus

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
RESULTS = ROOT / "docs/results"
SMALLER = [
    *("corpus=texts/some.jsonl", "graph.tokens=2000", "traits=[]", "steer.features=4"),
    "dictionaries={layer: 0, recipe: {width: 64, k: 4, steps: 20, batch: 64}, quality_tokens: 600}",
    "controls={only: [exposure, regression], baselines: []}",
]
"""Settings under which a study of a real model runs on a tiny one in seconds."""
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language on a page."""
    return [text for kind, text in _BLOCK.findall(page.read_text("utf-8")) if kind == language]


def commands(page: Path) -> list[str]:
    """The command lines on a page, without their comments."""
    lines = "".join(blocks(page, "sh")).splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip()]


def targets() -> set[str]:
    """What the Makefile makes."""
    return set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


@pytest.fixture
def workspace(
    tmp_path: Path, whole_run: Path, tiny_study: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder that holds what the pages speak of: a finished demo, a model, texts."""
    shutil.copytree(whole_run, tmp_path / "runs" / "demo")
    for name, step in (("step1", "step-000001"), ("step1000", "step-000024")):
        shutil.copytree(whole_run / "models" / step, tmp_path / "path/to/model" / name)
    shutil.copy(whole_run / "tokenizer/tokenizer.json", tmp_path / "path/to/model")
    shutil.copy(whole_run / "tokenizer/tokenizer_config.json", tmp_path / "path/to/model")
    shutil.copytree(whole_run / "dictionaries" / "main" / "step-000024", tmp_path / "path/to/sae")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(whole_run / "tokenizer" / name, tmp_path / "path/to/model/step1000")
    chat = shutil.copytree(tmp_path / "path/to/model/step1000", tmp_path / "path/to/chat-model")
    (chat / "chat_template.jinja").write_text(
        "{% for m in messages %}Q: {{ m.content }} A:{% endfor %}"
    )
    (tmp_path / "texts").mkdir()
    write_corpus(tmp_path / "texts" / "some.jsonl")
    rows = enumerate([("The", "DET"), ("lamp", "NOUN"), ("of", "ADP"), ("it", "PRON")], 1)
    lines = [f"{place}\t{form}\t_\t{tag}" + "\t_" * 6 for place, (form, tag) in rows]
    (tmp_path / "treebanks").mkdir()
    (tmp_path / "treebanks" / "small.conllu").write_text("\n".join(lines) + "\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_on_the_page_runs(
    page: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, text in enumerate(blocks(page, "yaml")):
        study = yaml.safe_load(text)
        name = re.match(r"# (\S+\.yaml)", text)
        assert name is not None, f"study {number} on {page.name} does not say its file's name"
        # the study as shown, on a corpus that is there and with an SAE that trains in a second
        study["corpus"] = "texts/some.jsonl"
        parts = study.setdefault("dictionaries", {})
        for small in parts if isinstance(parts, list) else [parts]:
            small["layer"] = 0
            recipe = {"width": 64, "k": 4, "steps": 20, "batch": 64}
            small["recipe"] = small.get("recipe", {}) | recipe
        if "arms" in study:  # with a model that trains in a second
            study["model"] = settings(workspace)["model"]
            study["arms"]["seeds"] = 2
        (workspace / name[1]).write_text(yaml.safe_dump(study), "utf-8")
    if page.stem == "causal":  # on a model that knows some facts
        (workspace / "known").mkdir()
        study = write_facts_study(workspace / "known")
        assert functok("facts", study, "-o", "runs/my-facts").code == 0
    if page.stem == "losses":  # two sizes, on the same text
        for size in ("small", "large"):
            shutil.copytree(workspace / "runs/demo", workspace / "runs" / size)
    if page.stem != "your-model":  # where its own study is shown
        shutil.copy(workspace / "runs/demo/study.yaml", workspace / "my-study.yaml")
    if page.parent == RESULTS:  # a tiny model in the place of those that the pages are about
        monkeypatch.setenv("FUNCTOK_CACHE", str(workspace / "cache"))
        shutil.rmtree(workspace / "runs/demo")
        (workspace / "docs/results").mkdir(parents=True)
        for weights in KNOWN.values():
            shutil.copytree(workspace / "path/to/model/step1000", cached(weights))
            files = {file.name: sha256(file) for file in cached(weights).iterdir()}
            origin = {"origin": "made for a test", "sha256": files}
            (cached(weights) / ORIGIN).write_text(json.dumps(origin))
    for command in commands(page):
        program, *arguments = shlex.split(command)
        if program == "make":
            assert set(arguments) <= targets(), command
        else:
            assert program == "functok", command
            if page.parent == RESULTS and arguments[0] == "run":
                arguments += chain(*(("--set", one) for one in SMALLER))
            outcome = functok(*arguments)
            assert outcome.code == 0, f"{command}\n{outcome.err}"


def test_the_code_on_the_steering_page_runs() -> None:
    """With what a notebook would have at hand: a model, a prompt, an SAE."""
    shape = LlamaShape(hidden_size=16, layers=3, heads=2, key_value_heads=2)
    model = new_llama(shape, 30, 40, 0).eval()
    random = torch.Generator().manual_seed(0)
    encoder = torch.randn(16, 12, generator=random)
    prompt = [0, 5, 9, 2]
    names = {
        "model": model,
        "prompt": prompt,
        "ids": torch.tensor([prompt]),
        "direction": 50 * torch.randn(16, generator=random),
        "dictionary": Dictionary(encoder, torch.zeros(12), encoder.T, torch.zeros(16), "standard"),
        "right": 3,
        "wrong": 4,
    }
    plain = model.generate(names["ids"], max_new_tokens=5, do_sample=False)
    for text in blocks(ROOT / "docs/steering.md", "python"):
        exec(text, names)
    assert names["steered"].tolist() != plain.tolist()
    assert names["log_probabilities"].shape == (5, 30)
    assert names["checked"]["exact"].abs().max() > 0


def test_the_code_for_a_notebook_runs(workspace: Path) -> None:
    model = workspace / "path/to/model"
    shutil.copytree(model / "step1000", model, dirs_exist_ok=True)
    names: dict[str, Any] = {}
    for page in (ROOT / "README.md", ROOT / "docs/notebook.md"):
        for text in blocks(page, "python"):
            exec(text, names)
    assert len(names["run"].claims) > 5
    assert (names["function"].classes == 0).sum() == len(names["function"].ids)
    assert names["sae"].dictionary.features == names["asked"].subject.dictionary.features


def test_the_notebook_runs(workspace: Path) -> None:
    """Cell by cell, as a notebook does: what a cell ends with is shown."""
    model = workspace / "path/to/model"
    shutil.copytree(model / "step1000", model, dirs_exist_ok=True)
    book = json.loads((ROOT / "docs/notebook.ipynb").read_text("utf-8"))
    names: dict[str, Any] = {}
    shown = []
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            *before, last = ast.parse("".join(cell["source"])).body
            assert isinstance(last, ast.Expr), "a cell ends with what it shows"
            exec(compile(ast.Module(before, []), "cell", "exec"), names)
            shown.append(eval(compile(ast.Expression(last.value), "cell", "eval"), names))
    charts = [one for one in shown if isinstance(one, alt.Chart)]
    assert [one.to_dict()["mark"]["type"] for one in charts] == ["rect", "bar"]
    frames = [one for one in shown if isinstance(one, pl.DataFrame)]
    assert all(len(frame) for frame in frames)
    assert {"feature", "random", "none"} == set(frames[2]["direction"])
    plain, own, ten = (
        part["log_probability"].to_list() for part in frames[3].partition_by("trial")
    )
    assert plain != own
    assert plain != ten


def test_the_code_on_the_facts_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a model that was taught some of the facts."""
    facts = shipped_facts()
    texts = [f" {fact.subject} {fact.answer}" for fact in facts.facts]
    tokenizer = train_tokenizer(texts + [f" {frame.text}" for frame in facts.frames] * 9, 1500)
    asked = ask(facts, tokenizer, vocabulary(tokenizer), 0).prompts
    past = asked.filter(relation="past")
    longest = pl.col("ids").list.len().max().over("fact")
    alike = past.filter(longest == past.select(longest).to_series().mode()[0])
    model = taught(tokenizer, alike.head(36))
    model.save_pretrained(tmp_path / "path/to/model")
    tokenizer.save_pretrained(str(tmp_path / "path/to/model"))
    page = (ROOT / "docs/facts.md").read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    frames = page.split("```\ncapital:")[1].split("```")[0]
    Path("my-frames.yaml").write_text(f"capital:{frames}", "utf-8")
    Path("my-plain-facts.tsv").write_text(
        "relation\tsubject\tanswer\ncapital\tPeru\tLima\n", "utf-8"
    )
    pair = "The capital of Peru is,The capital of Cuba is,Lima,Havana"
    header = "prompt,counterfactual,answer,counterfactual_answer"
    Path("my-facts.csv").write_text(f"{header}\n{pair}\n", "utf-8")
    names: dict[str, Any] = {}
    for text in blocks(ROOT / "docs/facts.md", "python"):
        exec(text, names)
    assert names["found"].prompts.height % 6 == 0
    assert names["asked"].prompts.height == 2
    assert names["facts"].frames[0].text == "The capital city of {} is"


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            if not link.startswith("https://"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_readme_tree_names_every_room() -> None:
    tree = (ROOT / "README.md").read_text("utf-8").split("src/functok/")[1].split("```")[0]
    rooms = {path.name for path in (ROOT / "src/functok").iterdir() if path.is_dir()}
    named = set(re.findall(r"── (\w+)", tree))
    assert rooms - {"__pycache__"} <= named
    assert all(
        (ROOT / "src/functok" / name).exists() or (ROOT / "src/functok" / f"{name}.py").exists()
        for name in named
    )


def test_pins_cover_every_direct_requirement() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    pinned = {
        line.split("==")[0].lower()
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    }
    names = {re.split(r"[<>=\[]", want)[0].lower() for want in wanted} - {"functok"}
    assert names <= pinned
