"""Redaction by Microsoft Presidio, which finds what has no fixed form: names, places, organisations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ragwheel.errors import MissingExtra
from ragwheel.redaction.patterns import Redactor, replaced

__all__ = ["presidio"]


def presidio(
    analyzer: Any = None,
    *,
    language: str = "en",
    entities: Sequence[str] | None = None,
    min_score: float = 0.35,
) -> Redactor:
    """Return a redactor that asks Presidio: ``Ada lives in London`` becomes ``[PERSON] lives in [LOCATION]``.

    It runs in the caller's thread and takes milliseconds per text, so measure it before you use it.

    Args:
        analyzer: a ``presidio_analyzer.AnalyzerEngine`` or anything with its ``analyze``; None makes
            Presidio's default one, which loads a spaCy model of some 500 MB.
        language: the language of the texts.
        entities: Presidio's entity types to look for; None: all that the analyzer has.
        min_score: findings with a lower score are ignored.

    Raises:
        MissingExtra: ``analyzer`` is None and Presidio is not installed.
    """
    engine = _default() if analyzer is None else analyzer
    wanted = None if entities is None else list(entities)

    def redact(text: str) -> str:
        results = engine.analyze(text=text, language=language, entities=wanted)
        return replaced(text, _without_overlaps([result for result in results if result.score >= min_score]))

    return redact


def _default() -> Any:
    try:
        from presidio_analyzer import AnalyzerEngine
    except ImportError as exc:
        raise MissingExtra(
            "ragwheel.redaction.presidio() needs presidio-analyzer, not installed in this Python. Next: "
            "pip install presidio-analyzer && python -m spacy download en_core_web_lg"
        ) from exc
    make: Callable[[], Any] = AnalyzerEngine
    return make()


def _without_overlaps(results: list[Any]) -> list[tuple[tuple[int, int], str]]:
    """Return spans in order with their marks.

    Overlapping spans are merged and get the mark of the best score.
    """
    spans: list[tuple[tuple[int, int], str]] = []
    surest = 0.0
    for result in sorted(results, key=lambda each: (each.start, -each.end)):
        mark = f"[{result.entity_type}]"
        if not spans or result.start >= spans[-1][0][1]:
            spans.append(((result.start, result.end), mark))
            surest = result.score
            continue
        (start, end), before = spans[-1]
        spans[-1] = (start, max(end, result.end)), mark if result.score > surest else before
        surest = max(surest, result.score)
    return spans
