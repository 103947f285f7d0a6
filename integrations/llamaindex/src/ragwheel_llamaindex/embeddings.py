"""LlamaIndex embeddings whose queries are adapted and whose texts are as they were indexed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr

from ragwheel import ConfigurationError
from ragwheel.deploy import Adapter, QueryEncoder, load_query_model, query_embedder

__all__ = ["EmbeddingsAdapter"]


class EmbeddingsAdapter(BaseEmbedding):
    """`base` with queries as they were trained: put it where the app has `base`, the index stays.

    Args:
        base: the embeddings that the index was made with.
        model: what ``ragwheel train adapter`` made for them, or ``ragwheel train embedder`` (which then
            embeds queries in place of `base`), loaded or as a folder.

    Inside a recorded retriever the retrieval's version gets the model's.

    Raises:
        ragwheel.ConfigurationError: `base` is no LlamaIndex embedding.
        ragwheel.errors.ModelError: there is no model in that folder; or, when a query comes, it is an adapter
            for vectors of another dimension.
    """

    base: BaseEmbedding
    _model: Any = PrivateAttr()
    _embed_query: Any = PrivateAttr()
    _aembed_query: Any = PrivateAttr()

    def __init__(self, base: BaseEmbedding, model: Adapter | QueryEncoder | str | Path) -> None:
        if not isinstance(base, BaseEmbedding):
            raise ConfigurationError(
                f"EmbeddingsAdapter: got a {type(base).__name__}, allowed: a LlamaIndex BaseEmbedding"
            )
        loaded = load_query_model(model)
        super().__init__(base=base, model_name=base.model_name, embed_batch_size=base.embed_batch_size)
        self._model = loaded
        self._embed_query = query_embedder(base._get_query_embedding, loaded)
        self._aembed_query = query_embedder(base._aget_query_embedding, loaded)

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex stores it by."""
        return "EmbeddingsAdapter"

    @property
    def version(self) -> str:
        """The model's id, as retrievers' versions carry it."""
        return str(self._model.version)

    def _get_query_embedding(self, query: str) -> list[float]:
        return list(self._embed_query(query))

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return list(await self._aembed_query(query))

    def _get_text_embedding(self, text: str) -> list[float]:
        return list(self.base._get_text_embedding(text))

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return list(await self.base._aget_text_embedding(text))

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return list(self.base._get_text_embeddings(texts))

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return list(await self.base._aget_text_embeddings(texts))
