"""The systems whose cost is measured in one process, and the stages of ragwheel's call.

Every system wraps the same retriever, which notes how much time it used itself: what remains of a call is
what the system added to it. A stage is measured where it runs, by putting a timer in the place of the
function that does it; a timer adds half a microsecond to the stage that it is in.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from capture.peers.byhand import HandBatch, SpanOnly
from capture.peers.ours import Ragwheel
from capture.workload import Workload, make_retriever

__all__ = ["STAGES", "SYSTEMS", "Retriever", "Systems", "timed_stages"]

STAGES = {
    "starting the call": "ragwheel.capture.call:Spec.begin",
    "reading columns": "ragwheel.capture.recorder:read_result",
    "known texts and numbers": "ragwheel.journal.writer:_number",
    "encoding": "ragwheel.journal.writer:_encode",
    "frame and write": "ragwheel.journal.writer:SegmentWriter.append",
    "is the file still there": "ragwheel.journal.writer:SegmentWriter.moved",
    "remembering": "ragwheel.journal.recent:RecentRecords.retrieved",
}
"""What each stage is called, and the function that does it."""

SYSTEMS = {
    "nothing": "the retriever alone: what the clocks cost, subtracted from all others",
    "span": "an OpenTelemetry SDK span with ten attributes, no document, no processor",
    "ragwheel": "@ragwheel.retriever",
    "ragwheel, k named": "@ragwheel.retriever(k=...), where the app asks for as many chunks as are recorded",
    "ragwheel, repeated": "@ragwheel.retriever, one chunk twice in each result",
    "by hand": "span with the documents as one JSON attribute, BatchSpanProcessor, sqlite-utils",
}
Call = Callable[[str], list[Any]]


class Retriever:
    """The plain retriever of the workload; ``own_ns`` is the thread CPU time of its latest call."""

    def __init__(self, workload: str, kind: str, *, repeat: bool = False) -> None:
        self._search = make_retriever(Workload(workload), kind)
        self._repeat = repeat
        self.own_ns = 0

    def __call__(self, query: str) -> list[Any]:
        before = time.thread_time_ns()
        result = self._search(query)
        if self._repeat:
            result[-1] = self._search(query)[0]
        self.own_ns = time.thread_time_ns() - before
        return result


class Systems:
    """The systems around retrievers of one kind, each set up once in ``folder``."""

    def __init__(self, folder: Path, workload: str, kind: str) -> None:
        plain, repeated = Retriever(workload, kind), Retriever(workload, kind, repeat=True)
        k = Workload(workload).shape.k
        self._peers = {
            "span": SpanOnly(folder, 0),
            "ragwheel": Ragwheel(folder, 0),
            "by hand": HandBatch(folder, 0),
        }
        self.calls: dict[str, tuple[Call, Retriever]] = {"nothing": (plain, plain)}
        for name, peer in self._peers.items():
            peer.setup()
            self.calls[name] = (peer.wrap(plain), plain)
        import ragwheel

        ragwheel.configure(db=folder / "ragwheel.db", capture_k=k)

        @ragwheel.retriever(name="bench", source="kb", k="k")
        def with_k(query: str, k: int = k) -> list[Any]:
            return plain(query)[:k]

        self.calls["ragwheel, k named"] = (with_k, plain)
        self.calls["ragwheel, repeated"] = (self._peers["ragwheel"].wrap(repeated), repeated)

    def close(self) -> None:
        """Flush and end all of them."""
        for peer in self._peers.values():
            peer.flush()
            peer.close()


def _timed(function: Callable[..., Any], took_ns: list[int]) -> Callable[..., Any]:
    clock = time.thread_time_ns

    @functools.wraps(function)
    def timed(*args: Any) -> Any:
        before = clock()
        result = function(*args)
        took_ns.append(clock() - before)
        return result

    return timed


def _owner(place: str) -> tuple[Any, str]:
    module, _, path = place.partition(":")
    *outer, name = path.split(".")
    return functools.reduce(getattr, outer, import_module(module)), name


@contextmanager
def timed_stages() -> Iterator[dict[str, list[int]]]:
    """Put timers around the stages while the block runs; what each took in each call, in nanoseconds."""
    took: dict[str, list[int]] = {stage: [] for stage in STAGES}
    before = [(*_owner(place), stage) for stage, place in STAGES.items()]
    originals = [getattr(owner, name) for owner, name, _ in before]
    try:
        for (owner, name, stage), function in zip(before, originals, strict=True):
            setattr(owner, name, _timed(function, took[stage]))
        yield took
    finally:
        for (owner, name, _), function in zip(before, originals, strict=True):
            setattr(owner, name, function)
