"""The first over-fetched searches are compared with the app's own; one that differs ends over-fetch."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field

import ragwheel
from ragwheel_langchain import wrap_retriever

QUERY = "which page?"
ASYNC = pytest.mark.parametrize("is_async", [False, True])


def ask(retriever: Any, is_async: bool) -> Any:
    return asyncio.run(retriever.ainvoke(QUERY)) if is_async else retriever.invoke(QUERY)


class FiltersAfterTheCut(BaseRetriever):
    docs: list[Document]
    k: int = 4
    asked: list[int] = Field(default_factory=list)

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        self.asked.append(self.k)
        return [document for document in self.docs[: self.k] if document.metadata["part"]]


class TurnsPages(FiltersAfterTheCut):
    """Remembers where it was."""

    offset: int = 0

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        self.asked.append(self.k)
        self.offset += self.k
        return self.docs[self.offset - self.k : self.offset]


@ASYNC
@pytest.mark.parametrize("retriever_class", [FiltersAfterTheCut, TurnsPages])
def test_one_that_differs_gets_its_own_search_from_then_on(
    retriever_class: Any, is_async: bool, pages: Any, rows: Any, caplog: Any
) -> None:
    own, private = (retriever_class(docs=pages(60)) for _ in range(2))
    name = f"{retriever_class.__name__} {is_async}"  # it is said once per name and process
    wrapped = wrap_retriever(private, name=name)
    for _ in range(4):
        assert ask(wrapped, is_async) == ask(own, is_async)
    assert private.asked == [4, 40, 4, 4, 4]
    flags = [row["flags"] for row in rows("SELECT flags FROM retrievals ORDER BY start_ns")]
    assert flags[0] == '["overfetch_changed_results"]'
    assert all("overfetch_refused: asking for more changed" in flag for flag in flags[1:])
    counts = rows("SELECT n_chunks, n_returned FROM retrievals ORDER BY start_ns")
    assert counts[0]["n_chunks"] == counts[0]["n_returned"]
    assert sum(name in record.getMessage() for record in caplog.records) == 1


@ASYNC
def test_three_searches_are_checked(is_async: bool, shelf: Any, rows: Any) -> None:
    wrapped = wrap_retriever(shelf)
    for _ in range(5):
        assert len(ask(wrapped, is_async)) == 4
    assert shelf.asked == [4, 40] * 3 + [40] * 2
    assert shelf.searches == 5
    counts = rows("SELECT n_chunks, n_returned, flags FROM retrievals")
    assert {tuple(row.values()) for row in counts} == {(40, 4, None)}


@ASYNC
def test_a_larger_search_that_fails_leaves_the_apps_own(is_async: bool, pages: Any, rows: Any) -> None:
    class AtMostTen(FiltersAfterTheCut):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            self.asked.append(self.k)
            if self.k > 10:
                raise ConnectionError
            return self.docs[: self.k]

    retriever = AtMostTen(docs=pages(60))
    wrapped = wrap_retriever(retriever)
    for _ in range(5):
        assert ask(wrapped, is_async) == retriever.docs[:4]
    assert retriever.asked == [4, 40] * 3 + [4, 4]


@pytest.mark.parametrize("check_overfetch", [-1, True, "3", None, 1.0])
def test_the_number_of_checks_is_a_whole_number_from_zero(check_overfetch: Any, shelf: Any) -> None:
    with pytest.raises(ragwheel.ConfigurationError, match="check_overfetch"):
        wrap_retriever(shelf, check_overfetch=check_overfetch)
