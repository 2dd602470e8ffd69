"""Figures of a run, live: a file of lines, and whatever tracker accelerate knows."""

import importlib.util
import json

import numpy as np
import pytest
from fake_tracker import Notebook

from functok.cli.console import ConsoleProgress
from functok.models.losses.groups import GroupSums, group_names
from functok.models.training.metrics import JsonLines, StepRow, figures, note
from functok.models.training.trackers import tracking
from functok.runtime.errors import UserError

STEPS = [{"step": step, "loss": 1 / step, "loss_ff": 0.5 / step} for step in (1, 2, 3)]


def test_a_tracker_sees_the_settings_and_every_step(tmp_path):
    notebook = Notebook()
    with tracking((notebook,), "a run", tmp_path, {"training": {"steps": 3}, "load": None}) as see:
        for step in STEPS:
            see(step)
    assert notebook.config == {"training.steps": 3, "load": "None"}
    assert notebook.seen == [(step["step"], step) for step in STEPS]
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
    for step in STEPS:
        lines(step)
    with open(path, "a", encoding="utf-8") as torn:
        torn.write('{"step": 4, "lo')  # killed while it wrote
    again = JsonLines(path)
    again({"step": 2, "loss": 0.25})
    found = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert found == [STEPS[0], {"step": 2, "loss": 0.25}]
    again.close()
    assert not path.exists()


def test_a_step_in_one_line_tells_the_loss_by_group_and_the_speed():
    losses = GroupSums(np.array([4.0, 3.0, 0.0, 1.0, 0.0]), np.array([2, 1, 0, 1, 0]))
    line = note(StepRow(7, 1e-3, 1.0, losses), group_names(2), 1234.4)
    assert line == "loss 2.00 (ff 2.00, fc 3.00, cc 1.00), 1,234 tokens/s"  # nothing was cf


def test_a_step_as_figures_has_no_mean_of_nothing():
    losses = GroupSums(np.array([4.0, 3.0, 0.0, 1.0, 0.0]), np.array([2, 1, 0, 1, 0]))
    shown = figures(StepRow(7, 1e-3, 1.0, losses), group_names(2), 1234.4)
    assert {"loss_ff": 2.0, "loss_fc": 3.0, "loss_cc": 1.0}.items() <= shown.items()
    assert "loss_cf" not in shown
    assert (shown["step"], shown["loss"]) == (7, 2.0)


def test_lines_about_a_long_task_tell_the_time_left_and_the_newest_figure(capsys, monkeypatch):
    clock = iter([0.0, 70.0, 80.0])  # begun, one step done, closed
    monkeypatch.setattr("functok.cli.console.time.monotonic", lambda: next(clock))
    with ConsoleProgress().task("Pre-training", 4, "steps") as task:
        task.advance(1, "loss 2.00 (ff 2.00), 1,234 tokens/s")
    assert capsys.readouterr().err.splitlines()[0] == (
        "  Pre-training: 1/4 steps, about 210 s left, loss 2.00 (ff 2.00), 1,234 tokens/s"
    )
