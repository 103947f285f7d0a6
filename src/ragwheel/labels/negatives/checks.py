"""Which negatives may be used: the false-negative checks, in the order of the design.

A chunk that evidence speaks against can still be relevant: the LLM cites one of three good passages, a
person clicks one of them. Weak strategies pass all checks; explicit rejections only the first, for a person
said no to this very chunk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from ragwheel.labels.negatives.chunk import GradedChunk
from ragwheel.labels.policy import Negatives, Policy
from ragwheel.labels.strategies import EXEMPT
from ragwheel.labels.traces.text import jaccard, tokens

__all__ = ["CHECKS", "vet"]

#: Strategies that skip the similarity checks.
#: Strategies in which nobody looked at the chunk: the retriever's own score is asked too.
_UNSEEN: Final = ("prompted_not_cited",)


@dataclass(frozen=True)
class _Group:
    """What a negative is checked against: positives of its query and of similar ones, and the policy."""

    positives: Sequence[GradedChunk]
    positives_of_similar_queries: Collection[int]
    policy: Negatives


Check = Callable[[GradedChunk, _Group], bool]


def _known_positive(chunk: GradedChunk, group: _Group) -> bool:
    """Relevant for this query (as another version or under another id) or for a near-identical one."""
    if chunk.text_id in group.positives_of_similar_queries or any(
        chunk.text_id == positive.text_id for positive in group.positives
    ):
        return True
    return chunk.strategy not in EXEMPT and any(chunk.key == positive.key for positive in group.positives)


def _near_copy(chunk: GradedChunk, group: _Group) -> bool:
    if chunk.strategy in EXEMPT:
        return False
    words = tokens(chunk.text)
    return any(
        jaccard(words, tokens(positive.text)) >= group.policy.near_copy for positive in group.positives
    )


def _too_close(chunk: GradedChunk, group: _Group) -> bool:
    """Scored like the best positive or above, and nobody looked (Moreira et al., NV-Retriever, 2024)."""
    known = [positive.closeness for positive in group.positives if positive.closeness is not None]
    if chunk.strategy not in _UNSEEN or chunk.closeness is None or not known:
        return False
    return chunk.closeness > group.policy.score_margin * max(known)


#: Name of what was dropped, and the check, in order.
CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("negative: known positive for this or a near-identical query", _known_positive),
    ("negative: near-copy of a positive", _near_copy),
    ("negative: scored as high as the positive", _too_close),
)


def vet(
    chunks: Sequence[GradedChunk],
    positives_of_similar_queries: Collection[int],
    policy: Policy,
    dropped: Counter[str],
) -> list[GradedChunk]:
    """The negatives of one query group that pass the checks.

    Args:
        chunks: all graded chunks of the group.
        positives_of_similar_queries: ``text_id`` of positives of near-identical queries.
        policy: its ``negatives`` section.
        dropped: counts of what was left out, by check; added to.
    """
    group = _Group(
        [chunk for chunk in chunks if chunk.status == "positive"],
        positives_of_similar_queries,
        policy.negatives,
    )
    kept = []
    for chunk in chunks:
        if chunk.status != "negative":
            continue
        failed = next((name for name, check in CHECKS if check(chunk, group)), None)
        if failed is None:
            kept.append(chunk)
        else:
            dropped[failed] += 1
    return kept
