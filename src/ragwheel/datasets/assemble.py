"""Graded chunks of one query group to dataset rows."""

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

__all__ = ["Assembler", "Row", "seeded"]


@dataclass(frozen=True)
class Row:
    """A row of one config, and the chunks it came from with their roles."""

    config: str
    values: dict[str, Any]
    chunks: tuple[tuple[str, GradedChunk], ...]


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
        self._balance, self._negatives, self._seed, self._dropped = balance, negatives, seed, dropped
        self._struck = strikes.rows if strikes else frozenset()
        self._uses: Counter[tuple[str, int]] = Counter()

    def rows(
        self, group: Group, chunks: Sequence[GradedChunk], negatives: Sequence[GradedChunk]
    ) -> Iterator[Row]:
        """Rows of one query group from its positives, vetted negatives and chunks of the middle."""
        known = self._ranked(group, [chunk for chunk in chunks if chunk.status == "positive"])
        middle = [chunk for chunk in chunks if chunk.status == "middle"]
        graded = self._distinct([*known, *middle, *self._ranked(group, negatives)])
        positives = [chunk for chunk in graded if chunk.status == "positive"]
        usable = [chunk for chunk in graded if chunk.status == "negative"]
        for chunk in graded:
            yield Row(
                "pairs",
                {"query": group.text, "document": chunk.text, "label": _label(chunk)},
                (("document", chunk),),
            )
        if positives and len(graded) > len(positives):
            yield from self._list(group, graded)
        for positive in self._limited(positives, self._balance.positives_per_query, "positive"):
            values = {"anchor": group.text, "positive": positive.text}
            yield Row("positives", values, (("positive", positive),))
            yield from self._with_negatives(group, positive, self._unstruck(group, positive, usable))

    def _unstruck(
        self, group: Group, positive: GradedChunk, negatives: Sequence[GradedChunk]
    ) -> Sequence[GradedChunk]:
        if not self._struck:
            return negatives
        left = [chunk for chunk in negatives if (group.key, positive.key, chunk.key) not in self._struck]
        self._dropped["triplet: struck out by a person"] += len(negatives) - len(left)
        return left

    def _with_negatives(
        self, group: Group, positive: GradedChunk, negatives: Sequence[GradedChunk]
    ) -> Iterator[Row]:
        if not negatives:
            self._dropped[
                "positive: its query has no usable negative (it is still in positives and pairs)"
            ] += 1
            return
        if self._negatives is not None:
            taken = negatives[: self._negatives]
            if len(taken) == self._negatives:
                columns = {f"negative_{n}": chunk.text for n, chunk in enumerate(taken, 1)}
                roles = [
                    ("positive", positive),
                    *((f"negative_{n}", chunk) for n, chunk in enumerate(taken, 1)),
                ]
                yield Row(
                    "ntuples", {"anchor": group.text, "positive": positive.text, **columns}, tuple(roles)
                )
            else:
                self._dropped[f"n-tuple: fewer than {self._negatives} negatives"] += 1
        for negative in self._limited(negatives, self._balance.negatives_per_positive, "negative"):
            values = {"anchor": group.text, "positive": positive.text, "negative": negative.text}
            yield Row("triplets", values, (("positive", positive), ("negative", negative)))

    def _list(self, group: Group, graded: Sequence[GradedChunk]) -> Iterator[Row]:
        half = self._balance.docs_per_list // 2
        best = [chunk for chunk in graded if chunk.status == "positive"][:half]
        rest = [chunk for chunk in graded if chunk.status != "positive"][
            : self._balance.docs_per_list - len(best)
        ]
        taken = sorted([*best, *rest], key=lambda chunk: (-chunk.grade, chunk.chunk_version))
        values = {
            "query": group.text,
            "docs": [chunk.text for chunk in taken],
            "labels": [_label(chunk) for chunk in taken],
        }
        yield Row("lists", values, tuple(("document", chunk) for chunk in taken))

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

    def _limited(self, chunks: Sequence[GradedChunk], most: int, role: str) -> Iterator[GradedChunk]:
        n_rows = 0
        for index, chunk in enumerate(chunks):
            if n_rows == most:
                self._dropped[
                    f"{role}: more than {most} for one {'query' if role == 'positive' else 'positive'}"
                ] += len(chunks) - index
                return
            if self._uses[role, chunk.chunk_version] >= self._balance.uses_per_chunk:
                self._dropped[f"{role}: the chunk was used {self._balance.uses_per_chunk} times"] += 1
                continue
            self._uses[role, chunk.chunk_version] += 1
            n_rows += 1
            yield chunk


def _label(chunk: GradedChunk) -> float:
    return round(chunk.grade / 5, 6)
