"""Figures of a run, live: a file of lines, and whatever tracker accelerate knows."""

import importlib.util
import json

import pytest
from notebook import Notebook

from functok.errors import UserError
from functok.models.training.metrics import JsonLines
from functok.models.training.trackers import tracking

STEPS = [{"step": step, "loss": 1 / step, "loss_ff": 0.5 / step} for step in (1, 2, 3)]


def test_a_tracker_sees_the_settings_and_every_step(tmp_path):
    notebook = Notebook()
    with tracking((notebook,), "a run", tmp_path, {"training": {"steps": 3}, "load": None}) as see:
        for figures in STEPS:
            see(figures)
    assert notebook.config == {"training.steps": 3, "load": "None"}
    assert notebook.seen == [(figures["step"], figures) for figures in STEPS]
    assert notebook.finished


def test_a_tracker_is_told_the_end_of_a_run_that_failed(tmp_path):
    notebook = Notebook()

    def diverge() -> None:
        with tracking((notebook,), "a run", tmp_path, {}) as see:
            see(STEPS[0])
            raise UserError("The run diverged.")

    with pytest.raises(UserError, match="diverged"):
        diverge()
    assert notebook.finished
    assert len(notebook.seen) == 1


def test_without_trackers_nothing_happens(tmp_path):
    with tracking((), "a run", tmp_path, {}) as see:
        see(STEPS[0])
    assert list(tmp_path.iterdir()) == []


def test_a_tracker_that_nobody_knows_is_refused_and_the_nearest_named(tmp_path):
    with (
        pytest.raises(UserError, match=r"There is no tracker 'tensorbord'.*tensorboard"),
        tracking(("tensorbord",), "a run", tmp_path, {}),
    ):
        pass


def test_tensorboard_writes_events_or_is_said_to_be_missing(tmp_path):
    if importlib.util.find_spec("tensorboard") or importlib.util.find_spec("tensorboardX"):
        with tracking(("tensorboard",), "run", tmp_path, {"steps": 3}) as see:
            see(STEPS[0])
        assert list(tmp_path.rglob("events.out.*"))
        return
    with (
        pytest.raises(UserError, match="not installed: pip install tensorboard"),
        tracking(("tensorboard",), "run", tmp_path, {}),
    ):
        pass


def test_a_run_that_continues_writes_its_lines_from_there_on_anew(tmp_path):
    path = tmp_path / "training.jsonl"
    lines = JsonLines(path)
    for figures in STEPS:
        lines(figures)
    with open(path, "a", encoding="utf-8") as torn:
        torn.write('{"step": 4, "lo')  # killed while it wrote
    again = JsonLines(path)
    again({"step": 2, "loss": 0.25})
    found = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert found == [STEPS[0], {"step": 2, "loss": 0.25}]
    again.close()
    assert not path.exists()
