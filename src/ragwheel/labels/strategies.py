"""Every way in which a chunk becomes a negative, described once, most trusted first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["EXEMPT", "MINED", "STRATEGIES", "NegativeStrategy", "mined_reason"]


@dataclass(frozen=True)
class NegativeStrategy:
    """A strategy of negatives.

    Attributes:
        name: as in the column ``negative_strategy``.
        exempt: True where similarity to a positive is no reason against the negative.
        mined: the reason of a negative that is taken from the corpus, with the positive's id for ``{0}``;
            empty where evidence from traces names the negative. Its confidence is in ``[mining.confidence]``.
    """

    name: str
    exempt: bool = False
    mined: str = ""


_ENTRIES: Final = (
    NegativeStrategy("judged", exempt=True),
    NegativeStrategy("explicit_rejection", exempt=True),
    NegativeStrategy("outdated_version", exempt=True, mined="an older version of {0}, which is relevant"),
    NegativeStrategy("bounce"),
    NegativeStrategy("passed_over"),
    NegativeStrategy("prompted_not_cited"),
    NegativeStrategy("pre_reformulation"),
    NegativeStrategy("neighbour_category", mined="near the question in words, of another category than {0}"),
    NegativeStrategy(
        "same_entity", mined="about the same thing as the question, and further from it than {0}"
    ),
    NegativeStrategy("mined", mined="near the question in words, and further from it than {0}"),
)

#: Names of all strategies; of several that apply to a chunk the first names the negative.
STRATEGIES: Final = tuple(entry.name for entry in _ENTRIES)
#: Strategies that take negatives from the corpus; the policy states the confidence of each.
MINED: Final = tuple(entry.name for entry in _ENTRIES if entry.mined)
#: Strategies whose negatives skip the similarity checks.
EXEMPT: Final = tuple(entry.name for entry in _ENTRIES if entry.exempt)
_REASONS: Final = {entry.name: entry.mined for entry in _ENTRIES if entry.mined}


def mined_reason(strategy: str, positive: str) -> str:
    """Say why a chunk of the corpus is a negative beside the positive with this id."""
    return _REASONS[strategy].format(positive)
