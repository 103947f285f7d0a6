"""Servers with a store each, by hand."""

from __future__ import annotations

import itertools

from ragwheel.testing import TraceStore

DAY_NS = 24 * 3600 * 10**9
NOW_NS = 1_700_000_000 * 10**9


class Server(TraceStore):
    """A store whose span ids no other store has."""

    def __init__(self, path, number, start_ns=NOW_NS):
        super().__init__(path, start_ns=start_ns)
        self._ids = itertools.count(number * 1_000_000 + 1)


def traffic(store, *, turns=24, people=4):
    """Cited turns of some people; returns what was asked."""
    return [
        store.ask(
            f"how does part {n % 6} of the engine work",
            [f"c{(n % 6 + k) % 10}" for k in range(5)],
            cited=[1],
            prompted=[1, 2, 3],
            shown=range(1, 6),
            user_id=f"u{n % people}",
            session_id=f"s{n // 3}",
        )
        for n in range(turns)
    ]


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
