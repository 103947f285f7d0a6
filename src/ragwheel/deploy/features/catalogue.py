"""The catalogue of features, with what each measures, its group, and the allowed direction of its effect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["FEATURES", "GROUPS", "NAMES", "Feature"]


@dataclass(frozen=True)
class Feature:
    """A feature of a question and a candidate chunk.

    Args:
        name: the name in the model's files.
        group: the group of features for ablations.
        sign: 1: a larger value can only raise a chunk; -1: only lower it; 0: either.
        description: what the feature measures.
    """

    name: str
    group: str
    sign: int
    description: str


#: All features, in the order of the columns.
FEATURES: Final = (
    Feature("score_z", "retriever", 1, "the retriever's score, in standard deviations of its first ten"),
    Feature("score_gap", "retriever", 1, "distance to the best score, in spreads of the first ten"),
    Feature("rank", "retriever", 1, "minus the logarithm of the retriever's rank"),
    Feature("first", "retriever", 1, "1 / rank"),
    Feature("bm25", "words", 1, "BM25, as a share of the best in the list"),
    Feature("bm25_share", "words", 1, "BM25, as a share of what the question could reach"),
    Feature("bm25_rank", "words", 1, "minus the logarithm of the rank by BM25 within the list"),
    Feature("stems", "words", 1, "BM25 of the words' first letters, as a share of the best in the list"),
    Feature("coverage", "words", 1, "weighted share of the question's words that occur"),
    Feature("rare", "words", 1, "share of the question's three rarest words that occur"),
    Feature("pairs", "words", 1, "share of the question's neighbouring words side by side in the chunk"),
    Feature("numbers", "words", 1, "share of the question's numbers that occur"),
    Feature("title", "words", 1, "weighted share of the question's words that occur in the title"),
    Feature("early", "words", 0, "how early in the chunk the first of the question's words occurs"),
    Feature("length", "chunk", 0, "logarithm of the chunk's length in words"),
    Feature("near_copy", "chunk", 0, "a candidate that ranks higher is nearly the same text"),
    Feature("superseded", "chunk", -1, "the list holds a newer version of the chunk, or a newer near-copy"),
    Feature("age", "chunk", 0, "logarithm of the days between the chunk's date and the newest in the list"),
    Feature("source", "chunk", 0, "how often chunks of its source were relevant, as log-odds"),
    Feature("popularity", "behaviour", 1, "logarithm of the number of other questions that it answered"),
    Feature("usefulness", "behaviour", 1, "share of the questions that it was graded for and answered"),
    Feature("asked", "behaviour", 1, "likeness to an earlier question that it answered"),
    Feature("asked_against", "behaviour", -1, "likeness to an earlier question that it did not answer"),
    Feature("similarity_z", "encoder", 1, "the encoder's similarity, in standard deviations of its ten best"),
    Feature("similarity_gap", "encoder", 1, "distance to the best similarity, in spreads of the ten best"),
)  # fmt: skip
NAMES: Final = tuple(feature.name for feature in FEATURES)
GROUPS: Final = tuple(dict.fromkeys(feature.group for feature in FEATURES))
