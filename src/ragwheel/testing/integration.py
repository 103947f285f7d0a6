"""The tests that every integration of a framework inherits.

::

    class TestMyFramework(ragwheel.testing.IntegrationContract):
        framework = "MyFramework"

        def instrument(self): my_integration.instrument()
        ...

The methods to write are those of :class:`ragwheel.testing.IntegrationHarness`. The tests run under pytest, on
real objects of the framework; a feature that it cannot have is listed under ``unsupported`` with the reason.
"""

from __future__ import annotations

import asyncio
import copy
import threading
import time
import unittest
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import ragwheel
from ragwheel.testing.harness import QUESTION, IntegrationHarness

__all__ = ["FEATURES", "IntegrationContract"]

FEATURES: Final[dict[str, str]] = {
    "search": "query, ranked chunks, ids, texts, scores, metadata; one record per search",
    "identical": "the app gets what it always got",
    "error": "a failed search is recorded, the app gets its own exception",
    "nesting": "a retriever inside another one is recorded under it, as `logged`",
    "reranker": "re-rankers, with the ranks before and after",
    "asynchronous": "async searches, also several at once",
    "threads": "searches in many threads, each in its own turn",
    "event_loops": "several event loops, one after the other and side by side",
    "turn": "a `ragwheel.turn` with session and user takes in the searches made in it",
    "engine": "what answers questions becomes a turn with answer, prompt and citations",
    "streaming": "a streamed answer, when it has been streamed",
    "overfetch": "over-fetch: forty recorded, the app gets its k",
    "twice": "`instrument()` twice records once",
    "uninstrument": "`uninstrument()`, also while a search is under way",
    "unconfigured": "nothing happens without `ragwheel.configure`",
    "traces": "the framework's own traces stay as they are",
    "overhead": "less than 3 ms of processor time per search",
}
"""What an integration must show: the name of the test without ``test_``, and its row in the table."""

MAX_OVERHEAD_S: Final = 0.003


