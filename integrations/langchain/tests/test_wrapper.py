"""The app gets its k chunks from its own run; the store gets what the larger search found."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from pydantic import PrivateAttr

import ragwheel
from ragwheel_langchain import OverfetchRetriever, instrument, wrap_retriever
from ragwheel_langchain.runs import OPEN

QUERY = "which page?"
WITH_AND_WITHOUT = pytest.mark.parametrize("instrumented", [False, True])


def refusals(rows: Any) -> list[str | None]:
    return [r["flags"] for r in rows("SELECT flags FROM retrievals ORDER BY start_ns")]


@WITH_AND_WITHOUT
def test_forty_are_recorded_and_k_returned(instrumented: bool, vector_store: Any, rows: Any) -> None:
    retriever = vector_store.as_retriever(search_kwargs={"k": 3})
    longer = [d.id for d in vector_store.similarity_search(QUERY, k=40)]
    expected = retriever.invoke(QUERY)
    if instrumented:
        instrument()
    wrapped = wrap_retriever(retriever, source="kb", name="dense", version="2024")
    assert wrapped.invoke(QUERY) == expected
    [row] = rows("SELECT * FROM retrievals")
    assert {k: row[k] for k in ("query", "source", "retriever", "version")} == {
        "query": QUERY,
        "source": "kb",
        "retriever": "dense",
        "version": "2024",
    }
    assert (row["top_k"], row["n_chunks"], row["n_returned"], row["flags"]) == (3, 40, 3, None)
    seen = rows("SELECT chunk_id, exposure FROM impressions ORDER BY rank")
    assert [r["chunk_id"] for r in seen] == longer
    assert [r["exposure"] for r in seen] == ["returned"] * 3 + ["logged"] * 37
    assert len(OPEN) == 0


@WITH_AND_WITHOUT
def test_every_way_to_call_is_recorded_once(instrumented: bool, shelf: Any, rows: Any) -> None:
    if instrumented:
        instrument()
    wrapped = wrap_retriever(shelf)
    expected = wrapped.invoke("q0")
    same = [
        asyncio.run(wrapped.ainvoke("q0")),
        wrapped.batch(["q0"])[0],
        asyncio.run(wrapped.abatch(["q0"]))[0],
        next(iter(wrapped.stream("q0"))),
        (wrapped | RunnableLambda(lambda docs: docs)).invoke("q0"),
        wrapped.with_config(tags=["t"]).invoke("q0"),
        wrapped.bind().invoke("q0"),
    ]
    assert all(a is b for found in same for a, b in zip(found, expected, strict=True))
    counts = rows("SELECT query, n_chunks, n_returned, source FROM retrievals")
    assert len(counts) == len(same) + 1
    assert {tuple(r.values()) for r in counts} == {("q0", 40, 4, "Shelf")}


def test_options_of_the_call_reach_the_store(vector_store: Any, rows: Any) -> None:
    wrapped = wrap_retriever(vector_store.as_retriever())
    found = wrapped.invoke(QUERY, k=2, filter=lambda d: d.metadata["part"] == 1)
    assert [d.metadata["part"] for d in found] == [1, 1]
    assert len(wrapped.bind(k=7).invoke(QUERY)) == 7
    assert len(asyncio.run(wrapped.ainvoke(QUERY, k=50))) == 50
    found = rows("SELECT top_k, n_chunks, n_returned, flags FROM retrievals ORDER BY start_ns")
    assert [tuple(r.values()) for r in found] == [(2, 20, 2, None), (7, 40, 7, None), (50, 40, 50, None)]


class KnowsMore(BaseRetriever):
    """k as an option of the call, as some clients have it."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any, top_k: int = 2) -> list[Document]:
        return [Document(id=str(i), page_content=f"{query} {i}") for i in range(top_k)]


def test_k_as_an_option_of_the_search(rows: Any) -> None:
    wrapped = wrap_retriever(KnowsMore())
    assert len(wrapped.invoke(QUERY)) == 2
    assert len(wrapped.invoke(QUERY, top_k=5)) == 5
    found = rows("SELECT top_k, n_chunks, n_returned FROM retrievals ORDER BY start_ns")
    assert [tuple(r.values()) for r in found] == [(2, 40, 2), (5, 40, 5)]


