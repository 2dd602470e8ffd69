"""How many threads, and work done in another thread, one piece at a time."""

import os
import threading

import pytest

from functok.runtime.threads import BackgroundThread, torch_threads


def test_the_number_of_threads_is_said_and_never_follows_the_load(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert torch_threads().startswith("torch uses 3 threads")
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert torch_threads().startswith("torch uses 8 threads")


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
