"""Work done in another thread, one piece at a time."""

import threading

import pytest

from functok.runtime.threads import BackgroundThread


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
