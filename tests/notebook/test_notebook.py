"""A run and a model with an SAE, as a notebook has them."""

import os
import shutil
from pathlib import Path

import polars as pl
import pytest
import torch

import functok
from functok.runtime.store import DamagedError, RunFolder


@pytest.fixture(scope="module")
def run(whole_run: Path) -> functok.Run:
    return functok.Run(whole_run)


@pytest.fixture(scope="module")
def asked(run: functok.Run) -> functok.Asked:
    return run.open()


def test_every_table_of_a_run_is_a_frame(run: functok.Run, whole_run: Path) -> None:
    assert run.claims.equals(pl.read_parquet(whole_run / "claims.parquet"))
    judged = RunFolder(whole_run).judged
    assert judged is not None
    coverage = pl.read_parquet(judged / "coverage.parquet")
    assert run.table("graph/coverage").equals(coverage)
    assert {"graph/coverage", "graph/controls/ran", "tokens/counts", "claims"} <= {*run.tables}
    for name in run.tables:
        assert len(run.table(name).columns) > 0, name
    with pytest.raises(functok.UserError, match="graph/coverage"):
        run.table("graph/coverge")
    assert run.graph.positions > 0


def test_every_figure_of_a_run_is_a_chart(run: functok.Run, whole_run: Path) -> None:
    names = {path.stem for path in (whole_run / "figures").glob("*.svg")}
    assert len(names) > 20
    for name in sorted(names):
        assert "$schema" in run.figure(name).to_dict(), name
    with pytest.raises(functok.UserError, match="token-degree"):
        run.figure("token-degre")


def test_a_damaged_table_is_refused(whole_run: Path, tmp_path: Path) -> None:
    shutil.copytree(whole_run, tmp_path / "run", copy_function=os.link)
    file = tmp_path / "run/tokens/counts.parquet"
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[:-40] + bytes(40))
    with pytest.raises(DamagedError, match="has other content"):
        functok.Run(tmp_path / "run").table("tokens/counts")


def test_no_run_no_graph(tmp_path: Path) -> None:
    with pytest.raises(functok.UserError, match="There is no run"):
        functok.Run(tmp_path)


def test_a_trace_and_a_steered_prompt_are_frames(asked: functok.Asked) -> None:
    trace = asked.trace("The old apple is in the garden")
    assert {"position", "token", "feature", "activation"} <= {*trace.columns}
    feature = int(trace["feature"][0])
    answers = asked.steer("The old apple is in the", feature, tokens=2)
    assert set(answers["direction"]) == {"feature", "random", "none"}
    two = asked.steer(["The apple is in the"], {feature: 2.0, feature + 1: None}, tokens=2)
    assert two.filter(direction="feature")["condition"].unique().to_list() == [
        f"{feature} + {feature + 1}"
    ]


def test_a_sweep_lists_the_likeliest_next_tokens(asked: functok.Asked) -> None:
    found = asked.sweep(["The old apple is in the"], [functok.Trial(0)], top=3)
    assert found["rank"].to_list() == [1, 2, 3]
    ids = torch.tensor([asked.subject.prompt_ids("The old apple is in the")])
    logits = asked.subject.model(ids).logits[0, -1].log_softmax(-1)
    expected = logits.topk(3)
    assert found["token_id"].to_list() == expected.indices.tolist()
    assert found["log_probability"].to_list() == pytest.approx(expected.values.tolist(), abs=1e-5)


def test_features_are_told_by_their_directions(asked: functok.Asked) -> None:
    dictionary, model = asked.subject.dictionary, asked.subject.model
    found = asked.features([5, 7], top=4)
    assert found["feature"].to_list() == [5, 7]
    assert found["density"].null_count() == 0
    direction = dictionary.W_dec[7].float()
    best = int((model.get_output_embeddings().weight @ direction).argmax())
    assert found["promotes"][1][0] == asked.subject.vocabulary.shown[best]
    cosines = torch.cosine_similarity(dictionary.W_dec.float(), direction[None])
    cosines[7] = -2
    assert found["neighbours"][1][0] == int(cosines.argmax())
    assert found["cosine"][1][0] == pytest.approx(float(cosines.max()), abs=1e-6)
    with pytest.raises(functok.UserError, match="There is no feature"):
        asked.features([dictionary.features])


def test_a_model_is_opened_by_its_name(whole_run: Path, asked: functok.Asked) -> None:
    folder = RunFolder(whole_run)
    known = asked.subject
    step = max(int(path.name.removeprefix("step-")) for path in folder.models.glob("step-*"))
    named = functok.open(
        folder.model(step),
        sae=folder.dictionary("main", step),
        tokenizer=str(folder.tokenizer),
        row_start=known.start.token,
        function_tokens=whole_run,
    )
    prompt = "The old apple is in the garden"
    columns = ["position", "token", "feature", "activation"]
    traced = known.vocabulary.classes, named.subject.vocabulary.classes
    assert (traced[0] == traced[1]).all()
    assert named.trace(prompt).select(columns).equals(asked.trace(prompt).select(columns))
    unknown = named.features([3])
    assert unknown["density"].null_count() == 1


def test_function_tokens_of_a_run_have_their_classes(whole_run: Path) -> None:
    found = functok.FunctionTokens.load(whole_run)
    table = pl.read_parquet(whole_run / "tokens/function_tokens.parquet")
    assert found.ids.tolist() == table["token_id"].to_list()
    assert (found.classes[found.ids] == 0).all()
    assert (found.classes == 0).sum() == len(found.ids)
    assert found.reached == pytest.approx(table["cumulative"][-1])
    with pytest.raises(functok.UserError, match="contains no function tokens"):
        functok.FunctionTokens.load(whole_run / "figures")
