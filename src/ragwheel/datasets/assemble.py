"""Graded chunks of one query group to dataset rows.

Three steps, so that workers can share them: a *plan* per query group (which chunks, in which order), the
*choice* under caps that hold over the whole split, which needs the groups one after the other but whole
numbers only, and the rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from ragwheel.datasets.splits import Group
from ragwheel.datasets.strikes import Strikes
from ragwheel.labels.negatives import GradedChunk
from ragwheel.labels.policy import Balance
from ragwheel.labels.strategies import STRATEGIES
from ragwheel.labels.traces.text import normalise

__all__ = ["Assembler", "Candidates", "Choice", "Row", "RowPlan", "UseCaps", "planned_rows", "seeded"]


@dataclass(frozen=True)
class Row:
    """A row of one config, and the chunks it came from with their roles."""

    config: str
    values: dict[str, Any]
    chunks: tuple[tuple[str, GradedChunk], ...]


@dataclass(frozen=True)
class RowPlan:
    """The chunks of a query group that rows may be made of: one per text, positives first, best first."""

    group: Group
    graded: tuple[GradedChunk, ...]

    @property
    def positives(self) -> list[GradedChunk]:
        """Those that are relevant."""
        return [chunk for chunk in self.graded if chunk.status == "positive"]

    @property
    def negatives(self) -> list[GradedChunk]:
        """Those that passed the checks of negatives."""
        return [chunk for chunk in self.graded if chunk.status == "negative"]

    @property
    def has_list(self) -> bool:
        """Whether the group makes a row of the config ``lists``."""
        return 0 < len(self.positives) < len(self.graded)


@dataclass(frozen=True)
class Candidates:
    """What a choice needs of a plan: the chunk versions of its positives and negatives.

    ``struck`` are the (positive, negative) pairs, as indexes, whose triplet a person struck out.
    """

    positives: Sequence[int]
    negatives: Sequence[int]
    struck: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class Choice:
    """A positive that makes a row, and the negatives of its n-tuple and of its triplets, as indexes."""

    positive: int
    ntuple: Sequence[int] = ()
    negatives: Sequence[int] = ()


def seeded(seed: int, *parts: object) -> int:
    """A number that looks random and depends on nothing but its arguments."""
    text = "\x1f".join(map(str, (seed, *parts)))
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


class Assembler:
    """Makes the rows of one split; remembers how often each chunk was used.

    Args:
        balance: caps per query and per chunk.
        negatives: of an n-tuple; None: no n-tuples are made.
        seed: see :class:`~ragwheel.datasets.BuildOptions`.
        dropped: counts by rule; added to.
        strikes: triplets that people struck out.
    """

    def __init__(
        self,
        balance: Balance,
        *,
        negatives: int | None,
        seed: int,
        dropped: Counter[str],
        strikes: Strikes | None = None,
    ) -> None:
        self._balance, self._seed, self._dropped = balance, seed, dropped
        self._struck = strikes.rows if strikes else frozenset()
        self._caps = UseCaps(balance, negatives=negatives, dropped=dropped)

    def rows(
        self, group: Group, chunks: Sequence[GradedChunk], negatives: Sequence[GradedChunk]
    ) -> Iterator[Row]:
        """Rows of one query group from its positives, vetted negatives and chunks of the middle."""
        plan = self.plan(group, chunks, negatives)
        return planned_rows(plan, self._caps.choose(self.candidates(plan)), self._balance.docs_per_list)

    def plan(self, group: Group, chunks: Sequence[GradedChunk], negatives: Sequence[GradedChunk]) -> RowPlan:
        """Which chunks of a query group are used at all, and in which order."""
        known = self._ranked(group, [chunk for chunk in chunks if chunk.status == "positive"])
        middle = [chunk for chunk in chunks if chunk.status == "middle"]
        graded = self._distinct([*known, *middle, *self._ranked(group, negatives)])
        return RowPlan(group, tuple(graded))

    def candidates(self, plan: RowPlan) -> Candidates:
        """Return what :meth:`UseCaps.choose` needs of a plan."""
        positives, negatives = plan.positives, plan.negatives
        struck = {
            (p, n)
            for p, positive in enumerate(positives if self._struck else ())
            for n, negative in enumerate(negatives)
            if (plan.group.key, positive.key, negative.key) in self._struck
        }
        return Candidates(
            [chunk.chunk_version for chunk in positives],
            [chunk.chunk_version for chunk in negatives],
            frozenset(struck),
        )

    def _ranked(self, group: Group, chunks: Sequence[GradedChunk]) -> list[GradedChunk]:
        """Most trusted strategy first, then the surest; equal ones in an order that the seed decides."""
        return sorted(
            chunks,
            key=lambda chunk: (
                STRATEGIES.index(chunk.strategy) if chunk.strategy else -1,
                -chunk.confidence,
                seeded(self._seed, group.key, chunk.chunk_version),
            ),
        )

    def _distinct(self, chunks: Sequence[GradedChunk]) -> list[GradedChunk]:
        """One chunk per text: the same passage under two ids is one row."""
        texts: dict[str, GradedChunk] = {}
        for chunk in chunks:
            texts.setdefault(normalise(chunk.text), chunk)
        self._dropped["row: the same text under another id"] += len(chunks) - len(texts)
        return list(texts.values())


class UseCaps:
    """Chooses positives and negatives of the query groups of one split, in their order.

    Args:
        balance: caps per query and per chunk.
        negatives: of an n-tuple; None: no n-tuples are made.
        dropped: counts by rule; added to.
    """

    def __init__(self, balance: Balance, *, negatives: int | None, dropped: Counter[str]) -> None:
        self._balance, self._negatives, self._dropped = balance, negatives, dropped
        self._uses: Counter[tuple[str, int]] = Counter()

    def choose(self, candidates: Candidates) -> list[Choice]:
        """Return the positives of a query group that make rows, each with its negatives."""
        every = range(len(candidates.positives))
        taken = self._limited(every, candidates.positives, self._balance.positives_per_query, "positive")
        return [self._with_negatives(positive, candidates) for positive in taken]

    def _with_negatives(self, positive: int, candidates: Candidates) -> Choice:
        every = range(len(candidates.negatives))
        left = [n for n in every if (positive, n) not in candidates.struck]
        if candidates.struck:
            self._dropped["triplet: struck out by a person"] += len(every) - len(left)
        if not left:
            self._dropped[
                "positive: its query has no usable negative (it is still in positives and pairs)"
            ] += 1
            return Choice(positive)
        ntuple: list[int] = []
        if self._negatives is not None:
            if len(left) >= self._negatives:
                ntuple = left[: self._negatives]
            else:
                self._dropped[f"n-tuple: fewer than {self._negatives} negatives"] += 1
        most = self._balance.negatives_per_positive
        return Choice(positive, ntuple, list(self._limited(left, candidates.negatives, most, "negative")))

    def _limited(
        self, indexes: Sequence[int], versions: Sequence[int], most: int, role: str
    ) -> Iterator[int]:
        n_rows = 0
        for done, index in enumerate(indexes):
            if n_rows == most:
                self._dropped[
                    f"{role}: more than {most} for one {'query' if role == 'positive' else 'positive'}"
                ] += len(indexes) - done
                return
            version = versions[index]
            if self._uses[role, version] >= self._balance.uses_per_chunk:
                self._dropped[f"{role}: the chunk was used {self._balance.uses_per_chunk} times"] += 1
                continue
            self._uses[role, version] += 1
            n_rows += 1
            yield index


def planned_rows(plan: RowPlan, choices: Sequence[Choice], docs_per_list: int) -> Iterator[Row]:
    """The rows that a plan and a choice make, in the order of the dataset."""
    group = plan.group
    for chunk in plan.graded:
        values = {"query": group.text, "document": chunk.text, "label": _label(chunk)}
        yield Row("pairs", values, (("document", chunk),))
    if plan.has_list:
        yield _list(group, plan.graded, docs_per_list)
    positives, negatives = plan.positives, plan.negatives
    for choice in choices:
        positive = positives[choice.positive]
        heads: dict[str, Any] = {"anchor": group.text, "positive": positive.text}
        yield Row("positives", heads, (("positive", positive),))
        if choice.ntuple:
            named = {f"negative_{n}": negatives[index] for n, index in enumerate(choice.ntuple, 1)}
            texts = {name: chunk.text for name, chunk in named.items()}
            yield Row("ntuples", heads | texts, (("positive", positive), *named.items()))
        for index in choice.negatives:
            negative = negatives[index]
            values = heads | {"negative": negative.text}
            yield Row("triplets", values, (("positive", positive), ("negative", negative)))


def _list(group: Group, graded: Sequence[GradedChunk], docs_per_list: int) -> Row:
    half = docs_per_list // 2
    best = [chunk for chunk in graded if chunk.status == "positive"][:half]
    rest = [chunk for chunk in graded if chunk.status != "positive"][: docs_per_list - len(best)]
    taken = sorted([*best, *rest], key=lambda chunk: (-chunk.grade, chunk.chunk_version))
    values = {
        "query": group.text,
        "docs": [chunk.text for chunk in taken],
        "labels": [_label(chunk) for chunk in taken],
    }
    return Row("lists", values, tuple(("document", chunk) for chunk in taken))


def _label(chunk: GradedChunk) -> float:
    return round(chunk.grade / 5, 6)
