"""How many threads, and work done in another thread, one piece at a time."""

import os
import sys
import threading

import pytest

from functok.runtime.threads import BackgroundThread, leave_room


@pytest.mark.parametrize(("running", "free"), [(1, 3), (2, 3), (3, 2), (60, 1)])
def test_torch_leaves_the_cores_that_others_use(running, free, tmp_path, monkeypatch):
    """A process that may use three of four cores; it runs itself."""
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    (tmp_path / "loadavg").write_text(f"9.00 9.00 9.00 {running}/180 4242\n")
    assert leave_room(tmp_path / "loadavg") is None, "the user has chosen"
    monkeypatch.delenv("OMP_NUM_THREADS")
    said = leave_room(tmp_path / "loadavg")
    if free == 3:
        assert (said, os.environ.get("OMP_NUM_THREADS")) == (None, None)
    else:
        assert said is not None
        assert f"with {free} of 3 threads" in said
        assert os.environ["OMP_NUM_THREADS"] == str(free)


def test_the_owner_goes_on_while_one_piece_is_done_and_waits_with_the_next():
    may_end, done = threading.Event(), []

    def work(name: str) -> None:
        assert may_end.wait(10)
        done.append((name, threading.current_thread()))

    with BackgroundThread() as behind:
        behind.do(work, "first")
        assert done == []
        may_end.set()
        behind.do(work, "second")
        assert [name for name, _ in done][:1] == ["first"]
    assert [name for name, _ in done] == ["first", "second"]
    assert {thread for _, thread in done} != {threading.current_thread()}


def test_what_went_wrong_is_raised_once_where_the_owner_next_waits():
    with BackgroundThread() as behind:
        behind.do(int, "not a number")
        with pytest.raises(ValueError, match="not a number"):
            behind.do(list)
        behind.wait()
    with pytest.raises(ValueError, match="nor this"), BackgroundThread() as behind:
        behind.do(int, "nor this")


def test_an_error_of_the_owner_is_not_hidden_by_one_behind_its_back():
    def fails_while_another_fails() -> None:
        with BackgroundThread() as behind:
            behind.do(int, "not a number")
            raise KeyError

    with pytest.raises(KeyError):
        fails_while_another_fails()
