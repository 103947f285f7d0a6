"""ragwheel around LlamaIndex: every retriever and query engine of the process is captured and stays as it is.

    pip install ragwheel-llamaindex
    python quickstart_llamaindex.py
    ragwheel show

The embeddings count words and the model quotes its prompt, because these need neither weights nor a server.
"""

from __future__ import annotations

import re
from typing import Any

from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.types import CompletionResponse, LLMMetadata
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.schema import TextNode

import ragwheel
import ragwheel_llamaindex

GUIDE = {
    "brew": "Brew filter coffee with 60 grams of ground beans for each litre of water, just off the boil.",
    "grind": "Grind the beans right before brewing. Espresso wants a fine grind, a press a coarse one.",
    "store": "Keep beans in an airtight tin away from light: to store them, a freezer is fine.",
    "milk": "Milk froths best when it is cold and fresh. Stop heating at 65 degrees.",
    "descale": "Descale the machine every three months, more often where the water is hard.",
}
WORDS = sorted({word for text in GUIDE.values() for word in re.findall(r"\w+", text.lower())})


class WordCounts(BaseEmbedding):
    """Stands in for embeddings: one dimension for each word of the guide."""

    def _get_text_embedding(self, text: str) -> list[float]:
        words = re.findall(r"\w+", text.lower())
        return [float(word in words) for word in WORDS]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


class Tin(CustomLLM):
    """Stands in for the LLM."""

    @property
    def metadata(self) -> LLMMetadata:
        """Nothing to say."""
        return LLMMetadata()

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **options: Any) -> CompletionResponse:
        """Answer a prompt."""
        return CompletionResponse(text="In an airtight tin [1].")

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **options: Any) -> Any:
        """Answer a prompt in one piece."""
        yield CompletionResponse(text="In an airtight tin [1].", delta="In an airtight tin [1].")


ragwheel.configure("ragwheel.db", app="barista")
ragwheel_llamaindex.instrument()
nodes = [TextNode(id_=name, text=text) for name, text in GUIDE.items()]
engine = VectorStoreIndex(nodes, embed_model=WordCounts()).as_query_engine(llm=Tin(), similarity_top_k=2)


def main() -> None:
    """Ask the engine a question and say that the cited passage was opened."""
    question = "How should I store my beans?"
    with ragwheel.turn(question) as turn:
        answer = engine.query(question)
    ragwheel.signal(turn.handle, "click", rank=1)
    print(f"{question}\n  {answer}")
    print("Recorded in ragwheel.db. Next: ragwheel show")


if __name__ == "__main__":
    main()
