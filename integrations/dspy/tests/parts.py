"""DSPy's own in-memory parts over the contract's corpus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dspy
import numpy as np

from ragwheel.testing import CORPUS

TEXTS = [chunk.text for chunk in CORPUS]


def embed(texts: list[str]) -> np.ndarray:
    """Vectors by letter counts: texts that differ have vectors that differ."""
    return np.array(
        [[text.count(letter) + len(text) / 1000 for letter in "0123456789keyrotpa"] for text in texts]
    )


def embeddings(k: int = 4, **options: Any) -> Any:
    return dspy.retrievers.Embeddings(TEXTS, embed, k=k, **options)


class RetrievalModel:
    """A retrieval model as ``dspy.configure(rm=...)`` takes it, which may raise or call something."""

    def __init__(self, error: BaseException | None = None, during: Callable[[], None] | None = None) -> None:
        self.index = embeddings(k=12)
        self.error, self.during = error, during

    def __call__(self, query: str, k: int = 3, **options: Any) -> list[Any]:
        if self.error is not None:
            raise self.error
        if self.during is not None:
            self.during()
        return [dspy.Prediction(long_text=text) for text in self.index(query).passages[:k]]


class FirstTwo(dspy.Retrieve):
    """A retriever that runs another one."""

    def __init__(self, inner: Any) -> None:
        super().__init__(k=2)
        self.inner = inner

    def forward(self, query: str, k: int | None = None, **options: Any) -> Any:
        return dspy.Prediction(passages=self.inner(query).passages[:2])


class RAG(dspy.Module):
    """The program of DSPy's tutorial."""

    def __init__(self, retrieve: Any) -> None:
        super().__init__()
        self.retrieve = retrieve
        self.respond = dspy.Predict("context: list[str], question -> answer")

    def forward(self, question: str) -> Any:
        return self.respond(context=self.retrieve(question).passages, question=question)
