"""What is wrapped stays what it was, and gives what it gave."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import ConfigurableField

import ragwheel
from ragwheel_langchain import instrument, wrap_retriever

QUERY = "a question"


def test_a_wrapped_retriever_has_what_the_apps_own_has(vector_store: Any, rows: Any) -> None:
    own = vector_store.as_retriever(search_kwargs={"k": 3})
    wrapped: Any = wrap_retriever(own)
    assert wrapped.vectorstore is vector_store
    wrapped.add_documents([Document(id="new", page_content="new")])
    assert vector_store.get_by_ids(["new"])
    wrapped.search_kwargs = {"k": 2}
    assert own.search_kwargs == {"k": 2}
    assert len(wrapped.invoke(QUERY)) == 2
    with pytest.raises(AttributeError):
        wrapped.nothing_of_the_kind  # noqa: B018 - the look-up is tested
    assert not hasattr(wrapped, "nothing_of_the_kind")


def test_configurable_fields(vector_store: Any, rows: Any) -> None:
    field = ConfigurableField(id="search")
    for retriever in (vector_store.as_retriever(), wrap_retriever(vector_store.as_retriever())):
        configured = retriever.configurable_fields(search_kwargs=field)
        assert len(configured.invoke(QUERY)) == 4
        assert len(configured.with_config(configurable={"search": {"k": 7}}).invoke(QUERY)) == 7
        with pytest.raises(ValueError, match="not found"):
            retriever.configurable_fields(nothing=field)
    assert {row["n_chunks"] for row in rows("SELECT n_chunks FROM retrievals")} == {40}


def test_a_store_that_filters_after_the_cut_is_not_asked_for_more(
    store_class: Any, vector_store: Any, rows: Any
) -> None:
    class Filtering(store_class):  # type: ignore[misc]
        def similarity_search(self, query: str, k: int = 4, **options: Any) -> list[Document]:
            return [d for d in super().similarity_search(query, k) if d.metadata["part"]]

    filtering = Filtering(vector_store.embedding)
    filtering.store = vector_store.store
    for own in (
        filtering.as_retriever(search_kwargs={"k": 4}),
        vector_store.as_retriever(search_kwargs={"k": 4, "post_filter_pipeline": [{}]}),
    ):
        assert wrap_retriever(own).invoke(QUERY) == own.invoke(QUERY)
    flags = [row["flags"] for row in rows("SELECT flags FROM retrievals ORDER BY start_ns")]
    assert "not known to make plain top-k" in flags[0]
    assert "post_filter_pipeline" in flags[1]


@pytest.mark.parametrize("instrumented", [True, False])
@pytest.mark.parametrize("is_async", [True, False])
def test_a_decorated_function_inside_a_retriever_is_nested(
    rows: Any, instrumented: bool, is_async: bool
) -> None:
    @ragwheel.retriever(source="kb")
    def search(query: str) -> list[str]:
        return ["a", "b"]

    class Outer(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            return [Document(id=text, page_content=text) for text in search(query)]

    retriever: BaseRetriever = Outer()
    if instrumented:
        instrument()
    else:
        retriever = wrap_retriever(retriever)
    for _ in range(2):
        if is_async:
            asyncio.run(retriever.ainvoke(QUERY))
        else:
            retriever.invoke(QUERY)
    outermost = rows("SELECT retriever FROM retrievals WHERE outer_id IS NULL")
    assert [row["retriever"] for row in outermost] == ["Outer", "Outer"]
    assert len(rows("SELECT 1 FROM retrievals WHERE outer_id IS NOT NULL")) == 2


def test_a_retrieval_after_a_cancelled_one_is_not_inside_it(rows: Any) -> None:
    class Slow(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            raise NotImplementedError

        async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            if query == "slow":
                raise asyncio.CancelledError
            return []

    async def main() -> None:
        for query in ("slow", "quick"):
            try:
                await Slow().ainvoke(query)
            except asyncio.CancelledError:
                continue

    instrument()
    asyncio.run(main())
    found = {row["query"]: row["outer_id"] for row in rows("SELECT query, outer_id FROM retrievals")}
    assert found["quick"] is None


def test_a_wrapped_call_closed_from_another_context(rows: Any) -> None:
    class Slow(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            raise NotImplementedError

        async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            await asyncio.Event().wait()
            raise AssertionError

    async def begun() -> Any:
        task = asyncio.get_running_loop().create_task(wrap_retriever(Slow()).ainvoke(QUERY))
        await asyncio.sleep(0)
        return task

    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(begun())
    task.get_coro().close()
    loop.close()
