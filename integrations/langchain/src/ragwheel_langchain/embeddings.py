"""LangChain embeddings whose queries are adapted and whose documents are as they were indexed."""

from __future__ import annotations

from typing import Any

from langchain_core.embeddings import Embeddings
from typing_extensions import override

from ragwheel import ConfigurationError
from ragwheel.deploy import Adapter, stamp
from ragwheel_langchain.calls import enclosing

__all__ = ["AdaptedEmbeddings"]


class AdaptedEmbeddings(Embeddings):
    """`base` with an adapter on its query vectors: put it where the app has `base`, the index stays.

    Args:
        base: the embeddings that the index was made with.
        adapter: what ``ragwheel train adapter`` made for them, loaded or as a folder.

    Inside :func:`ragwheel_langchain.wrap_retriever` the retrieval's version gets the adapter's id; with
    ``instrument()`` say so yourself: ``retriever.metadata = {"ragwheel_version": embeddings.version}``.

    Raises:
        ragwheel.ConfigurationError: `base` is no LangChain ``Embeddings``.
        ragwheel.errors.ModelError: there is no adapter in that folder; or, when a query comes, it is one for
            vectors of another dimension.
    """

    def __init__(self, base: Embeddings, adapter: Adapter | str) -> None:
        if not isinstance(base, Embeddings):
            raise ConfigurationError(
                f"AdaptedEmbeddings: got a {type(base).__name__}, allowed: a LangChain Embeddings object"
            )
        self.base = base
        self.adapter = adapter if isinstance(adapter, Adapter) else Adapter.load(adapter)

    @property
    def version(self) -> str:
        """The adapter's id, as retrievers' versions carry it."""
        return self.adapter.version

    @override
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.base.embed_documents(texts)

    @override
    def embed_query(self, text: str) -> list[float]:
        return self._adapted(self.base.embed_query(text))

    @override
    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return await self.base.aembed_documents(texts)

    @override
    async def aembed_query(self, text: str) -> list[float]:
        return self._adapted(await self.base.aembed_query(text))

    def _adapted(self, vector: list[float]) -> list[float]:
        stamp(enclosing(), self.version)
        found: list[float] = self.adapter.query(vector).tolist()
        return found

    def __getattr__(self, name: str) -> Any:
        """Whatever else the app asks of its embeddings (``model_name``, …)."""
        if name.startswith("__") or name == "base":
            raise AttributeError(name)
        return getattr(self.base, name)
