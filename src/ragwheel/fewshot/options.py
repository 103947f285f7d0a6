"""The options of building a library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ragwheel.errors import ConfigurationError
from ragwheel.typing import Embed

__all__ = ["FewshotOptions"]

"""Texts to vectors, shape (texts, dimension); any length, any float type."""
"""Called as ``(stage, done, total)``."""


@dataclass(frozen=True)
class FewshotOptions:
    """The options of selecting examples.

    Args:
        n: the number of examples; with ``per_group`` the number for each type of question.
        per_group: see ``n``.
        groups: the number of types of question without labels of the app; None: the best number up to 12.
        label_key: the metadata key of chunks that holds the type of question (of the first cited chunk).
        label_of: a function of the app that returns the type of a question; it overrides ``label_key``.
        embed: ``lexical`` (no model), ``minilm``, a model's folder or hub id, or a function.
        max_answer_chars: longer answers are left out, never cut.
        max_rare_share: the largest share of a question's words that may be rare names.
        unusual_share: the share of the most unusual candidates to leave out.
        near_copy: of questions with at least this similarity only the best received is kept.
        since_ns: earlier questions (Unix nanoseconds) are left out; None: none is too old.
        redact: removes personal data from a text; None: :func:`ragwheel.redaction.standard`.
        population: the largest number of questions, drawn at random, that the examples should represent.
        seed: the seed of that draw and of the clustering. The same store, options and seed give the same
            examples.
    """

    n: int = 30
    per_group: bool = False
    groups: int | None = None
    label_key: str | None = None
    label_of: Callable[[str], str | None] | None = None
    embed: str | Embed = "lexical"
    max_answer_chars: int = 4_000
    max_rare_share: float = 0.34
    unusual_share: float = 0.05
    near_copy: float = 0.95
    since_ns: int | None = None
    redact: Callable[[str], str] | None = None
    population: int = 2_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ConfigurationError if a value cannot be used."""
        checks = (
            ("n", self.n, self.n >= 1, "1 or more"),
            ("groups", self.groups, self.groups is None or self.groups >= 1, "1 or more, or None"),
            ("max_answer_chars", self.max_answer_chars, self.max_answer_chars >= 1, "1 or more"),
            ("max_rare_share", self.max_rare_share, 0 <= self.max_rare_share <= 1, "0 to 1"),
            ("unusual_share", self.unusual_share, 0 <= self.unusual_share < 1, "0 to below 1"),
            ("near_copy", self.near_copy, 0 < self.near_copy <= 1, "above 0, up to 1"),
            ("population", self.population, self.population >= 10, "10 or more"),
        )
        for name, got, good, allowed in checks:
            if not good:
                raise ConfigurationError(f"few-shot {name}: got {got!r}, allowed: {allowed}")
