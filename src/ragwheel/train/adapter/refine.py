"""Contrastive refinement: a weighted softmax over positives, hard and random negatives (InfoNCE).

Documents are frozen, so every document of the training set can stand in as a negative for the price of a
matrix product; documents known to be relevant to a query never do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ragwheel.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ragwheel.train.adapter.examples import AdapterExamples
    from ragwheel.train.adapter.options import AdapterOptions

    Floats = NDArray[np.float32]

__all__ = ["refined"]


def refined(examples: AdapterExamples, start: Floats, options: AdapterOptions) -> Iterator[Floats]:
    """D after each epoch of Adam, beginning at `start`; take as many as there is use for.

    Raises:
        ModelError: the loss is not finite.
    """
    import torch

    draw = torch.Generator().manual_seed(options.seed)
    queries, documents = torch.from_numpy(examples.queries), torch.from_numpy(examples.documents)
    relevant = _Relevant(examples)
    rows = [torch.from_numpy(np.ascontiguousarray(column)) for column in
            (examples.query, examples.positive, examples.negatives, examples.weight)]  # fmt: skip
    base = torch.from_numpy(start)
    parameters, change = _parameters(base, options.rank, draw)
    adam = torch.optim.Adam(parameters, lr=options.learning_rate)
    for _ in range(options.epochs):
        order: Any = torch.randperm(len(rows[0]), generator=draw)
        for batch in order.split(options.batch_size):
            query, positive, negatives, weight = (column[batch] for column in rows)
            some = torch.randint(len(documents), (options.random_negatives,), generator=draw)
            pool = torch.unique(torch.cat([positive, negatives[negatives >= 0], some]))
            moved = _moved(queries[query], change())
            against = documents[pool] if options.side == "query" else _moved(documents[pool], change())
            scores = moved @ against.T / options.temperature
            target = torch.searchsorted(pool, positive)
            scores = scores.masked_fill(relevant.others(query, pool, target), float("-inf"))
            loss = torch.nn.functional.cross_entropy(scores, target, reduction="none")
            total = (loss * weight).mean() + options.pull * change().square().sum() / len(start)
            if not torch.isfinite(total):
                raise ModelError(
                    "training the adapter: the loss is not a number. Lower the learning rate "
                    f"(now {options.learning_rate:g}) or raise the temperature ({options.temperature:g})."
                )
            adam.zero_grad()
            total.backward()
            adam.step()
        yield change().detach().numpy().copy()


def _parameters(start: Any, rank: int, draw: Any) -> tuple[list[Any], Callable[[], Any]]:
    """What Adam moves, and D made of it: all of D, or a product of two thin matrices added to `start`."""
    import torch

    if not rank:
        whole = torch.nn.Parameter(start.clone())
        return [whole], lambda: whole
    down = torch.nn.Parameter(torch.randn(len(start), rank, generator=draw) / len(start) ** 0.5)
    up = torch.nn.Parameter(torch.zeros(rank, len(start)))
    return [down, up], lambda: start + down @ up


def _moved(vectors: Any, change: Any) -> Any:
    import torch

    return torch.nn.functional.normalize(vectors + vectors @ change, dim=1)


class _Relevant:
    """The documents that are relevant to each query, as ranges of one array."""

    def __init__(self, examples: AdapterExamples) -> None:
        import torch

        pairs = np.unique(np.stack([examples.query, examples.positive], axis=1), axis=0)
        self._starts = torch.from_numpy(np.searchsorted(pairs[:, 0], np.arange(len(examples.queries) + 1)))
        self._documents = torch.from_numpy(np.ascontiguousarray(pairs[:, 1]))

    def others(self, query: Any, pool: Any, target: Any) -> Any:
        """Where a document of the sorted pool is relevant to a query, but is not its positive here."""
        import torch

        starts, ends = self._starts[query], self._starts[query + 1]
        lengths = ends - starts
        row = torch.repeat_interleave(torch.arange(len(query)), lengths)
        first = torch.repeat_interleave(starts - torch.cumsum(lengths, 0) + lengths, lengths)
        documents = self._documents[first + torch.arange(len(row))]
        place = torch.searchsorted(pool, documents).clamp(max=len(pool) - 1)
        hit = pool[place] == documents
        others = torch.zeros(len(query), len(pool), dtype=torch.bool)
        others[row[hit], place[hit]] = True
        others[torch.arange(len(query)), target] = False
        return others
