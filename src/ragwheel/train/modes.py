"""What of an embedding model is trained: all of it, or only what embeds questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ragwheel.models.encoding import encode
from ragwheel.models.loading import load_embedder, vectors_identity
from ragwheel.models.towers import join_towers, query_tower
from ragwheel.train.adapter.embedding import embedding
from ragwheel.train.beliefs import LEAST
from ragwheel.train.dev import ndcg_of_vectors, score_embedder
from ragwheel.train.documents import Encode, bank_loss, known_chunks, make_bank
from ragwheel.train.held_out import HeldOutQuestions, Novelty
from ragwheel.train.measure import GainMeasure, LabelMeasure, Measure
from ragwheel.train.recipe import embedder_loss

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ragwheel.train.beliefs import Believed
    from ragwheel.train.options import EmbedderOptions
    from ragwheel.train.recipe import Recipe
    from ragwheel.train.run import Started
    from ragwheel.typing import Progress

__all__ = ["Given", "Side", "side_of"]


@dataclass(frozen=True)
class Given:
    """What a training works with.

    ``believed``: what side ``query`` learns from and is chosen by, instead of labels; ``cache``: whether
    vectors of the base are kept on disk.
    """

    started: Started
    recipe: Recipe
    options: EmbedderOptions
    db: Path | None
    bfloat16: bool
    cache: bool
    progress: Progress | None
    believed: Believed | None = None


class Side(Protocol):
    """One way of training an embedding model."""

    model: Any
    """What is trained: a plain SentenceTransformer."""

    columns: Mapping[str, list[Any]]
    """The rows as the loss takes them."""

    facts: Mapping[str, Any]
    """What the card tells of it."""

    measure: Measure | None
    """Compares it with the base on ``dev``; None: there is no such split."""

    def loss(self, *, cached: bool) -> Any:
        """The loss module; ``cached``: one that needs less memory, where there is one."""

    def whole(self) -> Any:
        """What is saved."""


def side_of(base: Any, given: Given) -> Side:
    """The side that the recipe asks for, of a model that was just loaded."""
    return _Query(base, given) if given.recipe.side == "query" else _Both(base, given)


class _Both:
    """All of the model: documents have to be indexed again."""

    def __init__(self, base: Any, given: Given) -> None:
        self.model, self._given = base, given
        self.columns: Mapping[str, list[Any]] = given.recipe.examples.columns
        self.facts: Mapping[str, Any] = {"side": "both"}
        guided, options = given.recipe.loss == "gist", given.options
        self._guide = None
        if guided:
            self._guide = load_embedder(options.base, device=options.device, prompts=options.prompts)
        dev, bfloat16, progress = given.started.dev, given.bfloat16, given.progress
        self.measure: Measure | None = None
        if dev is not None:
            self.measure = LabelMeasure(
                lambda: score_embedder(base, dev, bfloat16=bfloat16, progress=progress), options.seed
            )

    def loss(self, *, cached: bool) -> Any:
        training = self._given
        return embedder_loss(self.model, training.recipe, training.options, guide=self._guide, cached=cached)

    def whole(self) -> Any:
        return self.model


class _Query:
    """What embeds questions. Documents keep their vectors, and every known chunk is a negative."""

    def __init__(self, base: Any, given: Given) -> None:
        started, options, examples = given.started, given.options, given.recipe.examples
        self.model: Any = query_tower(base)
        self._base = base
        embed = embedding(options.base, device=options.device, prompts=options.prompts)

        def vectors(texts: Any, role: Any) -> Any:
            return embed(texts, role, cache=given.cache, progress=given.progress)

        believed = given.believed
        exposed = () if believed is None else {believed.texts[row.version] for row in believed.dev}
        named = {*examples.columns["positive"], *exposed}
        chunks = known_chunks(
            started.dataset, given.db, most=options.known_chunks, seed=options.seed, rows=named
        )
        self._bank = make_bank(started.dataset, examples, chunks, vectors, believed)
        self.measure: Measure | None = None
        if believed is not None and believed.dev and not options.without_dev:
            self.measure = self._gain(believed, chunks, vectors, given)
        elif (dev := started.dev) is not None:
            documents = vectors(dev.documents, "document")
            self.measure = LabelMeasure(
                lambda: ndcg_of_vectors(self.model, dev, documents, bfloat16=given.bfloat16), options.seed
            )
        self.columns: Mapping[str, list[Any]] = {
            "anchor": examples.columns["anchor"],
            "label": [*range(len(examples))],
        }
        self.facts: Mapping[str, Any] = {
            "side": "query",
            "chunks_against_each_question": len(chunks),
            "documents": vectors_identity(options.base, "document", options.prompts),
        }

    def _gain(
        self, believed: Believed, chunks: Sequence[str], vectors: Encode, training: Given
    ) -> GainMeasure:
        """By what was exposed for the questions of ``dev``, among all known chunks."""
        questions = sorted({row.query for row in believed.dev})
        number = {text: row for row, text in enumerate(chunks)}
        position = {text: row for row, text in enumerate(questions)}
        held = HeldOutQuestions(
            vectors(questions, "query"), self._bank.documents,
            np.array([position[row.query] for row in believed.dev]),
            np.array([number[believed.texts[row.version]] for row in believed.dev]),
            np.array([row.belief for row in believed.dev]),
        )  # fmt: skip
        answers = {believed.texts[row.version] for row in believed.train if row.belief >= LEAST}
        relevant = [row for row in believed.dev if row.belief >= LEAST]
        novelty = Novelty.of(
            len(questions),
            np.array([position[row.query] for row in relevant], dtype=np.int64),
            np.array([believed.texts[row.version] in answers for row in relevant], dtype=bool),
        )
        return GainMeasure(
            held,
            novelty,
            lambda: encode(self.model, questions, role="query", bfloat16=training.bfloat16),
            training.options.seed,
        )

    def loss(self, *, cached: bool) -> Any:
        del cached  # questions are short, and documents need no gradient
        return bank_loss(self.model, self._bank)

    def whole(self) -> Any:
        return join_towers(self.model, self._base)
