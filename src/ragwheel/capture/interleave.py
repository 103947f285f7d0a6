"""Two retrievers on the same traffic: ``ragwheel.interleave(old, new)``.

Team-draft interleaving (Radlinski, Kurup & Joachims, CIKM 2008): the two take turns picking their best chunk
that is not in the list yet, a coin decides who picks first in each round, and the people who use the app
decide by what they click and what gets cited. :func:`ragwheel.offline.interleaving` reads the winner.

Which retriever a chunk came from stands in a flag of the retrieval, ``interleaved: onno-``: a letter per
rank, ``o`` old, ``n`` new, ``-`` added after one of the two had no more (nobody's credit).
"""

from __future__ import annotations

import functools
import inspect
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from ragwheel import runtime
from ragwheel.capture.context import enclosing_spans
from ragwheel.capture.recorder import NOT_RECORDED, RETRIEVAL, NotRecorded, Retrieval
from ragwheel.errors import ConfigurationError
from ragwheel.flags import teams_flag
from ragwheel.guard import guard, is_interrupt
from ragwheel.host.columns import identity

__all__ = ["begin", "interleave", "searching", "team_draft"]

_MOST_TEAMS: Final = 80  # letters in the flag
_draw = random.SystemRandom()


def interleave(
    old: Any,
    new: Any,
    *,
    k: int | None = None,
    name: str = "interleaved",
    source: str | None = None,
    version: str | None = None,
) -> Callable[..., Any]:
    """A retriever that mixes the results of two, so that the same people judge both.

    Args:
        old: what the app uses today: a function, sync or async, whose first argument is the query and whose
            result is a list of chunks; or an object with ``invoke``. For LangChain give ``retriever.invoke``
            or ``retriever.ainvoke``.
        new: what may replace it, of the same kind. It is called after `old`, with the same arguments.
        k: how many chunks to give; by default as many as `old` gave.
        name: of the experiment, by which ``ragwheel compare --online`` finds it.
        source: the index that the chunk ids belong to; by default that of a recorded retriever inside.
        version: recorded with it, such as ``bm25-1|adapter-0f3a91c2d4e5``.

    The app never gets worse than `old`: where `new` raises, or the results are no lists, it gets what `old`
    gave, and the failure is counted and flagged ``interleave_failed``. What `old` raises, the app gets. A
    slow `new` is felt: give it a timeout of its own.

    Raises:
        ConfigurationError: something is not callable, one is async and the other is not, or `k` is below 1.
    """
    first, second = searching("interleave", "old", old), searching("interleave", "new", new)
    is_async = inspect.iscoroutinefunction(first)
    if is_async != inspect.iscoroutinefunction(second):
        raise ConfigurationError("interleave: one of old and new is async, allowed: both or neither")
    if k is not None and (type(k) is not int or k < 1):
        raise ConfigurationError(f"interleave(k={k!r}): allowed: a whole number from 1; None: as many as old")
    if type(name) is not str or not name:
        raise ConfigurationError(f"interleave(name={name!r}): allowed: a string that is not empty")

    if is_async:

        @functools.wraps(first)
        async def search_async(query: Any, *args: Any, **kwargs: Any) -> Any:
            mix = _Mix(query, name, source, version, k)
            with mix:
                mix.old = await first(query, *args, **kwargs)
                with mix.guarded():
                    mix.new = await second(query, *args, **kwargs)
            return mix.served

        return search_async

    @functools.wraps(first)
    def search(query: Any, *args: Any, **kwargs: Any) -> Any:
        mix = _Mix(query, name, source, version, k)
        with mix:
            mix.old = first(query, *args, **kwargs)
            with mix.guarded():
                mix.new = second(query, *args, **kwargs)
        return mix.served

    return search


