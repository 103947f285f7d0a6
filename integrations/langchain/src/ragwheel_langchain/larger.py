"""A search with a larger k, inside a run that looks like the app's own.

The app's retriever is never changed: k is set as an option of the call, or as a field of a shallow copy. The
run is made by another shallow copy, of which only the search is replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragwheel import OverfetchRefused, overfetch

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever

    from ragwheel_langchain.calls import LangChainCall
    from ragwheel_langchain.searches import Search

__all__ = ["LargerSearch", "Patience", "with_attributes"]


@dataclass(slots=True)
class Patience:
    """Decides when to stop larger searches: after repeated failures where the app's own search succeeds.

    They also stop if a larger search begins with other documents than the app's own. The next `checks`
    searches are compared.
    """

    failures_in_a_row: int = 0
    limit: int = 3
    checks: int = overfetch.CHECKED_CALLS
    changed: bool = False

    @property
    def ended(self) -> bool:
        """Whether larger searches have stopped."""
        return self.failures_in_a_row >= self.limit


@dataclass(frozen=True, slots=True)
class LargerSearch:
    """The search of one call for more documents than the app asked for."""

    retriever: BaseRetriever
    search: Search
    call: LangChainCall
    patience: Patience

    def stand_in(self) -> BaseRetriever:
        """Return a copy of the app's retriever that searches with :meth:`_run`."""
        return with_attributes(self.retriever, {"_get_relevant_documents": self._run})

    def async_stand_in(self) -> BaseRetriever:
        """Return a copy of the app's retriever that searches with :meth:`_arun`."""
        return with_attributes(self.retriever, {"_aget_relevant_documents": self._arun})

    def _run(self, query: str, **options: Any) -> list[Document]:
        failure = None
        if self._worth_it() and self.patience.checks:
            return self._checked(query, options)
        if self._worth_it():
            try:
                with self._asking(options) as (retriever, larger):
                    documents = retriever._get_relevant_documents(query, **larger)
                cut: list[Document] = overfetch.first_k(documents, self.search.k or 0)
            except Exception as error:  # noqa: BLE001 - judged: the app's own search may still succeed
                failure = self._judge(error)
            else:
                return self._hand_on(documents, cut)
        result = self.retriever._get_relevant_documents(query, **options)
        self._note(failure)
        return result

    async def _arun(self, query: str, **options: Any) -> list[Document]:
        failure = None
        if self._worth_it() and self.patience.checks:
            return await self._achecked(query, options)
        if self._worth_it():
            try:
                with self._asking(options) as (retriever, larger):
                    documents = await retriever._aget_relevant_documents(query, **larger)
                cut: list[Document] = overfetch.first_k(documents, self.search.k or 0)
            except Exception as error:  # noqa: BLE001 - judged: the app's own search may still succeed
                failure = self._judge(error)
            else:
                return self._hand_on(documents, cut)
        result = await self.retriever._aget_relevant_documents(query, **options)
        self._note(failure)
        return result

    def _checked(self, query: str, options: dict[str, Any]) -> list[Document]:
        """Make the app's own search, then the larger one, and compare them."""
        own = self.retriever._get_relevant_documents(query, **options)
        as_returned = overfetch.unchanged(own)
        try:
            with self._asking(options, keeps_changes=False) as (retriever, larger):
                documents = retriever._get_relevant_documents(query, **larger)
            self._compare(as_returned(), documents)
        except Exception as error:  # noqa: BLE001 - of a search that the app did not ask for, or its own
            self._check_failed(error)
        return as_returned()  # type: ignore[no-any-return]

    async def _achecked(self, query: str, options: dict[str, Any]) -> list[Document]:
        """Make the app's own search, then the larger one, and compare them."""
        own = await self.retriever._aget_relevant_documents(query, **options)
        as_returned = overfetch.unchanged(own)
        try:
            with self._asking(options, keeps_changes=False) as (retriever, larger):
                documents = await retriever._aget_relevant_documents(query, **larger)
            self._compare(as_returned(), documents)
        except Exception as error:  # noqa: BLE001 - of a search that the app did not ask for, or its own
            self._check_failed(error)
        return as_returned()  # type: ignore[no-any-return]

    def _compare(self, own: list[Document], documents: list[Document]) -> None:
        k = self.search.k or 0
        if overfetch.same_first_k(own, documents, k):
            self.patience.checks = max(0, self.patience.checks - 1)
            self.patience.failures_in_a_row = 0
            self.call.finish(overfetch.extended(own, documents, k), returned=len(own))
            return
        self.patience.changed = True
        self.call.flag(overfetch.CHANGED_FLAG)
        overfetch.warn_of_change(self.call.labels.name or self.retriever.get_name())

    def _check_failed(self, error: Exception) -> None:
        """Handle a failed larger search of a check; interrupts of the app are raised."""
        if overfetch.is_interrupt(error):
            raise error
        refused = isinstance(error, OverfetchRefused)
        self._note(f"overfetch_refused: {error}" if refused else f"overfetch_failed: {type(error).__name__}")

    def _worth_it(self) -> bool:
        """Return whether a larger search would record more documents."""
        return self.call.room(self.search.asked or 0) > (self.search.k or 0)

    @contextmanager
    def _asking(
        self, options: dict[str, Any], *, keeps_changes: bool = True
    ) -> Iterator[tuple[BaseRetriever, dict[str, Any]]]:
        """Yield a retriever and call options for the larger search."""
        asked = self.call.room(self.search.asked or 0)
        if not self.search.is_field:
            yield self.retriever, {**options, self.search.parameter: asked}
            return
        twin = with_attributes(self.retriever, {self.search.parameter: asked})
        before = dict(vars(twin))
        try:
            yield twin, options
        finally:  # what a search assigns to itself (an index built late, a counter) stays with the app's
            changed = {
                name: value for name, value in vars(twin).items() if before.get(name, _UNSET) is not value
            }
            if keeps_changes:
                vars(self.retriever).update(changed)

    def _hand_on(self, documents: list[Document], cut: list[Document]) -> list[Document]:
        self.patience.failures_in_a_row = 0
        self.call.finish(documents, returned=len(cut))
        return cut

    def _judge(self, error: Exception) -> str:
        """Return the flag for a failed larger search; an error that k cannot have caused is raised."""
        if not overfetch.may_be_about_k(error):
            raise error
        if isinstance(error, OverfetchRefused):
            return f"overfetch_refused: {error}"
        return f"overfetch_failed: {type(error).__name__}"

    def _note(self, failure: str | None) -> None:
        """Note that the app's own search succeeded after the larger one failed."""
        if failure is not None:
            self.patience.failures_in_a_row += 1
            self.call.flag(failure)


_UNSET = object()


def with_attributes(retriever: BaseRetriever, attributes: dict[str, Any]) -> BaseRetriever:
    """Return a shallow copy with other `attributes` that shares everything else with the app's retriever.

    Unlike ``model_copy`` it shares the private attributes too, and an attribute may have a method's
    name: LangChain then finds ours where it looks for the class's.
    """
    twin = object.__new__(type(retriever))
    object.__setattr__(twin, "__dict__", {**vars(retriever), **attributes})
    for slot in ("__pydantic_private__", "__pydantic_extra__", "__pydantic_fields_set__"):
        object.__setattr__(twin, slot, getattr(retriever, slot))
    return twin
