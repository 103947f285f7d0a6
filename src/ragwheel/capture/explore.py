"""A little chance in the ranking, so that position bias can be measured: ``ragwheel.explore(search)``.

Neighbours change places now and then, with a probability that is logged (Radlinski & Joachims, Minimally
invasive randomization for collecting unbiased preferences from clickthrough logs, AAAI 2006: FairPairs). A
coin decides whether ranks 1 and 2, 3 and 4, … or ranks 2 and 3, 4 and 5, … are pairs, and each pair is
swapped with the given probability. A chunk never moves by more than one rank, and none is added or taken
away.

What moved stands in a flag of the retrieval, ``explored: 0.1 -ud-``: the probability, and a letter per rank,
``-`` for a chunk where the retriever had put it, ``u`` for one that moved up to here, ``d`` for one that
moved down. From that follow the propensities: a chunk with two neighbours stays with probability 1 - p, one
at an end of the list with 1 - p / 2, and moves to either side with p / 2.
"""

from __future__ import annotations

import functools
import inspect
import random
from collections.abc import Sequence
from typing import Any, Final

from ragwheel.capture.context import last_retrieval
from ragwheel.capture.interleave import begin, searching
from ragwheel.capture.recorder import RERANK, NotRecorded, Retrieval
from ragwheel.errors import ConfigurationError
from ragwheel.flags import Exploration
from ragwheel.guard import guard

__all__ = ["adjacent_swaps", "explore"]

_MOST_MOVES: Final = 80  # letters in the flag
_MOST: Final = 0.5  # more would serve the retriever's own order less often than another
_system = random.SystemRandom()


def explore(
    retriever: Any,
    /,
    *,
    probability: float = 0.1,
    seed: int | None = None,
    name: str = "explored",
    source: str | None = None,
    version: str | None = None,
) -> Any:
    """Swap neighbours in a ranking with a small, logged probability.

    Args:
        retriever: a function, sync or async, whose first argument is the query and whose result is a list of
            chunks, or an object with ``invoke`` (for LangChain give ``retriever.invoke`` or
            ``retriever.ainvoke``): the result is such a function. Or a ranking, a list or tuple of chunks:
            the result is the ranking to serve, recorded as a re-ranking of the latest retrieval.
        probability: that a pair is swapped, above 0 to 0.5. At 0.1 a chunk stands one rank off in 1 of 10
        results. seed: makes the swaps repeatable, for tests; every process then draws the same.
        name, source, version: as recorded; `source` is the index that the chunk ids belong to, by default
        that
            of a recorded retriever inside.

    The app gets the same chunks, in a list of the same type; where nothing was swapped, the very object that
    the retriever gave. What is no list or tuple is served as it is and flagged ``explore_failed``. What the
    retriever raises, the app gets. Nothing of ours is raised while serving.

    Raises:
        ConfigurationError: not for a ranking: something is not callable, or an option is out of range.
    """
    coin = _system if seed is None else random.Random(seed)
    if type(retriever) in (list, tuple):
        return _ranking(retriever, probability, coin, name, source, version)
    search = searching("explore", "retriever", retriever)
    if not _allowed(probability):
        raise ConfigurationError(f"explore(probability={probability!r}): allowed: above 0, at most {_MOST}")
    if type(name) is not str or not name:
        raise ConfigurationError(f"explore(name={name!r}): allowed: a string that is not empty")

    if inspect.iscoroutinefunction(search):

        @functools.wraps(search)
        async def search_async(query: Any, *args: Any, **kwargs: Any) -> Any:
            trial = _ExploredCall(begin(query, name, source, version), probability, coin)
            with trial:
                trial.served = await search(query, *args, **kwargs)
            return trial.served

        return search_async

    @functools.wraps(search)
    def search_swapped(query: Any, *args: Any, **kwargs: Any) -> Any:
        trial = _ExploredCall(begin(query, name, source, version), probability, coin)
        with trial:
            trial.served = search(query, *args, **kwargs)
        return trial.served

    return search_swapped


def adjacent_swaps(n: int, probability: float, coin: random.Random) -> tuple[list[int], str]:
    """The order to serve `n` chunks in, as places from 0 in the ranking, and a letter per chunk served."""
    order, moves = list(range(n)), ["-"] * n
    for upper in range(int(coin.random() < 0.5), n - 1, 2):
        if coin.random() < probability:
            order[upper], order[upper + 1] = upper + 1, upper
            moves[upper], moves[upper + 1] = "u", "d"
    return order, "".join(moves)


class _ExploredCall:
    """One call: ``served`` is the retriever's result as it comes in, and what to serve after the block."""

    def __init__(self, span: Retrieval | NotRecorded, probability: float, coin: random.Random) -> None:
        self.served: Any = None
        self._span, self._probability, self._coin = span, probability, coin

    def __enter__(self) -> None:
        self._span.enter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._span.leave()
        if error is not None:
            self._span.fail(error)
            return
        with guard("exploring a ranking"):
            self.served = self._swapped(self.served)
        self._span.finish(self.served)

    def _swapped(self, result: Any) -> Any:
        if type(result) not in (list, tuple):
            self._span.flag("explore_failed: not a list")
            guard.count("exploring: not a list")
            return result
        order, moves = adjacent_swaps(len(result), self._probability, self._coin)
        self._span.flag(Exploration(self._probability, moves[:_MOST_MOVES]).flag)
        return type(result)(result[index] for index in order) if "u" in moves else result


def _ranking(
    given: Sequence[Any],
    probability: float,
    coin: random.Random,
    name: str,
    source: str | None,
    version: str | None,
) -> Any:
    """The ranking to serve; whatever is wrong, the one that was given."""
    if not _allowed(probability):
        guard.count("exploring: probability out of range")
        guard.warn_once(
            "explore", f"explore(probability={probability!r:.50}): allowed: above 0, at most {_MOST}"
        )
        return given
    latest = last_retrieval()
    span = begin(latest.query if latest else "", name, source, version, RERANK)
    trial = _ExploredCall(span, probability, coin)
    with trial:
        trial.served = given
    return trial.served


def _allowed(probability: object) -> bool:
    return isinstance(probability, (int, float)) and 0 < probability <= _MOST