def team_draft(
    old: Sequence[Any], new: Sequence[Any], k: int, flip: Callable[[], bool]
) -> tuple[list[Any], str]:
    """The interleaved list of up to `k` chunks, and a letter per chunk (see the module).

    Args:
        old, new: ranked chunks, best first; the same chunk is known by the id that ragwheel reads.
        k: how many at most.
        flip: a coin: True lets the old one pick first in this round.
    """
    left_old, left_new = _distinct(old), _distinct(new)
    taken: set[str] = set()
    served: list[Any] = []
    teams = ""
    while len(served) < k:
        left_old, left_new = (
            [pair for pair in left if pair[0] not in taken] for left in (left_old, left_new)
        )
        if not (left_old and left_new):
            break
        ahead = teams.count("o") - teams.count("n")
        team = "o" if ahead < 0 or (ahead == 0 and flip()) else "n"
        key, chunk = (left_old if team == "o" else left_new)[0]
        taken.add(key)
        served.append(chunk)
        teams += team
    for key, chunk in [*left_old, *left_new]:
        if len(served) < k and key not in taken:
            taken.add(key)
            served.append(chunk)
            teams += "-"
    return served, teams


class _Mix:
    """One call: ``old`` and ``new`` as they come in, ``served`` when the block has ended."""

    def __init__(self, query: Any, name: str, source: str | None, version: str | None, k: int | None) -> None:
        self.old: Any = None
        self.new: Any = None
        self.served: Any = None
        self._k = k
        self._failed: str | None = None
        self._span = begin(query, name, source, version)

    def __enter__(self) -> None:
        self._span.enter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._span.leave()
        if error is not None:
            self._span.fail(error)
            return
        served = self.served = self.old
        with guard("interleaving two retrievers"):
            if self._failed is None:
                served = self._interleave()
            else:
                self._span.flag(f"interleave_failed: {self._failed}")
        self.served = served
        self._span.finish(served)

    def _interleave(self) -> Any:
        if not isinstance(self.old, (list, tuple)) or not isinstance(self.new, (list, tuple)):
            self._span.flag("interleave_failed: not two lists")
            guard.count("interleaving: not two lists")
            return self.old
        k = len(self.old) if self._k is None else self._k
        served, teams = team_draft(self.old, self.new, k, lambda: _draw.random() < 0.5)
        self._span.flag(teams_flag(teams[:_MOST_TEAMS]))
        return served if isinstance(self.old, list) else tuple(served)

    def guarded(self) -> _Guarded:
        """A block in which `new` may raise."""
        return _Guarded(self)

    def failed(self, error: Exception) -> None:
        """`new` raised: the app gets what `old` gave."""
        self._failed = type(error).__name__
        where = "interleaving: the new retriever raised"
        guard.count(where)
        guard.warn_once(
            where, f"interleave: the new retriever raised {self._failed}; the old one's list was served"
        )


class _Guarded:
    """Swallows exceptions of the new retriever, not those that end a program or a task."""

    def __init__(self, mix: _Mix) -> None:
        self._mix = mix

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception) or is_interrupt(error):
            return False
        self._mix.failed(error)
        return True


def begin(
    query: Any, name: str, source: str | None, version: str | None, kind: int = RETRIEVAL
) -> Retrieval | NotRecorded:
    """Start recording what is served in place of a retriever's own result."""
    rt = runtime.active()
    if rt is None:
        return NOT_RECORDED
    with guard("starting a retrieval"):
        span = Retrieval(rt, query, name, source, version or "", kind)
        span.place(*enclosing_spans())
        return span
    return NOT_RECORDED


def searching(who: str, what: str, retriever: Any) -> Callable[..., Any]:
    """The function that searches: what was given, or its method ``invoke``.

    Raises:
        ConfigurationError: it is neither.
    """
    function = retriever if callable(retriever) else getattr(retriever, "invoke", None)
    if not callable(function) or isinstance(retriever, type):
        raise ConfigurationError(
            f"{who}: got a {type(retriever).__name__} as {what}, allowed: a function, or an object "
            "with a method invoke"
        )
    return function  # type: ignore[no-any-return]  # just asked


def _distinct(chunks: Sequence[Any]) -> list[tuple[str, Any]]:
    """Chunks with what they are known by, each once."""
    seen: dict[str, Any] = {}
    for chunk in chunks:
        seen.setdefault(identity(chunk) or f"object:{id(chunk)}", chunk)
    return list(seen.items())
