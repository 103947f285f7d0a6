"""LangChain embeddings whose queries are adapted and whose documents are as they were indexed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings
from typing_extensions import override

from ragwheel import ConfigurationError
from ragwheel.deploy import Adapter, QueryEncoder, stamp
from ragwheel_langchain.calls import enclosing

__all__ = ["AdaptedEmbeddings"]


class AdaptedEmbeddings(Embeddings):
    """`base` with queries as they were trained: put it where the app has `base`, the index stays.

    Args:
        base: the embeddings that the index was made with.
        adapter: what ``ragwheel train adapter`` made for them, or ``ragwheel train embedder`` (which then
            embeds queries in place of `base`), loaded or as a folder.

    Inside :func:`ragwheel_langchain.wrap_retriever` the retrieval's version gets its id; with
    ``instrument()`` say so yourself: ``retriever.metadata = {"ragwheel_version": embeddings.version}``.

    Raises:
        ragwheel.ConfigurationError: `base` is no LangChain ``Embeddings``.
        ragwheel.errors.ModelError: there is neither in that folder; or, when a query comes, it is an adapter
            for vectors of another dimension.
    """

    def __init__(self, base: Embeddings, adapter: Adapter | QueryEncoder | str | Path) -> None:
        if not isinstance(base, Embeddings):
            raise ConfigurationError(
                f"AdaptedEmbeddings: got a {type(base).__name__}, allowed: a LangChain Embeddings object"
            )
        self.base = base
        self.adapter = _load(adapter) if isinstance(adapter, (str, Path)) else adapter

    @property
    def version(self) -> str:
        """Its id, as retrievers' versions carry it."""
        return self.adapter.version

    @override
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.base.embed_documents(texts)

    @override
    def embed_query(self, text: str) -> list[float]:
        stamp(enclosing(), self.version)
        if isinstance(self.adapter, QueryEncoder):
            return self.adapter(text)
        return _adapted(self.adapter, self.base.embed_query(text))

    @override
    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return await self.base.aembed_documents(texts)

    @override
    async def aembed_query(self, text: str) -> list[float]:
        stamp(enclosing(), self.version)
        if isinstance(self.adapter, QueryEncoder):
            return await asyncio.to_thread(self.adapter, text)
        return _adapted(self.adapter, await self.base.aembed_query(text))

    def __getattr__(self, name: str) -> Any:
        """Whatever else the app asks of its embeddings (``model_name``, …)."""
        if name.startswith("__") or name == "base":
            raise AttributeError(name)
        return getattr(self.base, name)


def _adapted(adapter: Adapter, vector: list[float]) -> list[float]:
    adapted: list[float] = adapter.query(vector).tolist()
    return adapted


def _load(folder: str | Path) -> Adapter | QueryEncoder:
    """What is in the folder, by its files."""
    is_embedder = (Path(folder) / "modules.json").is_file()
    return QueryEncoder(folder) if is_embedder else Adapter.load(folder)
