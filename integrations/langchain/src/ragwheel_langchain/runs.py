"""Which retrieval a LangChain run belongs to: a bounded map from run ids to retrievals.

A retriever run maps to its own retrieval; a chain or tool run inside a retriever maps to the retrieval of
that retriever, so that what runs below it finds its outer retrieval in one look-up. Runs outside every
retriever are not kept at all.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from ragwheel import Retrieval

__all__ = ["OPEN", "Runs"]


class Runs:
    """The open runs, oldest first.

    LangChain reports no end for a run that was cancelled. Such a run is forgotten as soon as nothing refers
    to its id any more, as its run manager does; and at most `limit` runs are kept: the one that was opened
    first makes room and is counted in ``lost``.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self.lost = 0
        self._limit = limit
        self._open: OrderedDict[int, tuple[Retrieval, weakref.ref[UUID]]] = OrderedDict()
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def __len__(self) -> int:
        return len(self._open)

    def find(self, run_id: UUID | None) -> Retrieval | None:
        """The retrieval of this run, or of the retriever that it runs inside; None outside of any."""
        entry = None if run_id is None else self._open.get(run_id.int)
        return None if entry is None else entry[0]

    def add(self, run_id: UUID, retrieval: Retrieval) -> None:
        """Remember a run until :meth:`close`."""
        key = run_id.int
        reference = weakref.ref(run_id, lambda _: self._cancelled(key))  # stdlib UUIDs can be referred to
        with self._lock:
            self._open[key] = (retrieval, reference)
            if len(self._open) > self._limit:
                self._open.popitem(last=False)
                self.lost += 1

    def close(self, run_id: UUID) -> Retrieval | None:
        """Forget a run; its retrieval, or None for a run that is not kept."""
        with self._lock:
            entry = self._open.pop(run_id.int, None)
        return None if entry is None else entry[0]

    def _cancelled(self, key: int) -> None:
        """Forget a run whose end was not reported. Runs while the id is freed: no lock, no work."""
        entry = self._open.pop(key, None)
        if entry is not None:
            entry[0].abandon()

    def _after_fork(self) -> None:
        """In a forked child: another thread of the parent may have held the lock."""
        self._lock = threading.Lock()


OPEN = Runs()
