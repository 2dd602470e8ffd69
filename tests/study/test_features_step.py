"""The faces of the features that a run's results name, against the run's own graph and weights."""

from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from functok.figures.catalogue import figures
from functok.graph.bipartite import TokenFeatureGraph
from functok.graph.faces import contexts, labels
from functok.runtime.store import RunFolder


@pytest.fixture(scope="module")
def folder(whole_run: Path) -> RunFolder:
    return RunFolder(whole_run)


def test_every_feature_that_a_figure_names_has_a_face(folder: RunFolder) -> None:
    faces = pl.read_parquet(folder.retrieval("features"))
    named = {
        feature
        for figure in figures(folder, 4, ["trace", "trace-difference", "steering-gain"])
        for feature in figure.table["feature"].drop_nulls()
    }
    assert set(faces["feature"]) == named
    assert faces["feature"].is_sorted()
    assert dict(faces.select("feature", "label").iter_rows()) == labels(folder.judged, named)


def test_a_face_counts_as_the_graph_does(folder: RunFolder) -> None:
    assert folder.judged is not None
    graph = TokenFeatureGraph.load(folder.judged)
    active = graph.activity.sum(0)
    for row in pl.read_parquet(folder.retrieval("features")).iter_rows(named=True):
        assert row["active"] == active[row["feature"]]
        assert row["positions"] == graph.positions
        assert len(row["tokens"]) == len(row["shares"]) <= 10
        assert (row["maximum"] > 0) == (row["active"] > 0) == bool(row["tokens"])


def test_the_neighbours_are_those_with_the_largest_cosines(folder: RunFolder) -> None:
    weights = load_file(folder.dictionary("main", 24) / "sae_weights.safetensors")
    rows = torch.nn.functional.normalize(weights["W_dec"].double(), dim=1)
    faces = pl.read_parquet(folder.retrieval("features"))
    for row in faces.iter_rows(named=True):
        cosine = rows @ rows[row["feature"]]
        cosine[row["feature"]] = -1
        best = cosine.topk(10).values.tolist()
        assert row["cosines"] == pytest.approx(best, abs=1e-5)
        told = [int(label.split(" · ")[0]) for label in row["neighbours"]]
        assert cosine[told].tolist() == pytest.approx(best, abs=1e-5)
        assert len({*row["promotes"]}) == len({*row["suppresses"]}) == 10
        assert not {*row["promotes"]} & {*row["suppresses"]}


def test_texts_are_kept_as_text(folder: RunFolder) -> None:
    assert folder.judged is not None
    texts = pl.read_parquet(folder.retrieval("feature_contexts"))
    shown = dict(pl.read_parquet(folder.tokens("counts")).select("token_id", "token").iter_rows())
    for (feature,), part in texts.group_by("feature"):
        expected = contexts(folder.judged, int(str(feature)))
        assert part["value"].to_list() == pytest.approx(expected["value"].to_list())
        for row, known in zip(
            part.iter_rows(named=True), expected.iter_rows(named=True), strict=True
        ):
            assert len(row["tokens"]) == len(row["activations"]) == len(known["token_ids"])
            for token, number in zip(row["tokens"], known["token_ids"], strict=True):
                assert token == shown.get(number, token)
            assert max(filter(None, row["activations"])) == pytest.approx(row["value"])
