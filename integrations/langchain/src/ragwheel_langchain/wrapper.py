"""A retriever that over-fetches: it records all chunks and returns the first k.

The run in the app's traces is made by the app's own retriever: ``invoke`` of a shallow copy of which only the
search is replaced, so its name, tags, metadata and class are unchanged. Where over-fetch could change the
result, the app's retriever is called directly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables.configurable import RunnableConfigurableFields
from pydantic import Field, PrivateAttr, model_validator
from typing_extensions import override

from ragwheel import ConfigurationError, overfetch
from ragwheel.integration import check_whole
from ragwheel_langchain.calls import Labels, LangChainCall
from ragwheel_langchain.handler import HANDLER
from ragwheel_langchain.larger import LargerSearch, Patience
from ragwheel_langchain.searches import Search, plan_search

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.runnables import RunnableConfig, RunnableSerializable
    from langchain_core.runnables.utils import AnyConfigurableField

__all__ = ["OverfetchRetriever", "wrap_retriever"]


class OverfetchRetriever(BaseRetriever):
    """The result of :func:`wrap_retriever`. Change settings of the app's retriever in ``retriever``."""

    retriever: BaseRetriever
    capture_k: int = Field(default=40, ge=1)
    check_overfetch: int = Field(default=overfetch.CHECKED_CALLS, ge=0)
    labels: Labels = Labels()
    _patience: Patience = PrivateAttr(default_factory=Patience)

    @override
    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._patience.checks = self.check_overfetch

    def __getattr__(self, name: str) -> Any:
        """Look up in the app's retriever what the wrapper has not: ``vectorstore``, ``add_documents``."""
        private = self.__dict__.get("retriever")
        if private is None or name.startswith("__"):
            return super().__getattr__(name)  # type: ignore[misc]
        try:
            return super().__getattr__(name)  # type: ignore[misc]
        except AttributeError:
            return getattr(private, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a setting of the app's retriever where the wrapper has no such field."""
        if name in type(self).model_fields or name.startswith("_") or not hasattr(self.retriever, name):
            super().__setattr__(name, value)
        else:
            setattr(self.retriever, name, value)

    @model_validator(mode="before")
    @classmethod
    def _settings_of_the_apps_retriever(cls, values: Any) -> Any:
        """Give fields that are the app's retriever's to a copy of it, as configured fields come."""
        inner = values.get("retriever") if isinstance(values, dict) else None
        if not isinstance(inner, BaseRetriever):
            return values
        foreign = {
            name: value
            for name, value in values.items()
            if name not in cls.model_fields and name in type(inner).model_fields
        }
        own = {name: value for name, value in values.items() if name not in foreign}
        if foreign:
            fields = type(inner).model_fields
            held = {name: value for name, value in vars(inner).items() if name in fields}
            own["retriever"] = type(inner)(**{**held, **foreign})
        return own

    @override
    def configurable_fields(
        self, **kwargs: AnyConfigurableField
    ) -> RunnableSerializable[str, list[Document]]:
        fields = {**type(self.retriever).model_fields, **type(self).model_fields}
        for name in kwargs:
            if name not in fields:
                raise ValueError(
                    f"Configuration key {name} not found in {self}: available keys are {fields.keys()}"
                )
        return RunnableConfigurableFields(default=self, fields=kwargs)

    @override
    def get_name(self, suffix: str | None = None, *, name: str | None = None) -> str:
        return self.retriever.get_name(suffix, name=name)

    @override
    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        search = self._plan(input, kwargs, is_async=False)
        with self._call(input, config, search) as call:
            if search.asked is None:
                documents = self.retriever.invoke(input, config, **kwargs)
            else:
                larger = LargerSearch(self.retriever, search, call, self._patience)
                documents = larger.stand_in().invoke(input, config, **kwargs)
            call.finish(documents)
        return documents

    @override
    async def ainvoke(
        self, input: str, config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Document]:
        search = self._plan(input, kwargs, is_async=True)
        with self._call(input, config, search) as call:
            if search.asked is None:
                documents = await self.retriever.ainvoke(input, config, **kwargs)
            else:
                larger = LargerSearch(self.retriever, search, call, self._patience)
                documents = await larger.async_stand_in().ainvoke(input, config, **kwargs)
            call.finish(documents)
        return documents

    @override
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return self.invoke(query, {"callbacks": run_manager.get_child()}, **kwargs)

    @override
    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return await self.ainvoke(query, {"callbacks": run_manager.get_child()}, **kwargs)

    def _plan(self, query: str, kwargs: dict[str, Any], *, is_async: bool) -> Search:
        if self._patience.changed:
            return Search(refused=overfetch.CHANGED_REFUSAL)
        if self._patience.ended:
            return Search(refused="asking for more has failed too often")
        options = {name: value for name, value in kwargs.items() if name != "run_id"}
        try:
            return plan_search(self.retriever, query, options, self.capture_k, is_async=is_async)
        except Exception as error:  # noqa: BLE001 - whatever a foreign retriever's attributes do
            overfetch.let_interrupts_through(error)
            return Search(refused=f"planning it raised {type(error).__name__}")

    def _call(self, query: str, config: RunnableConfig | None, search: Search) -> LangChainCall:
        call = LangChainCall(query, self.labels, search.k, search.refused)
        if not HANDLER.active:
            call.begin((config or {}).get("run_name") or self.get_name())
        return call


def wrap_retriever(
    retriever: BaseRetriever,
    capture_k: int = 40,
    *,
    source: str | None = None,
    name: str | None = None,
    version: str | None = None,
    check_overfetch: int = overfetch.CHECKED_CALLS,
) -> OverfetchRetriever:
    """Return a retriever with the results of `retriever` that records `capture_k` chunks of each search.

    Over-fetch is for plain top-k searches: a ``VectorStoreRetriever`` with ``search_type="similarity"`` and
    no score threshold, or a retriever with a field or call option ``k`` or ``top_k``. For all others (MMR,
    thresholds, ensembles, compression, …) the app's result is recorded and flagged with the reason. A search
    that fails with the larger k is repeated with the app's own k.

    Args:
        retriever: any ``BaseRetriever``; wrap it before ``.with_config()``, ``.bind()`` or ``|``.
        capture_k: how many chunks to ask for, at least 1. ``ragwheel.configure(capture_k=…)`` caps it.
        source: the index or data source; by default the name of the LangChain run.
        name: the name of the retriever; by default the name of the LangChain run.
        version: the version of the retriever, such as the index's date.
        check_overfetch: the number of over-fetched calls (default 3) that are preceded by the app's own
            search, whose documents the app gets. If the two differ, over-fetch ends. Use 0 for a retriever
            that must not be called twice.

    Raises:
        ragwheel.ConfigurationError: `retriever` is no ``BaseRetriever``, or `capture_k` is below 1.
    """
    if isinstance(retriever, OverfetchRetriever):
        retriever = retriever.retriever
    if not isinstance(retriever, BaseRetriever):
        raise ConfigurationError(
            f"wrap_retriever: got a {type(retriever).__name__}; allowed is a BaseRetriever. "
            "Wrap the retriever first, then use .with_config(), .bind() or | on the result."
        )
    check_whole("wrap_retriever", "capture_k", capture_k, advice="Try capture_k=40.")
    check_whole("wrap_retriever", "check_overfetch", check_overfetch, 0, advice="0 checks none.")
    return OverfetchRetriever(
        retriever=retriever,
        capture_k=capture_k,
        check_overfetch=check_overfetch,
        labels=Labels(source, name, version),
    )
