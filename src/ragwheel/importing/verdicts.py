"""The meaning of scores, labels and reactions: liked or not, a rating, or a grade of relevance.

Tools store whatever the app sends: 1 may be a thumb or one star of five. The meaning is inferred from all
scores of the same name: yes or no if there are only 0 and 1 (or -1 and 1), else a scale up to 1, 5, 10 or
100. Labels are looked up; an unknown label is counted and never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from ragwheel.importing.records import Feedback

__all__ = ["Scales", "grade", "is_person", "reason_code", "verdict"]

_YES: Final = frozenset({
    "thumbs_up", "thumbsup", "thumb_up", "up", "like", "liked", "upvote", "positive", "pos", "good", "great",
    "yes", "y", "true", "correct", "helpful", "useful", "relevant", "fully_relevant", "accept", "accepted",
    "satisfied", "happy", "pass", "passed", "👍", "+1", ":+1:", ":thumbsup:", "❤️", "😀", "🙂", "✅",
})  # fmt: skip
_NO: Final = frozenset({
    "thumbs_down", "thumbsdown", "thumb_down", "down", "dislike", "disliked", "downvote", "negative", "neg",
    "bad", "poor", "no", "n", "false", "incorrect", "wrong", "unhelpful", "not_helpful", "useless",
    "irrelevant", "unrelated", "not_relevant", "non_relevant", "reject", "rejected", "unsatisfied",
    "dissatisfied", "unhappy", "fail", "failed", "👎", "_1", "-1", ":_1:", ":-1:", ":thumbsdown:",
    "😞", "🙁", "❌",
})  # fmt: skip
_PARTLY: Final = frozenset(
    (
        "partial",
        "partially",
        "partially_relevant",
        "somewhat_relevant",
        "partly",
        "related",
        "neutral",
        "mixed",
    )
)
_PERSON: Final = re.compile(
    r"user|human|person|people|customer|client|visitor|agent_?rating|feedback|thumb|vote|like|star|rating|csat|satisf|"
    r"helpful|reaction|survey|nps|happy",
    re.IGNORECASE,
)
_MACHINE: Final = re.compile(
    r"hallucinat|faithful|ground(ed)?|toxic|ragas|llm|judge|auto|eval|precision|recall|relevanc[ey]|coheren|bleu|rouge|"
    r"similarity|latency|token|cost|bias|conciseness|correctness",
    re.IGNORECASE,
)


class Scales:
    """The lowest and highest score of every name, over all feedback of an import."""

    def __init__(self, feedback: Iterable[Feedback] = ()) -> None:
        self._bounds: dict[tuple[str, str], tuple[float, float, bool]] = {}
        for record in feedback:
            self.learn(record)

    def learn(self, record: Feedback) -> None:
        """Add a score to the observed range of its name."""
        if record.score is None:
            return
        low, high, whole = self._bounds.get((record.tool, record.name), (record.score, record.score, True))
        self._bounds[record.tool, record.name] = (
            min(low, record.score),
            max(high, record.score),
            whole and record.score.is_integer(),
        )

    def binary(self, record: Feedback) -> bool:
        """Return whether scores of this name are only yes or no."""
        low, high, whole = self._bounds.get((record.tool, record.name), (0.0, 1.0, True))
        return record.boolean or (whole and low >= -1 and high <= 1)

    def of_five(self, record: Feedback) -> float | None:
        """Return a score on the scale from 0 to 5; None if its scale is unknown."""
        if record.score is None:
            return None
        low, high, _ = self._bounds.get((record.tool, record.name), (record.score, record.score, True))
        if low < 0:
            return 5.0 * (record.score + 1) / 2 if low >= -1 and high <= 1 else None
        top = next((top for top in (1.0, 5.0, 10.0, 100.0) if high <= top), None)
        return None if top is None else round(5.0 * record.score / top, 4)


def verdict(record: Feedback, scales: Scales) -> tuple[str, float | None] | None:
    """Return the kind of signal and its value for feedback on an answer; None if it is no verdict."""
    if record.score is not None:
        if scales.binary(record):
            return ("thumbs_up" if record.score > 0 else "thumbs_down"), None
        value = scales.of_five(record)
        return None if value is None else ("rating", value)
    word = _word(record.label)
    if word in _YES:
        return "thumbs_up", None
    return ("thumbs_down", None) if word in _NO else None


def grade(record: Feedback, scales: Scales) -> float | None:
    """Return the grade of relevance, 0 to 5, in feedback on a document; None if it has none."""
    if record.score is not None:
        return scales.of_five(record)
    word = _word(record.label)
    return 5.0 if word in _YES else 0.0 if word in _NO else 3.0 if word in _PARTLY else None


def reason_code(record: Feedback) -> str | None:
    """Return the label as a short code, if it says more than the verdict."""
    word = _word(record.label)
    if not word or len(word) > 64 or word in _YES | _NO | _PARTLY or not re.fullmatch(r"[\w.:-]+", word):
        return None
    return word


def is_person(record: Feedback, names: frozenset[str]) -> bool:
    """Return whether a person gave the feedback.

    If the tool does not record the author, the name decides: ``user_feedback`` is a person's,
    ``faithfulness`` is not. Names in ``names`` are always a person's.
    """
    if record.author == "unknown":
        return record.name in names or (
            bool(_PERSON.search(record.name))
            and not (_MACHINE.search(record.name) and "user" not in record.name.lower())
        )
    return record.author == "person"


def _word(label: str | None) -> str:
    return re.sub(r"[\s-]+", "_", label.strip().lower()) if label else ""
