"""LangChain embeddings that adapt queries and leave documents unchanged."""

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
    """Embeddings with a trained query side; use them in place of `base`. The index stays valid.

    Args:
        base: the embeddings that the index was made with.
        adapter: the result of ``ragwheel train adapter`` for these embeddings, or of ``ragwheel train
            embedder`` (which then embeds queries in place of `base`), loaded or as a folder.

    Inside :func:`ragwheel_langchain.wrap_retriever` the adapter's id is added to the retrieval's version;
    with ``instrument()`` set it yourself: ``retriever.metadata = {"ragwheel_version": embeddings.version}``.

    Raises:
        ragwheel.ConfigurationError: `base` is no LangChain ``Embeddings``.
        ragwheel.errors.ModelError: the folder has neither; or, for a query, the adapter is for vectors of
            another dimension.
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
        """The id of the adapter or model, as it appears in retrievers' versions."""
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
        """Look up other attributes in the app's embeddings (``model_name``, …)."""
        if name.startswith("__") or name == "base":
            raise AttributeError(name)
        return getattr(self.base, name)


def _adapted(adapter: Adapter, vector: list[float]) -> list[float]:
    adapted: list[float] = adapter.query(vector).tolist()
    return adapted


def _load(folder: str | Path) -> Adapter | QueryEncoder:
    """Load the adapter or query encoder in a folder."""
    is_embedder = (Path(folder) / "modules.json").is_file()
    return QueryEncoder(folder) if is_embedder else Adapter.load(folder)
