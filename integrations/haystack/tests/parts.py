"""Haystack's own in-memory parts over a small corpus, and a model that always says the same."""

import re
from collections.abc import Callable
from typing import Any

from haystack import Document, Pipeline, component
from haystack.dataclasses import StreamingChunk
from haystack.document_stores.in_memory import InMemoryDocumentStore

from ragwheel.testing import CORPUS


class HookedStore(InMemoryDocumentStore):
    """Raises, or calls a function, in the middle of a search."""

    error: Any = None
    during: Any = None

    def bm25_retrieval(self, *args: Any, **kwargs: Any) -> Any:
        if self.during is not None:
            self.during()
        if self.error is not None:
            raise self.error
        return super().bm25_retrieval(*args, **kwargs)


def store(error: Any = None, during: Any = None, *, embedded: bool = False) -> HookedStore:
    """Return a store with the contract's corpus."""
    documents = HookedStore()
    documents.error, documents.during = error, during
    documents.write_documents(
        [
            Document(
                id=c.id,
                content=c.text + " keys" * (int(c.id) % 5) + " rotated" * int(c.id),
                meta=dict(c.metadata),
                embedding=[1.0, float(c.id)] if embedded else None,
            )
            for c in CORPUS
        ]
    )
    return documents


@component
class FixedGenerator:
    """Answers everything with the same text; streams it word by word, as Haystack's generators do."""

    def __init__(self, text: str) -> None:
        self.text = text

    @component.output_types(replies=list[str])
    def run(
        self, prompt: str, streaming_callback: Callable[[StreamingChunk], None] | None = None
    ) -> dict[str, Any]:
        """Return the text."""
        for word in re.findall(r"\S+\s*", self.text) if streaming_callback else ():
            streaming_callback(StreamingChunk(word))
        return {"replies": [self.text]}


@component
class Reversing:
    """A ranker."""

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document]) -> dict[str, Any]:
        """Reverse the documents."""
        return {"documents": documents[::-1]}


def piped(retriever: Any) -> Pipeline:
    """Return a pipeline of one retriever."""
    pipeline = Pipeline()
    pipeline.add_component("retriever", retriever)
    return pipeline