@pytest.mark.parametrize(
    ("search_type", "search_kwargs", "reason"),
    [
        ("mmr", {"k": 3}, "search_type=mmr"),
        ("similarity_score_threshold", {"score_threshold": 0.1, "k": 3}, "search_type="),
        ("similarity", {"k": 3, "score_threshold": 0.5}, "score_threshold is set"),
        ("similarity", {"k": 3, "fetch_k": 20}, "fetch_k is set"),
        ("similarity", {"k": "3"}, "k is of type str"),
    ],
)  # fmt: skip
@WITH_AND_WITHOUT
def test_what_cannot_be_overfetched_is_recorded_as_it_is(
    instrumented: bool, search_type: str, search_kwargs: Any, reason: str, vector_store: Any, rows: Any
) -> None:
    if search_kwargs["k"] == "3":
        vector_store = StringK(vector_store)
    retriever = vector_store.as_retriever(search_type=search_type, search_kwargs=search_kwargs)
    expected = retriever.invoke(QUERY)
    if instrumented:
        instrument()
    assert wrap_retriever(retriever).invoke(QUERY) == expected
    [row] = rows("SELECT n_chunks, n_returned, flags FROM retrievals")
    assert row["n_chunks"] == row["n_returned"] == len(expected)
    assert "overfetch_refused" in row["flags"]
    assert reason in row["flags"]


def StringK(store: Any) -> Any:  # noqa: N802 - a class made for one store
    class TakesText(type(store)):  # type: ignore[misc]
        def similarity_search(self, query: str, k: Any = 4, **kwargs: Any) -> Any:
            return super().similarity_search(query, k=int(k), **kwargs)

    made = TakesText(store.embedding)
    made.store = store.store
    return made


class NoK(BaseRetriever):
    docs: list[Document]

    def _get_relevant_documents(self, query: str) -> list[Document]:  # type: ignore[override]
        return self.docs


def test_combining_and_unknown_retrievers_are_refused(shelf: Any, vector_store: Any, rows: Any) -> None:
    classic = pytest.importorskip("langchain_classic.retrievers")
    ensemble = classic.EnsembleRetriever(retrievers=[shelf, vector_store.as_retriever()])
    merger = classic.MergerRetriever(retrievers=[shelf, shelf])

    class Reverser(BaseRetriever):
        base: Any
        k: int = 3

        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            documents: list[Document] = self.base.invoke(query, {"callbacks": run_manager.get_child()})
            return documents[::-1][: self.k]

    class MyStoreRetriever(type(vector_store.as_retriever())):  # type: ignore[misc]
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            documents: list[Document] = self.vectorstore.max_marginal_relevance_search(query, k=4)
            return documents

    class Chooser(BaseRetriever):
        parts: dict[str, Any]
        k: int = 3

        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            documents: list[Document] = self.parts["a"].invoke(query, {"callbacks": run_manager.get_child()})
            return documents[: self.k]

    class HybridStore(type(vector_store)):  # type: ignore[misc]
        pass

    hybrid = HybridStore(vector_store.embedding)
    hybrid.store = vector_store.store
    retrievers = [
        ensemble,
        merger,
        Reverser(base=shelf),
        Chooser(parts={"a": shelf}),
        hybrid.as_retriever(),
        NoK(docs=shelf.docs[:5]),
        MyStoreRetriever(vectorstore=vector_store),
    ]
    for retriever in retrievers:
        assert wrap_retriever(retriever).invoke(QUERY) == retriever.invoke(QUERY)
    reasons = refusals(rows)
    assert len(reasons) == len(retrievers)
    assert all("overfetch_refused" in (r or "") for r in reasons)


def test_two_places_for_k_are_one_too_many(pages: Any, rows: Any) -> None:
    class BothWays(BaseRetriever):
        docs: list[Document]
        k: int = 3

        def _get_relevant_documents(self, query: str, *, run_manager: Any, **kwargs: Any) -> list[Document]:
            return self.docs[: kwargs.get("k", self.k)]

    wrapped = wrap_retriever(BothWays(docs=pages(60)))
    assert len(wrapped.invoke(QUERY, k=2)) == 2
    assert len(wrapped.invoke(QUERY)) == 3
    flags = refusals(rows)
    assert "both a field and an option" in (flags[0] or "")
    assert flags[1] is None


