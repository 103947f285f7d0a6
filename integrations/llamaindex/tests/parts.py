"""LlamaIndex's own in-memory parts over a small corpus."""

from __future__ import annotations

import hashlib
from typing import Any

from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.types import CompletionResponse, LLMMetadata
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.schema import TextNode

from ragwheel.testing import CORPUS


class HookedEmbedding(BaseEmbedding):
    """Embeds by hash; raises, or calls a function, in the middle of a search."""

    error: Any = None
    during: Any = None

    def _get_text_embedding(self, text: str) -> list[float]:
        digest = hashlib.sha256(text.encode()).digest()
        return [byte / 255 - 0.5 for byte in digest[:16]]

    def _get_query_embedding(self, query: str) -> list[float]:
        if self.during is not None:
            self.during()
        if self.error is not None:
            raise self.error
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


class FixedModel(CustomLLM):
    """Answers everything with the same text, in pieces where it is asked to stream."""

    text: str = ""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata()

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=self.text)

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        def pieces() -> Any:
            words = self.text.split(" ")
            for n, word in enumerate(words, 1):
                delta = word if n == 1 else " " + word
                yield CompletionResponse(text=" ".join(words[:n]), delta=delta)

        return pieces()


def handbook(error: Any = None, during: Any = None) -> VectorStoreIndex:
    """An index over the contract's corpus."""
    nodes = [TextNode(id_=c.id, text=c.text, metadata=dict(c.metadata)) for c in CORPUS]
    return VectorStoreIndex(nodes, embed_model=HookedEmbedding(error=error, during=during))
