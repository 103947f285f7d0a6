"""Every kind of evidence: its direction, its channel, and the strategy a negative built on it is named by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["CHANNELS", "KINDS", "STRATEGIES", "Kind"]


@dataclass(frozen=True)
class Kind:
    """Direction +1 for, -1 against, 0 says the grade itself; no channel: a person's judgment, which wins."""

    direction: int
    channel: str = ""
    strategy: str = ""
    says: str = ""


#: Names of negatives, most trusted first; the first of a chunk's that applies names it.
STRATEGIES: Final = (
    "judged", "explicit_rejection", "outdated_version", "bounce", "passed_over", "prompted_not_cited",
    "pre_reformulation", "neighbour_category", "same_entity", "mined",
)  # fmt: skip
CHANNELS: Final = ("citation", "opening", "reading", "explicit", "reformulation", "judge")

KINDS: Final[dict[str, Kind]] = {
    "cited": Kind(+1, "citation", says="cited in the answer"),
    "click": Kind(+1, "opening", says="clicked"),
    "copy": Kind(+1, "opening", says="copied"),
    "expand": Kind(+1, "opening", says="expanded"),
    "bookmark": Kind(+1, "opening", says="bookmarked"),
    "dwell": Kind(+1, "reading", says="read"),
    "more_like_this": Kind(+1, "opening", says="asked for more like it"),
    "thumbs_up": Kind(+1, "explicit", says="given a thumbs-up"),
    "rating_high": Kind(+1, "explicit", says="rated 4 or more"),
    "prefer_winner": Kind(+1, "explicit", says="preferred over another chunk"),
    "reformulated": Kind(+1, "reformulation", says="useful after the question was put differently"),
    "pre_reformulation": Kind(
        -1, "reformulation", "pre_reformulation", says="on top when the question had to be put differently"
    ),
    "judged_llm": Kind(0, "judge", "judged", says="graded by an LLM judge"),
    "judged_human": Kind(0, "", "judged", says="graded by a person"),
    "bounce": Kind(-1, "reading", "bounce", says="opened and left right away"),
    "passed_over": Kind(-1, "opening", "passed_over", says="shown and not opened"),
    "prompted_not_cited": Kind(-1, "citation", "prompted_not_cited", says="in the prompt and not cited"),
    "delete": Kind(-1, "explicit", "explicit_rejection", says="deleted from the results"),
    "thumbs_down": Kind(-1, "explicit", "explicit_rejection", says="given a thumbs-down"),
    "rating_low": Kind(-1, "explicit", "explicit_rejection", says="rated 1 or less"),
    "prefer_loser": Kind(-1, "explicit", "explicit_rejection", says="lost against another chunk"),
}