def test_a_wrapped_ensemble_keeps_its_configuration_for_its_members(
    shelf: Any, rows: Any, watcher: Any
) -> None:
    ensemble = pytest.importorskip("langchain_classic.retrievers").EnsembleRetriever(retrievers=[shelf])
    seen = []
    for retriever in (ensemble, wrap_retriever(ensemble)):
        watching = watcher()
        retriever.invoke(QUERY, {"callbacks": [watching], "metadata": {"tenant": 7}, "tags": ["x"]})
        seen.append(watching.events)
    assert seen[0] == seen[1]


def test_wrapped_retrievers_nest_with_and_without_instrument(shelf: Any, rows: Any) -> None:
    class Unwired(BaseRetriever):
        """Calls another retriever without handing its callbacks on."""

        inner: Any

        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            documents: list[Document] = self.inner.invoke(query)
            return documents

    outer = wrap_retriever(Unwired(inner=wrap_retriever(shelf)))
    outer.invoke("without")
    instrument()
    outer.invoke("with")
    for query in ("without", "with"):
        found = rows(f"SELECT * FROM retrievals WHERE query = '{query}'")
        by_name = {r["retriever"]: r for r in found}
        assert len(found) == 2
        assert by_name["Shelf"]["outer_id"] == by_name["Unwired"]["retrieval_id"]
        assert by_name["Shelf"]["n_chunks"] == 40


def test_the_apps_retriever_is_not_changed_and_its_own_changes_are_honoured(shelf: Any, rows: Any) -> None:
    wrapped = wrap_retriever(shelf, check_overfetch=0)
    assert len(wrapped.invoke(QUERY)) == 4
    assert shelf.k == 4
    assert shelf.searches == 1  # what a search counts on itself, it finds again
    shelf.k = 9
    shelf.docs = shelf.docs[:20]
    assert len(wrapped.invoke(QUERY)) == 9
    assert shelf.searches == 2
    assert shelf.asked == [40, 40]
    found = rows("SELECT n_chunks, n_returned FROM retrievals ORDER BY start_ns")
    assert [tuple(r.values()) for r in found] == [(40, 4), (20, 9)]


def test_concurrent_calls_do_not_see_each_others_k(pages: Any, rows: Any) -> None:
    both_inside = threading.Barrier(2, timeout=30)

    class Meeting(BaseRetriever):
        docs: list[Document]
        k: int = 4
        _seen: list[int] = PrivateAttr(default_factory=list)

        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            both_inside.wait()
            self._seen.append(self.k)
            return self.docs[: self.k]

    retriever = Meeting(docs=pages(60))
    wrapped = wrap_retriever(retriever, check_overfetch=0)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda r: r.invoke(QUERY), [retriever, wrapped])
    assert one == other
    assert sorted(retriever._seen) == [4, 40]


class Limited(BaseRetriever):
    """A backend that refuses more than it holds."""

    k: int = 4
    limit: int = 10
    error: Any = None
    asked: Any = None

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        self.asked.append(self.k)
        if self.k > self.limit:
            raise self.error
        return [Document(id=str(i), page_content=str(i)) for i in range(self.k)]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_larger_search_that_fails_is_made_again_as_the_app_asked_for_it(is_async: bool, rows: Any) -> None:
    retriever = Limited(error=ValueError("k is too large"), asked=[])
    wrapped = wrap_retriever(retriever, check_overfetch=0)
    for _ in range(5):
        found = asyncio.run(wrapped.ainvoke(QUERY)) if is_async else wrapped.invoke(QUERY)
        assert [d.id for d in found] == ["0", "1", "2", "3"]
    assert retriever.asked == [40, 4, 40, 4, 40, 4, 4, 4]  # three times in a row is enough
    assert [(r or "").split(":")[0] for r in refusals(rows)] == ['["overfetch_failed'] * 3 + [
        '["overfetch_refused'
    ] * 2
    assert {r["n_chunks"] for r in rows("SELECT n_chunks FROM retrievals")} == {4}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("error", "asked"), [(ValueError("no index"), [40, 4]), (ConnectionError("down"), [40])]
)
def test_the_apps_error_is_the_apps_own_object(
    is_async: bool, error: Exception, asked: Any, rows: Any
) -> None:
    retriever = Limited(error=error, limit=0, asked=[])
    wrapped = wrap_retriever(retriever, check_overfetch=0)
    with pytest.raises(type(error)) as caught:
        asyncio.run(wrapped.ainvoke(QUERY)) if is_async else wrapped.invoke(QUERY)
    assert caught.value is error
    assert caught.value.__context__ is None
    assert retriever.asked == asked
    assert rows("SELECT error, n_chunks FROM retrievals") == [{"error": type(error).__name__, "n_chunks": 0}]


