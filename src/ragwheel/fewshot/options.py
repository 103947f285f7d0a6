"""How a library is built."""

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
    """What becomes an example, and how many.

    Args:
        n: examples in all; with ``per_group`` for each type of question.
        per_group: see ``n``.
        groups: types of question where the app gives none; None: as many as separate best, up to 12.
        label_key: metadata key of chunks that names the type of question (of the first cited chunk).
        label_of: the app's own type of a question; wins over ``label_key``.
        embed: ``lexical`` (no model), ``minilm``, a model's folder or hub id, or a function.
        max_answer_chars: longer answers are left out, never cut.
        max_rare_share: share of a question's words that may name one thing hardly anybody else asks about.
        unusual_share: share of the candidates, the farthest from what people ask, that is left out.
        near_copy: similarity of questions from which only the better received is kept.
        since_ns: what was asked before (Unix nanoseconds) is no example any more; None: all may be.
        redact: takes personal data out of every text; None: :func:`ragwheel.redaction.standard`.
        population: questions that the examples stand for are drawn down to this many.
        seed: of that draw and of the clustering. The same store, options and seed give the same examples.
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
        """Raise ConfigurationError for what cannot be."""
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
