"""The negatives of a query group that no evidence names: outdated versions, and what is mined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

from ragwheel.labels.negatives.chunk import GradedChunk
from ragwheel.labels.negatives.corpus import ChunkCorpus, CorpusChunk
from ragwheel.labels.negatives.mining import Need, mine
from ragwheel.labels.negatives.outdated import Older
from ragwheel.labels.policy import Policy
from ragwheel.labels.reasons import Reason
from ragwheel.labels.strategies import mined_reason

__all__ = ["Finder"]

_POSITIVES: Final = 3


class Finder:
    """Finds them; one for a build.

    Args:
        corpus: all chunks ever seen.
        policy: its sections ``negatives``, ``outdated`` and ``mining``.
        dropped: counts by rule; added to.
    """

    def __init__(self, corpus: ChunkCorpus, policy: Policy, dropped: Counter[str]) -> None:
        self._corpus, self._policy, self._dropped = corpus, policy, dropped
        self._older = Older(corpus, policy, dropped)

    def find(self, query: str, chunks: Sequence[GradedChunk], ranked: Collection[int]) -> list[GradedChunk]:
        """Negatives beyond those among ``chunks``, at most ``mining.per_query`` mined ones.

        Args:
            query: the group's wording.
            chunks: all graded chunks of the group; without a positive nothing is found.
            ranked: the chunk versions that any retrieval of the group ranked, graded or not.
        """
        best = sorted(
            (chunk for chunk in chunks if chunk.status == "positive" and chunk.text.strip()),
            key=lambda chunk: (-chunk.confidence, chunk.chunk_version),
        )
        positives = tuple(self._corpus.of[chunk.chunk_version] for chunk in best)
        if not positives:
            return []
        graded = {chunk.chunk_version for chunk in chunks}
        rule = self._policy.mining
        found: list[GradedChunk] = []
        for positive in positives[:_POSITIVES]:
            for old in self._older.versions(positive, query, graded):
                graded.add(old.chunk_version)
                found.append(self._made(old, positive, "outdated_version"))
        wanted = rule.per_query - sum(chunk.status == "negative" for chunk in chunks) if rule.enabled else 0
        if wanted > 0:
            texts = {chunk.text_id for chunk in chunks} | {chunk.text_id for chunk in found}
            need = Need(query, positives, {*ranked, *graded}, texts)
            for chunk, strategy in mine(self._corpus, need, rule, self._dropped):
                found.append(self._made(chunk, positives[0], strategy))
                wanted -= 1
                if not wanted:
                    break
        return found

    def _made(self, chunk: CorpusChunk, positive: CorpusChunk, strategy: str) -> GradedChunk:
        sure = self._policy.mining.confidence[strategy]
        reason = Reason(
            kind=strategy,
            direction=-1,
            n=1,
            subjects=0,
            text=mined_reason(strategy, positive.chunk_id),
            retrieval_ids=(),
            turn_ids=(),
            signal_ids=(),
        )
        return GradedChunk(
            chunk_version=chunk.chunk_version,
            source=chunk.source,
            chunk_id=chunk.chunk_id,
            text_id=chunk.text_id,
            text=self._corpus.text_of(chunk.text_id),
            status="negative",
            grade=round(5 * (1 - sure), 3),
            confidence=sure,
            strategy=strategy,
            closeness=None,
            reasons=(reason,),
        )
