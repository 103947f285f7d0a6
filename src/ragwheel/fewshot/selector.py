"""Selection of examples for a question in the running app; needs numpy only."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ragwheel.errors import ConfigurationError, ModelError
from ragwheel.fewshot.embedding import checked, encoder_of, model
from ragwheel.fewshot.examples import Example, Library, example_id
from ragwheel.fewshot.lexical import Lexical
from ragwheel.fewshot.selecting import mmr, products
from ragwheel.typing import Embed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["Selector"]

_LEAST_ROOM = 64


class Selector:
    """Selects k examples for a question from its ``fetch_k`` nearest, by maximal marginal relevance.

    ::

        selector = Selector("examples.json", k=4)
        with ragwheel.turn(question) as turn:
            examples = selector.select(question)
            turn.examples(examples)                # so that their effect can be counted

    It is thread-safe, also while examples are added: a selection sees a consistent set of examples.

    Args:
        library: a library, its path, or examples.
        k: the number of examples to select.
        fetch_k: the number of nearest examples to choose from; at least k.
        weight: 1 uses similarity only, 0 diversity only.
        embed: returns vectors for texts; default: the embedding that the library was built with.

    Raises:
        ConfigurationError: a value cannot be used; or the library was built with a function, which must be
            given.
        DatasetError: there is no library at that path.
    """

    def __init__(
        self,
        library: Library | str | Path | Iterable[Example],
        *,
        k: int = 4,
        fetch_k: int = 20,
        weight: float = 0.7,
        embed: Embed | str | None = None,
    ) -> None:
        if k < 1 or fetch_k < k or not 0 <= weight <= 1:
            raise ConfigurationError(
                f"Selector: got k={k}, fetch_k={fetch_k}, weight={weight}; "
                "allowed: k from 1, fetch_k from k, weight 0 to 1"
            )
        if isinstance(library, (str, Path)):
            library = Library.load(library)
        examples = library.examples if isinstance(library, Library) else tuple(library)
        self.k, self.fetch_k, self.weight = k, fetch_k, weight
        self._embed = _embed(library, embed, [example.question for example in examples])
        self._lock = threading.Lock()
        self._examples: list[Example] = []  # append-only; readers use the first `count` entries
        self._vectors: Floats = np.zeros((0, 0), dtype=np.float32)
        self._now: tuple[Floats, int] = (self._vectors, 0)
        if examples:
            self._append(examples, checked(self._embed, [example.question for example in examples]))

    def __len__(self) -> int:
        return self._now[1]

    def select(self, question: str, k: int | None = None) -> list[Example]:
        """The examples for a question, most relevant first; fewer than k where there are no more.

        Raises:
            ModelError: the embedding did not return one vector of the right length.
        """
        return self.select_vector(checked(self._embed, [question])[0], k)

    def select_vector(self, vector: Sequence[float] | Floats, k: int | None = None) -> list[Example]:
        """Return the examples for a question's vector, which need not have length 1."""
        vectors, n = self._now
        k = self.k if k is None else k
        if not n or k < 1:
            return []
        asked = np.asarray(vector, dtype=np.float32)
        if asked.shape != (vectors.shape[1],):
            raise ModelError(f"a question's vector: got shape {asked.shape}, allowed: ({vectors.shape[1]},)")
        length = float(np.linalg.norm(asked))
        relevance = products(vectors[:n], np.asarray(asked / (length or 1), dtype=np.float32))
        fetch = min(max(self.fetch_k, k), n)
        near = np.argpartition(-relevance, fetch - 1)[:fetch] if fetch < n else np.arange(n)
        near = near[np.lexsort((near, -relevance[near]))]
        return [self._examples[i] for i in near[mmr(relevance[near], vectors[near], k, self.weight)].tolist()]

    def add(self, example: Example | tuple[str, str]) -> Example:
        """Add an example, or a question and its answer, for all later selections."""
        if not isinstance(example, Example):
            question, answer = example
            example = Example(example_id(question, answer), question, answer)
        vector = checked(self._embed, [example.question])
        with self._lock:
            self._append([example], vector)
        return example

    def _append(self, examples: Sequence[Example], vectors: Floats) -> None:
        n = self._now[1]
        if n and vectors.shape[1] != self._vectors.shape[1]:
            raise ModelError(
                f"an example's vector: got {vectors.shape[1]} numbers, allowed: {self._vectors.shape[1]}"
            )
        total = n + len(examples)
        if total > len(
            self._vectors
        ):  # a new array, so that concurrent readers of the old one are not affected
            room = np.zeros((max(2 * total, _LEAST_ROOM), vectors.shape[1]), dtype=np.float32)
            if n:
                room[:n] = self._vectors[:n]
            self._vectors = room
        self._vectors[n:total] = vectors
        self._examples += examples
        self._now = (self._vectors, total)


def _embed(library: Any, embed: Embed | str | None, questions: list[str]) -> Embed:
    if callable(embed):
        return embed
    if embed is None and isinstance(library, Library):
        return encoder_of(library)
    return Lexical.fit(questions) if embed in (None, "lexical") else model(str(embed))
