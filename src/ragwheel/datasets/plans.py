"""From labelled query groups to plans of their rows: negatives are mined and checked, a group at a time.

The same function runs in this process on all groups, and in each worker on its share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ragwheel.datasets.assemble import Assembler, Candidates, RowPlan
from ragwheel.datasets.group_rows import LabelledGroup
from ragwheel.datasets.strikes import Strikes
from ragwheel.labels.negatives import ChunkCorpus, Finder, GradedChunk, vet
from ragwheel.labels.policy import Policy

__all__ = ["PlannedGroup", "RowRules", "planned", "with_mined"]


@dataclass(frozen=True)
class RowRules:
    """What decides about rows beside the labels.

    Args:
        policy: its sections ``negatives``, ``outdated``, ``mining`` and ``balance``.
        negatives: of an n-tuple; None: no n-tuples are made.
        seed: see :class:`~ragwheel.datasets.BuildOptions`.
        strikes: what people struck out.
    """

    policy: Policy
    negatives: int | None
    seed: int
    strikes: Strikes

    def assembler(self, dropped: Counter[str]) -> Assembler:
        """Return what plans the rows of query groups; ``dropped`` is added to."""
        balance = self.policy.balance
        return Assembler(
            balance, negatives=self.negatives, seed=self.seed, dropped=dropped, strikes=self.strikes
        )


@dataclass(frozen=True)
class PlannedGroup:
    """A query group with the plan of its rows and the strategies of its usable negatives."""

    place: int
    split: str
    plan: RowPlan
    candidates: Candidates
    strategies: Counter[str]


def with_mined(
    groups: Iterable[LabelledGroup], corpus: ChunkCorpus, rules: RowRules, dropped: Counter[str]
) -> Iterator[tuple[LabelledGroup, list[GradedChunk]]]:
    """Yield each group with its chunks: the graded, then those that are found in the corpus."""
    finder = Finder(corpus, rules.policy, dropped)
    struck = rules.strikes.chunks
    for labelled in groups:
        key = labelled.group.key
        mined = finder.find(labelled.group.text, labelled.chunks, labelled.ranked)
        yield labelled, [*labelled.chunks, *(chunk for chunk in mined if (key, *chunk.key) not in struck)]


def planned(
    groups: Iterable[LabelledGroup], corpus: ChunkCorpus, rules: RowRules, dropped: Counter[str]
) -> Iterator[PlannedGroup]:
    """Mine, check and plan, one query group after the other; what is left out is counted in ``dropped``."""
    assembler = rules.assembler(dropped)
    for labelled, chunks in with_mined(groups, corpus, rules, dropped):
        with_text = [chunk for chunk in chunks if chunk.text.strip()]
        dropped["chunk: it has no text"] += len(chunks) - len(with_text)
        usable = vet(with_text, labelled.similar, rules.policy, dropped)
        plan = assembler.plan(labelled.group, with_text, usable)
        strategies = Counter(chunk.strategy for chunk in usable if chunk.strategy)
        candidates = assembler.candidates(plan)
        yield PlannedGroup(labelled.place, labelled.split, plan, candidates, strategies)
