"""What all wrappers of frameworks' retrievers share: their options, and searches without over-fetch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragwheel.capture.recorder import start_retrieval
from ragwheel.capture.retriever import retriever as record_searches
from ragwheel.guard import let_interrupts_through
from ragwheel.integration.checks import check_whole

if TYPE_CHECKING:
    from ragwheel.capture.recorder import NotRecorded, Retrieval

__all__ = ["Wrapping"]


@dataclass(frozen=True)
class Wrapping:
    """How a wrapped retriever is recorded; the arguments of every ``wrap_retriever``.

    Attributes:
        source: the index or data source.
        name: the name of the retriever.
        version: its version, such as the date of the index.
        capture_k: how many chunks to record of each search.
        check_overfetch: how many over-fetched calls are compared with the app's own search.

    Raises:
        ragwheel.ConfigurationError: a number is out of range.
    """

    source: str
    name: str
    version: str | None
    capture_k: int
    check_overfetch: int

    def __post_init__(self) -> None:
        check_whole("wrap_retriever", "capture_k", self.capture_k, advice="Try capture_k=40.")
        check_whole("wrap_retriever", "check_overfetch", self.check_overfetch, 0, advice="0 checks none.")

    @property
    def labels(self) -> dict[str, Any]:
        """The arguments of :func:`ragwheel.retriever` that name the retriever."""
        return {"source": self.source, "name": self.name, "version": self.version}

    def overfetching(self, k: str) -> Callable[[Any], Any]:
        """Return a decorator for a search ``(query, k, ...)`` that is asked for ``capture_k`` chunks.

        Args:
            k: the name of the search's parameter for the number of chunks.
        """
        return record_searches(
            **self.labels,
            capture_k=self.capture_k,
            check_overfetch=self.check_overfetch,
            k=k,
            query="query",
        )

    @staticmethod
    def planned(plan: Callable[[], tuple[int, str | None]]) -> tuple[int, str | None]:
        """Return the app's k and the reason against over-fetch; an exception of ``plan`` is such a reason."""
        try:
            return plan()
        except Exception as error:  # noqa: BLE001 - whatever a foreign retriever's attributes do
            let_interrupts_through(error)
            return 0, f"planning it raised {type(error).__name__}"

    def begin_refused(self, query: object, k: int, reason: str) -> Retrieval | NotRecorded:
        """Begin recording a search that is made as the app makes it, flagged with the reason."""
        retrieval = start_retrieval(query, top_k=k or None, **self.labels)
        retrieval.flag(f"overfetch_refused: {reason}")
        retrieval.enter()
        return retrieval
