"""What the host raises while our code runs (soft time limits, alarms) reaches the host."""

from __future__ import annotations

import contextlib
import functools
import signal
import sys
import threading
from pathlib import Path

import pytest

import ragwheel
from ragwheel.guard import guard, is_interrupt

PACKAGE = str(Path(ragwheel.__file__).parent)


class Limit(Exception):
    """A soft time limit, as task queues have one."""


class Expired(OSError):
    """Another, of a kind that ragwheel has its own use for."""


def strike(*_):
    raise Limit


def expire(number, frame):
    raise Expired("time is up")


class Handler:
    def method(self, number, frame):
        raise Limit

    def __call__(self, number, frame):
        raise Limit


def once(number, frame):
    signal.signal(number, signal.SIG_DFL)
    raise Limit


@pytest.fixture
def handled():
    """Installs a handler for the length of a test."""
    before = signal.getsignal(signal.SIGUSR1)
    yield functools.partial(signal.signal, signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


@pytest.fixture
def lenient(monkeypatch):
    """As in production: what is ours is swallowed, not raised."""
    monkeypatch.setattr(guard, "strict", False)


def after_calls(count):
    """A trace function that sends a signal as the count-th function of ragwheel begins.

    There the interpreter looks for signals. It does not at every line: not between the body of a ``with``
    and the release of its lock. What is raised while Python closes a generator nobody can get.
    """
    left = [count]

    def trace(frame, event, arg):
        if frame.f_code.co_filename.startswith(PACKAGE) and frame.f_code.co_name != "<genexpr>":
            left[0] -= 1
            if left[0] == 0:
                sys.settrace(None)
                signal.raise_signal(signal.SIGUSR1)

    return trace, left


@contextlib.contextmanager
def traced(trace):
    """Trace this thread; afterwards again with what traced it before, such as coverage."""
    before = sys.gettrace()
    try:
        sys.settrace(trace)
        yield
    finally:
        sys.settrace(before)


def use(search, flush):
    with ragwheel.turn("q", user_id="u") as turn:
        chunks = search("q")
        turn.prompted(chunks)
        turn.answer("It is so [1].")
    ragwheel.signal(turn.handle, "click", chunk="c1")
    if flush:
        ragwheel.flush(20)


@pytest.mark.parametrize(
    ("handler", "error", "flush", "growth"), [(strike, Limit, True, 20), (expire, Expired, False, 10_000)]
)
def test_wherever_it_strikes(store, handled, lenient, handler, error, flush, growth):
    """Without a flush in every call; with one in calls that are further apart the later they are."""

    @ragwheel.retriever(source="kb")
    def search(query):
        return [{"id": f"c{n}", "text": f"text {n}"} for n in range(3)]

    use(search, flush)  # what is loaded and opened once
    handled(handler)
    struck, n, rounds = 0, 1, 0
    while True:
        trace, left = after_calls(n)
        try:
            with traced(trace):
                use(search, flush)
        except error:
            struck += 1
        if left[0] > 0:
            break  # the scenario is over before call n
        assert struck, f"swallowed in call {n}"
        struck = 0
        assert ragwheel.current_turn() is None
        search(f"after {n}")
        n += 1 + n // growth + 2 * flush
        rounds += 1
    assert rounds > 30
    rows = store.rows("SELECT query, turn_id, outer_id FROM retrievals WHERE query LIKE 'after %'")
    assert len(rows) == rounds
    assert {(row["turn_id"], row["outer_id"]) for row in rows} == {(None, None)}


@pytest.mark.parametrize(
    "handler",
    [strike, Handler().method, Handler(), functools.partial(strike), once, lambda *numbers: strike()],
    ids=["function", "method", "object", "partial", "uninstalls itself", "lambda"],
)
def test_while_our_code_reads_an_object_of_the_app(store, handled, lenient, handler):
    class Row:
        @property
        def text(self):
            signal.raise_signal(signal.SIGUSR1)
            return "t"

    handled(handler)
    with pytest.raises(Limit):
        ragwheel.retriever(adapter=lambda row: {"text": row.text})(lambda query: [Row()])("q")


def test_what_the_app_s_own_object_raises_is_still_swallowed(store, handled):
    class Row:
        @property
        def text(self):
            raise Limit

    handled(strike)
    ragwheel.retriever(adapter=lambda row: {"text": row.text})(lambda query: [Row()])("q")
    assert store.retrieval()["flags"]


def test_while_more_is_asked_for_than_the_app_wants(store, handled):
    """A larger search that the time limit ends is not made again."""
    calls = []

    @ragwheel.retriever(k="k", check_overfetch=0)
    def search(query, k=2):
        calls.append(k)
        signal.raise_signal(signal.SIGUSR1)
        return ["a"] * k

    handled(strike)
    with pytest.raises(Limit):
        search("q")
    assert calls == [40]


def test_while_the_new_one_of_two_retrievers_runs(store, handled):
    def new(query):
        signal.raise_signal(signal.SIGUSR1)

    handled(strike)
    with pytest.raises(Limit):
        ragwheel.interleave(lambda query: ["a"], new)("q")


def test_in_the_redact_hook(tmp_path, handled):
    def redact(text):
        signal.raise_signal(signal.SIGUSR1)
        return text

    ragwheel.configure(tmp_path / "t.db", redact=redact)
    handled(strike)
    with pytest.raises(Limit):
        ragwheel.retriever(lambda query: ["a"])("q")


def test_raised_by_another_thread(lenient):
    """As `PyThreadState_SetAsyncExc` does: no frame of the host's is in the traceback."""
    code = compile("def ours(error):\n    raise error\n", "ours", "exec")
    namespace = {"__name__": "ragwheel.capture.ours"}
    exec(code, namespace)
    with pytest.raises(Limit), guard("anything"):
        namespace["ours"](Limit)
    with guard("anything"):
        namespace["ours"](ValueError)


def test_flush_within_flush(store, handled, lenient):
    """A handler that flushes and exits, as for SIGTERM, does not wait for the flush that it interrupts."""
    answers = []
    handled(lambda *_: answers.append(ragwheel.flush(20)))
    search = ragwheel.retriever(lambda query: ["a"])
    search("q")
    trace, left = after_calls(20)
    with traced(trace):
        answers.append(ragwheel.flush(20))
    assert left[0] <= 0
    assert answers == [False, True]
    thread = threading.Thread(target=lambda: answers.append(ragwheel.flush(20)))
    thread.start()
    thread.join()
    assert answers[-1] is True


def test_no_exception_is_an_interrupt_because_of_its_looks():
    def called(frame):
        raise ValueError("x")

    with pytest.raises(ValueError, match="x") as caught:
        called("a frame")
    assert not is_interrupt(caught.value)
    assert is_interrupt(KeyboardInterrupt())