class Gives(BaseRetriever):
    k: int = 2
    result: Any = None

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> Any:
        return self.result(self.k)


class Hits(list[Any]):
    pass


@pytest.mark.parametrize("container", [list, tuple, Hits, iter, dict.fromkeys])
def test_the_container_is_the_retrievers_own(container: Any, pages: Any, rows: Any) -> None:
    retriever = Gives(result=lambda k: container([d.id for d in pages(k)]))
    found = wrap_retriever(retriever).invoke(QUERY)
    assert type(found) is type(retriever.invoke(QUERY))
    assert list(found) == ["d0", "d1"]


def test_a_cancelled_call_is_recorded_as_such(rows: Any) -> None:
    class Endless(BaseRetriever):
        k: int = 3

        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            raise NotImplementedError

        async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            await asyncio.Event().wait()
            raise AssertionError

    async def cancel() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(wrap_retriever(Endless()).ainvoke(QUERY), 0.01)

    asyncio.run(cancel())
    instrument()
    asyncio.run(cancel())
    assert rows("SELECT error FROM retrievals") == [{"error": "CancelledError"}] * 2
    assert len(OPEN) == 0


def test_nothing_more_is_asked_for_than_is_recorded(shelf: Any, tmp_path: Any) -> None:
    wrapped = wrap_retriever(shelf, check_overfetch=0)
    assert len(wrapped.invoke(QUERY)) == 4  # not configured
    ragwheel.configure(db=str(tmp_path / "ten.db"), capture_k=10)
    assert len(wrapped.invoke(QUERY)) == 4
    ragwheel.shutdown()
    ragwheel.configure(db=str(tmp_path / "none.db"), sample_ratio=0.0)
    assert len(wrapped.invoke(QUERY)) == 4
    assert shelf.asked == [4, 10, 4]


def test_hostile_attributes_do_not_reach_the_app(rows: Any, pages: Any) -> None:
    class Hostile:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError

        __hash__ = None  # type: ignore[assignment]

        @property
        def value(self) -> Any:
            raise RuntimeError("no value")

    class WithOne(BaseRetriever):
        docs: list[Document]
        k: int = 2
        search_type: Any = None

        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            return self.docs[: self.k]

    wrapped = wrap_retriever(WithOne(docs=pages(9), search_type=Hostile()))
    assert len(wrapped.invoke(QUERY)) == 2
    assert "RuntimeError" in (refusals(rows)[0] or "")


@pytest.mark.parametrize("wrong", [RunnableLambda(len), None, "retriever"])
def test_only_retrievers_can_be_wrapped(wrong: Any) -> None:
    with pytest.raises(ragwheel.ConfigurationError, match="BaseRetriever"):
        wrap_retriever(wrong)


@pytest.mark.parametrize("capture_k", [0, -1, True, "40", None, 2.0])
def test_capture_k_is_a_whole_number_from_one(capture_k: Any, shelf: Any) -> None:
    with pytest.raises(ragwheel.ConfigurationError, match="capture_k"):
        wrap_retriever(shelf, capture_k)


def test_wrapping_twice_is_once(shelf: Any, rows: Any) -> None:
    wrapped = wrap_retriever(wrap_retriever(shelf, 30, source="a"), 20, source="b")
    assert isinstance(wrapped, OverfetchRetriever)
    assert wrapped.retriever is shelf
    assert wrapped.get_name() == "Shelf"
    wrapped.invoke(QUERY)
    assert rows("SELECT source, n_chunks FROM retrievals") == [{"source": "b", "n_chunks": 20}]


def test_called_by_its_search_method_it_still_gives_k(shelf: Any, rows: Any) -> None:
    class Calling(BaseRetriever):
        inner: Any

        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            documents: list[Document] = self.inner._get_relevant_documents(query, run_manager=run_manager)
            return documents

        async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            documents: list[Document] = await self.inner._aget_relevant_documents(
                query, run_manager=run_manager
            )
            return documents

    calling = Calling(inner=wrap_retriever(shelf))
    assert calling.invoke(QUERY) == shelf.invoke(QUERY)
    assert asyncio.run(calling.ainvoke(QUERY)) == shelf.invoke(QUERY)
    assert [r["n_chunks"] for r in rows("SELECT n_chunks FROM retrievals")] == [40, 40]
