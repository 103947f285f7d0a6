"""Which retrieval a LangChain run belongs to: a bounded map from run ids to retrievals.

A retriever run maps to its own retrieval; a chain or tool run inside a retriever maps to the retrieval of
that retriever, so that what runs below it finds its outer retrieval in one look-up. Runs outside every
retriever are not kept at all.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from ragwheel import Retrieval

__all__ = ["OPEN", "Runs"]


class Runs:
    """The open runs, oldest first.

    LangChain reports no end for a run that was cancelled, so at most `limit` runs are kept: the one that
    was opened first makes room and is counted in ``lost``.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self.lost = 0
        self._limit = limit
        self._open: OrderedDict[UUID, Retrieval] = OrderedDict()
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def __len__(self) -> int:
        return len(self._open)

    def find(self, run_id: UUID | None) -> Retrieval | None:
        """The retrieval of this run, or of the retriever that it runs inside; None outside of any."""
        return None if run_id is None else self._open.get(run_id)

    def add(self, run_id: UUID, retrieval: Retrieval) -> None:
        """Remember a run until :meth:`close`."""
        with self._lock:
            self._open[run_id] = retrieval
            if len(self._open) > self._limit:
                self._open.popitem(last=False)
                self.lost += 1

    def close(self, run_id: UUID) -> Retrieval | None:
        """Forget a run; its retrieval, or None for a run that is not kept."""
        with self._lock:
            return self._open.pop(run_id, None)

    def _after_fork(self) -> None:
        """In a forked child: another thread of the parent may have held the lock."""
        self._lock = threading.Lock()


OPEN = Runs()
