"""Every retriever run of the process is recorded once, whichever way it was started."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.callbacks import CallbackManager
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tools import create_retriever_tool, tool

import ragwheel
from ragwheel_langchain import instrument, uninstrument
from ragwheel_langchain.handler import HANDLER
from ragwheel_langchain.runs import OPEN, Runs

QUERY = "which page?"


def in_a_raw_thread(retriever: Any) -> None:
    thread = threading.Thread(target=retriever.invoke, args=(QUERY,))
    thread.start()
    thread.join()


async def drain(stream: Any) -> None:
    async for _ in stream:
        pass


def chained(retriever: Any) -> Any:
    return {"docs": retriever, "q": RunnablePassthrough()} | RunnableLambda(lambda x: x["docs"])


def as_tool(retriever: Any) -> Any:
    return create_retriever_tool(retriever, "pages", "Search the pages.")


WAYS: dict[str, Callable[[Any], Any]] = {
    "invoke": lambda r: r.invoke(QUERY),
    "ainvoke": lambda r: asyncio.run(r.ainvoke(QUERY)),
    "batch": lambda r: r.batch([QUERY]),
    "abatch": lambda r: asyncio.run(r.abatch([QUERY])),
    "stream": lambda r: list(r.stream(QUERY)),
    "astream": lambda r: asyncio.run(drain(r.astream(QUERY))),
    "astream_events": lambda r: asyncio.run(drain(r.astream_events(QUERY, version="v2"))),
    "chain": lambda r: chained(r).invoke(QUERY),
    "chain, async": lambda r: asyncio.run(chained(r).ainvoke(QUERY)),
    "chain, streamed": lambda r: asyncio.run(drain(chained(r).astream(QUERY))),
    "chain, events": lambda r: asyncio.run(drain(chained(r).astream_events(QUERY, version="v2"))),
    "bound": lambda r: r.with_config(tags=["t"]).bind().invoke(QUERY),
    "tool": lambda r: as_tool(r).invoke({"query": QUERY}),
    "raw thread": in_a_raw_thread,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_run_a_retriever_is_recorded_once(way: str, vector_store: Any, rows: Any) -> None:
    retriever = vector_store.as_retriever(search_kwargs={"k": 5})
    expected = [d.id for d in retriever.invoke(QUERY)]
    instrument()
    WAYS[way](retriever)
    [row] = rows("SELECT query, source, retriever, n_chunks, n_returned, outer_id, error FROM retrievals")
    assert row == {
        "query": QUERY,
        "source": "VectorStoreRetriever",
        "retriever": "VectorStoreRetriever",
        "n_chunks": 5,
        "n_returned": 5,
        "outer_id": None,
        "error": None,
    }
    assert [r["chunk_id"] for r in rows("SELECT chunk_id FROM impressions ORDER BY rank")] == expected
    assert len(OPEN) == 0


def test_a_batch_is_one_retrieval_per_query(shelf: Any, rows: Any) -> None:
    instrument()
    queries = [f"query {i}" for i in range(20)]
    shelf.batch(queries)
    assert sorted(r["query"] for r in rows("SELECT query FROM retrievals")) == sorted(queries)


def test_retrievals_belong_to_the_current_turn(shelf: Any, rows: Any) -> None:
    instrument()
    with ragwheel.turn(QUERY, user_id="u1") as turn:
        chained(shelf).invoke(QUERY)
        asyncio.run(shelf.ainvoke(QUERY))
        turn.answer("It is page 3 [1].")
    found = rows("SELECT turn_id, user_id FROM retrievals")
    assert len(found) == 2
    assert {r["turn_id"] for r in found} == {rows("SELECT turn_id FROM turns")[0]["turn_id"]}
    assert {r["user_id"] for r in found} == {"u1"}


class Outer(BaseRetriever):
    """A retriever that runs another one, directly or through `via`."""

    inner: Any
    via: Any = None

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        runnable = self.inner if self.via is None else self.via(self.inner)
        documents: list[Document] = runnable.invoke(query, {"callbacks": run_manager.get_child()})
        return documents[:2]


@pytest.mark.parametrize("via", [None, lambda r: r | RunnableLambda(lambda docs: docs), chained])
def test_a_retriever_inside_another_is_recorded_under_it(via: Any, shelf: Any, rows: Any) -> None:
    instrument()
    Outer(inner=shelf, via=via).invoke(QUERY)
    by_name = {r["retriever"]: r for r in rows("SELECT * FROM retrievals")}
    assert set(by_name) == {"Outer", "Shelf"}
    assert by_name["Outer"]["outer_id"] is None
    assert by_name["Shelf"]["outer_id"] == by_name["Outer"]["retrieval_id"]
    exposure = {
        (r["retrieval_id"], r["exposure"]) for r in rows("SELECT retrieval_id, exposure FROM impressions")
    }
    assert exposure == {
        (by_name["Outer"]["retrieval_id"], "returned"),
        (by_name["Shelf"]["retrieval_id"], "logged"),
    }
    assert len(OPEN) == 0


def test_a_retriever_tool_inside_a_retriever_is_recorded_under_it(shelf: Any, rows: Any) -> None:
    class Agentic(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            as_tool(shelf).invoke({"query": query}, {"callbacks": run_manager.get_child()})
            return []

    instrument()
    Agentic().invoke(QUERY)
    by_name = {r["retriever"]: r for r in rows("SELECT * FROM retrievals")}
    assert by_name["Shelf"]["outer_id"] == by_name["Agentic"]["retrieval_id"]


@pytest.mark.parametrize("is_async", [False, True])
def test_an_ensembles_members_are_recorded_under_it(
    is_async: bool, shelf: Any, vector_store: Any, rows: Any
) -> None:
    ensemble = pytest.importorskip("langchain_classic.retrievers").EnsembleRetriever(
        retrievers=[shelf, vector_store.as_retriever()], weights=[0.5, 0.5]
    )
    instrument()
    if is_async:
        asyncio.run(ensemble.ainvoke(QUERY))
    else:
        ensemble.invoke(QUERY)
    by_name = {r["retriever"]: r for r in rows("SELECT * FROM retrievals")}
    assert set(by_name) == {"EnsembleRetriever", "Shelf", "VectorStoreRetriever"}
    outer = by_name.pop("EnsembleRetriever")
    assert outer["outer_id"] is None
    assert {r["outer_id"] for r in by_name.values()} == {outer["retrieval_id"]}


def test_a_graph_node_is_recorded(shelf: Any, rows: Any) -> None:
    graph = pytest.importorskip("langgraph.graph")

    def retrieve(state: dict[str, Any]) -> dict[str, Any]:
        return {"docs": shelf.invoke(state["question"])}

    builder = graph.StateGraph(dict)
    builder.add_node("retrieve", retrieve)
    builder.add_edge(graph.START, "retrieve")
    builder.add_edge("retrieve", graph.END)
    app = builder.compile()
    instrument()
    app.invoke({"question": QUERY})
    asyncio.run(drain(app.astream({"question": QUERY + " again"})))
    found = rows("SELECT query, n_chunks, outer_id FROM retrievals ORDER BY start_ns")
    assert [(r["query"], r["n_chunks"], r["outer_id"]) for r in found] == [
        (QUERY, 4, None),
        (QUERY + " again", 4, None),
    ]


def test_documents_that_a_compressor_made_anew_keep_the_ids_they_were_found_by(
    vector_store: Any, rows: Any
) -> None:
    """As an extractor of relevant passages does: the text and metadata are copied, the id is not."""
    retrievers = pytest.importorskip("langchain_classic.retrievers", reason="pip install langchain-classic")

    class Extractor(BaseDocumentCompressor):
        def compress_documents(self, documents: Any, query: str, callbacks: Any = None) -> list[Document]:
            return [Document(page_content=d.page_content, metadata=d.metadata) for d in reversed(documents)]

    retriever = retrievers.ContextualCompressionRetriever(
        base_compressor=Extractor(), base_retriever=vector_store.as_retriever(search_kwargs={"k": 3})
    )
    instrument()
    assert all(document.id is None for document in retriever.invoke(QUERY))
    ranked = rows(
        "SELECT i.chunk_id, r.outer_id FROM impressions i JOIN retrievals r USING (retrieval_id)"
        " ORDER BY i.rank"
    )
    inner = [row["chunk_id"] for row in ranked if row["outer_id"] is not None]
    outer = [row["chunk_id"] for row in ranked if row["outer_id"] is None]
    assert len(inner) == 3
    assert outer == inner[::-1]


class Failing(BaseRetriever):
    error: Any

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        raise self.error


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_an_error_is_recorded_and_stays_the_same_object(way: str, rows: Any) -> None:
    error = LookupError("no index")
    instrument()
    with pytest.raises(LookupError) as caught:
        WAYS[way](Failing(error=error))
    assert caught.value is error
    [row] = rows("SELECT error, n_chunks FROM retrievals")
    assert row == {"error": "LookupError", "n_chunks": 0}
    assert len(OPEN) == 0


def test_the_apps_callbacks_see_the_same_events(shelf: Any, watcher: Any, rows: Any) -> None:
    app = Outer(inner=shelf, tags=["kb"], metadata={"team": "a"}) | RunnableLambda(len)
    seen = []
    for attach in (uninstrument, instrument):
        attach()
        watching = watcher()
        app.invoke(QUERY, {"callbacks": [watching], "tags": ["x"], "metadata": {"m": 1}})
        seen.append(watching.events)
    assert len(rows("SELECT 1 FROM retrievals")) == 2
    assert seen[0] == seen[1]


def test_names_come_from_the_run_and_the_metadata(shelf: Any, rows: Any) -> None:
    instrument()
    shelf.with_config(run_name="handbook").invoke(QUERY)
    shelf.metadata = {"ragwheel_source": "kb", "ragwheel_version": 7}
    shelf.invoke(QUERY)
    shelf.metadata = {"ragwheel_source": object(), "ragwheel_version": ["1"]}
    shelf.invoke(QUERY)
    found = rows("SELECT source, retriever, version FROM retrievals ORDER BY start_ns")
    assert [tuple(r.values()) for r in found] == [
        ("handbook", "handbook", ""),
        ("kb", "Shelf", "7"),
        ("Shelf", "Shelf", ""),
    ]


def test_a_run_reported_by_hand_is_named_after_its_serialized_class(rows: Any) -> None:
    instrument()
    manager = CallbackManager.configure()
    manager.on_retriever_start({"id": ["app", "search", "HomeMade"]}, QUERY).on_retriever_end([])
    manager.on_retriever_start(None, QUERY).on_retriever_end([])  # type: ignore[arg-type]
    found = rows("SELECT source FROM retrievals ORDER BY start_ns")
    assert [r["source"] for r in found] == ["HomeMade", "retriever"]


def test_instrument_twice_is_once_and_uninstrument_ends_it(shelf: Any, rows: Any) -> None:
    uninstrument()
    instrument()
    instrument()
    shelf.invoke("first")
    uninstrument()
    uninstrument()
    shelf.invoke("second")
    instrument()
    shelf.invoke("third")
    found = rows("SELECT query FROM retrievals ORDER BY start_ns")
    assert [r["query"] for r in found] == ["first", "third"]


def test_a_run_under_way_is_recorded_to_its_end(shelf: Any, rows: Any) -> None:
    class Ending(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            uninstrument()
            documents: list[Document] = shelf.invoke(query, {"callbacks": run_manager.get_child()})
            return documents

    instrument()
    Ending().invoke(QUERY)
    assert [r["retriever"] for r in rows("SELECT retriever FROM retrievals")] == ["Ending"]
    assert len(OPEN) == 0


def test_without_configure_nothing_happens(shelf: Any) -> None:
    instrument()
    assert len(shelf.invoke(QUERY)) == 4
    assert len(OPEN) == 0


def test_a_cancelled_run_is_forgotten(rows: Any) -> None:
    class Endless(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            raise NotImplementedError

        async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            await asyncio.Event().wait()
            raise AssertionError

    async def cancel() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(Endless().ainvoke(QUERY), 0.01)

    instrument()
    asyncio.run(cancel())
    gc.collect()
    assert len(OPEN) == 0
    assert rows("SELECT 1 FROM retrievals") == []


def test_runs_that_never_end_make_room_and_are_counted() -> None:
    runs = Runs(limit=3)
    ids = [uuid4() for _ in range(5)]
    retrieval: Any = ragwheel.start_retrieval("q", source="kb")
    for run_id in ids:
        runs.add(run_id, retrieval)
    assert len(runs) == 3
    assert runs.lost == 2
    assert runs.find(ids[0]) is None
    assert runs.find(ids[4]) is retrieval
    assert runs.close(ids[4]) is retrieval
    assert runs.close(ids[4]) is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_runs_can_be_kept_in_a_forked_child_of_a_busy_parent() -> None:
    runs = Runs()
    retrieval: Any = object()
    with runs._lock:  # as another thread of the parent may hold it while this one forks
        pid = os.fork()
        if pid == 0:
            run_id = uuid4()
            runs.add(run_id, retrieval)
            os._exit(0 if runs.close(run_id) is retrieval else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("fails", ["chain", "tool"])
def test_what_fails_inside_a_retriever_leaves_no_run_open(fails: str, shelf: Any, rows: Any) -> None:
    def fail(query: str) -> str:
        """Look for `query` in vain."""
        raise LookupError(query)

    class Careful(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            inside: Any = RunnableLambda(fail) if fails == "chain" else tool(fail)
            with pytest.raises(LookupError):
                inside.invoke(
                    query if fails == "chain" else {"query": query}, {"callbacks": run_manager.get_child()}
                )
            return [Document("instead")]

    instrument()
    Careful().invoke(QUERY)
    assert rows("SELECT n_chunks, error FROM retrievals") == [{"n_chunks": 1, "error": None}]
    assert len(OPEN) == 0


def test_models_in_a_retriever_are_none_of_its_business(shelf: Any, rows: Any) -> None:
    model = FakeListChatModel(responses=["page 3"])
    chain = shelf | RunnableLambda(lambda docs: docs[0].page_content) | model
    instrument()
    assert chain.invoke(QUERY).content == "page 3"
    assert len(rows("SELECT 1 FROM retrievals")) == 1


def test_a_copied_or_pickled_callback_manager_keeps_the_one_handler() -> None:
    assert copy.deepcopy([HANDLER])[0] is HANDLER
    assert pickle.loads(pickle.dumps(HANDLER)) is HANDLER