class IntegrationContract(IntegrationHarness):
    """One test per feature. Subclass it as a pytest class whose name begins with ``Test``."""

    def setup_method(self, method: Callable[..., None] | None = None) -> None:
        """Skip what the framework cannot do, with the reason."""
        super().setup_method()
        feature = getattr(method, "__name__", "").removeprefix("test_")
        if feature in self.unsupported:
            self.teardown_method()
            raise unittest.SkipTest(f"{self.framework}: {self.unsupported[feature]}")

    def test_search(self) -> None:
        """One search makes one record with everything that the framework gives."""
        self.instrument()
        retriever = self.retriever(4)
        chunks = self._searched(retriever)
        [row] = self.retrievals()
        assert row["query"] == QUESTION
        assert (row["n_chunks"], row["n_returned"], row["error"]) == (4, 4, None)
        assert row["outer_id"] is None
        assert (row["turn_id"] is not None) == self.searches_are_turns
        assert row["source"], "the retrieval has no source"
        recorded = self.recorded(row["retrieval_id"])
        assert [chunk.text for chunk in recorded] == [chunk.text for chunk in chunks]
        if self.has_ids:
            assert [chunk.id for chunk in recorded] == [chunk.id for chunk in chunks]
        if self.has_scores:
            _assert_close([chunk.score for chunk in recorded], [chunk.score for chunk in chunks])
        if self.has_metadata:
            assert all(dict(chunk.metadata).items() <= dict(seen.metadata).items()
                       for chunk, seen in zip(chunks, recorded, strict=True))  # fmt: skip
        expected = ("overfetch",) if self.has_ids else ("overfetch", "no_id")
        flags = [flag for flag in _flags(row) if not flag.startswith(expected)]
        assert flags == [], f"the result was not read for sure: {flags}"

    def test_identical(self) -> None:
        """The results with and without the integration are equal."""
        plain = [self.read(chunk) for chunk in self.search(self.retriever(4), QUESTION)]
        self.instrument()
        assert self._searched(self.retriever(4)) == plain

    def test_error(self) -> None:
        """The app gets its own exception object; the retrieval has the type's name."""
        error = LookupError("the index is closed")
        self.instrument()
        raised = _raised(lambda: self.search(self.retriever(4, error=error), QUESTION))
        assert _root(raised, error) is error, f"the app got {raised!r}"
        [row] = self.retrievals()
        assert (row["query"], row["n_chunks"]) == (QUESTION, 0)
        assert row["error"] in {"LookupError", type(raised).__name__}
        assert len(self._searched(self.retriever(4))) == 4
        assert self.retrievals()[1]["outer_id"] is None

    def test_nesting(self) -> None:
        """The inner retrieval hangs under the outer one, and its chunks are no evidence."""
        self.instrument()
        self._searched(self.nested(self.retriever(4)))
        rows = self.retrievals()
        assert len(rows) == 2, f"recorded: {[row['retriever'] for row in rows]}"
        [outer] = [row for row in rows if row["outer_id"] is None]
        [inner] = [row for row in rows if row["outer_id"] is not None]
        assert inner["outer_id"] == outer["retrieval_id"]
        assert (outer["n_chunks"], inner["n_chunks"]) == (2, 4)
        exposures = self.rows("SELECT DISTINCT retrieval_id, exposure FROM impressions")
        assert {row["retrieval_id"]: row["exposure"] for row in exposures} == {
            outer["retrieval_id"]: "returned",
            inner["retrieval_id"]: "logged",
        }

    def test_reranker(self) -> None:
        """The re-ranking names the same source and the ranks that the chunks came in with."""
        self.instrument()
        search = self.reranked(self.retriever(4))
        with ragwheel.turn(QUESTION):
            chunks = [self.read(chunk) for chunk in search(QUESTION)]
        [rerank] = self.rows("SELECT * FROM retrievals WHERE kind = 'rerank'")
        [row] = self.retrievals()
        assert (rerank["query"], rerank["source"], rerank["turn_id"]) == (
            QUESTION,
            row["source"],
            row["turn_id"],
        )
        before = [chunk.text for chunk in self.recorded(row["retrieval_id"])]
        after = [chunk.text for chunk in self.recorded(rerank["retrieval_id"])]
        assert after == [chunk.text for chunk in chunks]
        assert after == before[::-1]

    def test_asynchronous(self) -> None:
        """Searches that run at once in one loop are recorded once each, in their own turns."""

        async def ask(number: int) -> None:
            async with ragwheel.turn(session_id=f"s{number}"):
                await self.asearch(retriever, f"{QUESTION} {number}")

        async def main() -> None:
            await asyncio.gather(*map(ask, range(5)))

        self.instrument()
        retriever = self.retriever(4)
        asyncio.run(main())
        rows = self.retrievals()
        assert sorted((row["query"], row["session_id"]) for row in rows) == [
            (f"{QUESTION} {n}", f"s{n}") for n in range(5)
        ]
        assert {(row["n_chunks"], row["outer_id"]) for row in rows} == {(4, None)}

    def test_threads(self) -> None:
        """Threads that search at the same time do not get into each other's turns."""
        retriever = self.retriever(4)
        ready = threading.Barrier(4)

        def ask(number: int) -> None:
            ready.wait(30)
            for step in range(3):
                with ragwheel.turn(session_id=f"s{number}"):
                    self.search(retriever, f"{QUESTION} {number}.{step}")

        self.instrument()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ask, range(4)))
        rows = self.retrievals()
        assert sorted((row["query"], row["session_id"]) for row in rows) == [
            (f"{QUESTION} {n}.{step}", f"s{n}") for n in range(4) for step in range(3)
        ]
        assert {row["outer_id"] for row in rows} == {None}

    def test_event_loops(self) -> None:
        """Loops may come and go, and run in several threads at once."""

        def in_a_loop(number: int) -> None:
            asyncio.run(_consumed(self.asearch(self.retriever(4), f"{QUESTION} {number}")))

        self.instrument()
        in_a_loop(0)
        in_a_loop(1)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(in_a_loop, (2, 3)))
        queries = sorted(row["query"] for row in self.retrievals())
        assert queries == [f"{QUESTION} {n}" for n in range(4)]

    def test_turn(self) -> None:
        """The app's own turn takes the retrieval in; an answer's ``[n]`` finds its chunk."""
        self.instrument()
        retriever = self.retriever(4)
        with ragwheel.turn(session_id="s1", user_id="u1") as turn:
            chunks = self._searched(retriever)
            turn.answer("As page so and so says [2].")
        [row] = self.retrievals()
        assert (row["session_id"], row["user_id"]) == ("s1", "u1")
        [stored] = self.rows("SELECT * FROM turns")
        assert (stored["turn_id"], stored["session_id"]) == (row["turn_id"], "s1")
        [citation] = self.rows("SELECT * FROM citations")
        assert (citation["retrieval_id"], citation["rank"]) == (row["retrieval_id"], 2)
        if self.has_ids:
            assert citation["chunk_id"] == chunks[1].id

    def test_engine(self) -> None:
        """Outside of the app's turns the engine's call is a turn of its own; inside it answers the app's."""
        self.instrument()
        ask = self.engine(self.retriever(4), "As page so and so says [2].")
        assert "[2]" in ask(QUESTION)
        with ragwheel.turn(session_id="s1", user_id="u1"):
            ask(QUESTION)
        turns = self.rows("SELECT * FROM turns ORDER BY start_ns")
        assert [turn["session_id"] for turn in turns] == [None, "s1"]
        for turn in turns:
            assert (turn["query"], turn["error"]) == (QUESTION, None)
            assert "[2]" in turn["answer"]
        rows = self.retrievals()
        assert [row["turn_id"] for row in rows] == [turn["turn_id"] for turn in turns]
        self._assert_citations_and_prompts(rows)

    def test_streaming(self) -> None:
        """The answer is in the turn once the app has read its stream, which gives the same pieces."""
        self.instrument()
        ask = self.streaming_engine(self.retriever(4), "As page so and so says [2].")
        pieces = list(ask(QUESTION))
        assert len(pieces) > 1, "the harness's engine does not stream"
        [turn] = self.rows("SELECT * FROM turns")
        assert (turn["query"], turn["answer"].strip()) == (QUESTION, "".join(pieces).strip())
        rows = self.retrievals()
        assert [row["turn_id"] for row in rows] == [turn["turn_id"]]
        self._assert_citations_and_prompts(rows)
        self._searched(self.retriever(4))
        later = self.retrievals()[-1]["turn_id"]
        assert later != turn["turn_id"], "the streamed turn took in a later search"
        assert (later is not None) == self.searches_are_turns

    def test_overfetch(self) -> None:
        """More is recorded than the app gets; what it gets is what its own search gives."""
        plain = [self.read(chunk) for chunk in self.search(self.retriever(4), QUESTION)]
        retriever = self.overfetching(self.retriever(4), 8)
        results = [self._searched(retriever) for _ in range(5)]  # the first ones are checked
        self.instrument()
        results.append(self._searched(retriever))
        assert results == [plain] * 6
        rows = self.retrievals()
        assert [(row["n_chunks"], row["n_returned"], row["outer_id"]) for row in rows] == [(8, 4, None)] * 6
        assert [_flags(row) for row in rows] == [[]] * 6

    def test_twice(self) -> None:
        """Instrumenting again changes nothing, and one ``uninstrument()`` undoes it all."""
        self.uninstrument()
        self.instrument()
        self.instrument()
        self._searched(self.retriever(4))
        assert len(self.retrievals()) == 1
        self.uninstrument()
        self.uninstrument()
        self._searched(self.retriever(4))
        assert len(self.retrievals()) == 1
        self.instrument()
        self._searched(self.retriever(4))
        assert len(self.retrievals()) == 2

    def test_uninstrument(self) -> None:
        """What was under way is recorded to its end, and nothing after it."""
        retriever = self.retriever(4, during=self.uninstrument)
        self.instrument()
        self._searched(retriever)
        self._searched(retriever)
        [row] = self.retrievals()
        assert (row["n_chunks"], row["error"]) == (4, None)

    def test_unconfigured(self) -> None:
        """An app that does not configure ragwheel gets its chunks, and nothing is written."""
        ragwheel.shutdown()
        self.instrument()
        assert len(self._searched(self.retriever(4))) == 4

    def test_traces(self) -> None:
        """The app's tracing sees the same with and without the integration, also of a wrapped retriever."""
        plain = self._traced(self.retriever(4))
        assert plain, "the harness's traced() saw nothing"
        self.instrument()
        assert self._traced(self.retriever(4)) == plain
        assert len(self.retrievals()) == 1
        if "overfetch" not in self.unsupported and self.wrapped_is_traced:
            wrapped = self.overfetching(self.retriever(4), 8)
            for _ in range(3):  # they are checked: the search is made twice
                self._searched(wrapped)
            assert self._traced(wrapped) == plain, "of a wrapped retriever"
            assert len(self.retrievals()) == 5

    def test_overhead(self) -> None:
        """The processor time of a search, measured side by side in this thread."""
        retriever = self.retriever(4)
        plain, instrumented = [], []
        for _ in range(40):
            plain.append(_thread_time(lambda: self.search(retriever, QUESTION)))
            self.instrument()
            instrumented.append(_thread_time(lambda: self.search(retriever, QUESTION)))
            self.uninstrument()
        added_s = sorted(instrumented)[20] - sorted(plain)[20]
        assert added_s < MAX_OVERHEAD_S, f"{added_s * 1000:.2f} ms are added to a search"

    def _traced(self, retriever: Any) -> list[Any]:
        with self.traced() as events:
            self._searched(retriever)
        return copy.copy(events)

    def _searched(self, retriever: Any) -> list[Any]:
        return [self.read(chunk) for chunk in self.search(retriever, QUESTION)]

    def _assert_citations_and_prompts(self, rows: list[dict[str, Any]]) -> None:
        """Each retrieval's second chunk is cited, and all that it returned were in the prompt."""
        citations = self.rows("SELECT * FROM citations")
        assert sorted((c["retrieval_id"], c["rank"]) for c in citations) == sorted(
            (row["retrieval_id"], 2) for row in rows
        )
        prompted = self.rows(
            "SELECT retrieval_id, count(*) AS n FROM impressions WHERE exposure = 'prompted' GROUP BY 1"
        )
        assert {row["retrieval_id"]: row["n"] for row in prompted} == {
            row["retrieval_id"]: row["n_returned"] for row in rows
        }


def _flags(row: dict[str, Any]) -> list[str]:
    import json

    flags: list[str] = json.loads(row["flags"]) if row["flags"] else []
    return flags


def _raised(call: Callable[[], object]) -> BaseException:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - whatever the framework makes of it
        return error
    raise AssertionError("the search did not raise")


def _root(error: BaseException, wanted: BaseException) -> BaseException:
    """Return ``wanted`` if it is the error or its cause: some frameworks wrap what a retriever raises."""
    cause: BaseException | None = error
    while cause is not None:
        if cause is wanted:
            return cause
        cause = cause.__cause__
    return error


def _assert_close(recorded: list[float | None], own: list[float | None]) -> None:
    assert len(recorded) == len(own)
    for left, right in zip(recorded, own, strict=True):
        assert left is not None
        assert right is not None
        assert abs(left - right) < 1e-6, f"recorded scores {recorded}, the framework's {own}"


def _thread_time(call: Callable[[], object]) -> float:
    started = time.thread_time()
    call()
    return time.thread_time() - started


async def _consumed(work: Coroutine[Any, Any, Any]) -> Any:
    return await work
