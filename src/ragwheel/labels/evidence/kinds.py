"""Every kind of evidence: its direction, its channel, and the strategy a negative built on it is named by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ragwheel.kinds import ATTENTION, BUILT_IN

__all__ = ["CHANNELS", "EXPLICIT", "KINDS", "EvidenceKind"]


@dataclass(frozen=True)
class EvidenceKind:
    """A kind of evidence.

    Attributes:
        direction: +1 for relevance, -1 against it; 0 where the evidence is a grade.
        channel: the instrument that it is read by; empty for a person's judgment, which wins over all.
        strategy: the name of negatives that are built on it.
        description: what happened to the chunk, in words.
    """

    direction: int
    channel: str = ""
    strategy: str = ""
    description: str = ""


CHANNELS: Final = ("citation", "opening", "reading", "explicit", "reformulation", "judge")


SIGNALS: Final = {kind.name: kind for kind in BUILT_IN if kind.direction}


def _of_signal(name: str) -> EvidenceKind:
    """The evidence that a signal is by itself."""
    signal = SIGNALS[name]
    channel = "opening" if signal.attention else "explicit"
    strategy = "explicit_rejection" if signal.direction < 0 else ""
    return EvidenceKind(signal.direction, channel, strategy, signal.phrase)


_ATTENTION: Final = {name: _of_signal(name) for name in ATTENTION}
#: Signals that are evidence under their own name; a comparison is evidence for one chunk and against another.
EXPLICIT: Final = {
    name: _of_signal(name)
    for name, kind in SIGNALS.items()
    if not kind.attention and kind.about != "comparison"
}

KINDS: Final[dict[str, EvidenceKind]] = {
    "cited": EvidenceKind(+1, "citation", description="cited in the answer"),
    **_ATTENTION,
    "dwell": EvidenceKind(+1, "reading", description="read"),
    **{name: kind for name, kind in EXPLICIT.items() if kind.direction > 0},
    "rating_high": EvidenceKind(+1, "explicit", description="rated 4 or more"),
    "prefer_winner": EvidenceKind(+1, "explicit", description=SIGNALS["prefer"].phrase),
    "reformulated": EvidenceKind(
        +1, "reformulation", description="useful after the question was put differently"
    ),
    "pre_reformulation": EvidenceKind(
        -1,
        "reformulation",
        "pre_reformulation",
        description="on top when the question had to be put differently",
    ),
    "judged_llm": EvidenceKind(0, "judge", "judged", description="graded by an LLM judge"),
    "judged_human": EvidenceKind(0, "", "judged", description="graded by a person"),
    "bounce": EvidenceKind(-1, "reading", "bounce", description="opened and left right away"),
    "passed_over": EvidenceKind(-1, "opening", "passed_over", description="shown and not opened"),
    "prompted_not_cited": EvidenceKind(
        -1, "citation", "prompted_not_cited", description="in the prompt and not cited"
    ),
    **{name: kind for name, kind in EXPLICIT.items() if kind.direction < 0},
    "rating_low": EvidenceKind(-1, "explicit", "explicit_rejection", description="rated 1 or less"),
    "prefer_loser": EvidenceKind(
        -1, "explicit", "explicit_rejection", description="lost against another chunk"
    ),
}
