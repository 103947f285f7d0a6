"""Simulated turns, played into a real store through ragwheel's own capture."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

import ragwheel
from labels.crowds.crowd import Crowd
from labels.crowds.turns import Exposures

__all__ = ["replay"]

_FLUSH_TIMEOUT_S: Final = 120.0


def replay(db: Path, rows: Exposures, crowd: Crowd) -> int:
    """Play every turn into the store as an app would, and return the number of turns.

    The app has a decorated retriever and opens a turn for each question. It reports which chunks were in
    the prompt, and which were shown, only where the crowd does so. Its answer cites as ``[n]``. Clicks,
    seconds of reading and votes arrive as signals afterwards, with the person as their subject unless the
    crowd is anonymous. A vote against a chunk is a ``thumbs_down`` in every other turn, else a ``delete``.

    Raises:
        RuntimeError: the store did not take everything within two minutes.
    """
    app = _App(rows, crowd)
    starts = np.flatnonzero(np.append(True, np.diff(rows.turn) != 0))
    ragwheel.configure(db, capture_k=max(crowd.shown, crowd.prompted), durability="process")
    try:
        for start, stop in zip(starts, np.append(starts[1:], len(rows))):
            app.turn(range(int(start), int(stop)))
        if not ragwheel.flush(_FLUSH_TIMEOUT_S):
            raise RuntimeError(f"The store did not take everything within {_FLUSH_TIMEOUT_S:.0f} s.")
    finally:
        ragwheel.shutdown()
    return len(starts)


class _App:
    """A RAG app whose retriever returns what was simulated for the turn that is running."""

    def __init__(self, rows: Exposures, crowd: Crowd) -> None:
        self._rows, self._crowd = rows, crowd
        self._results: dict[str, list[dict[str, Any]]] = {}

        @ragwheel.retriever(name="search", source="kb")
        def search(query: str) -> list[dict[str, Any]]:
            """The chunks of the turn that is running."""
            return self._results[query]

        self._search = search

    def turn(self, span: range) -> None:
        """Play the turn whose rows are ``span``."""
        rows, crowd = self._rows, self._crowd
        ids = [rows.chunks[rows.chunk[i]] for i in span]
        person = f"p{rows.person[span[0]]}" if crowd.people else None
        wording = rows.wordings[rows.wording[span[0]]]
        self._results = {
            wording: [
                {"id": chunk, "text": rows.world.texts[chunk], "score": 1.0 / place}
                for place, chunk in enumerate(ids, 1)
            ]
        }
        with ragwheel.turn(wording, user_id=person) as turn:
            results = self._search(wording)
            if crowd.tells_prompted:
                turn.prompted(results[: crowd.prompted])
            if crowd.tells_shown:
                turn.shown(results[: crowd.shown])
            cited = [f"[{rows.place[i]}]" for i in span if rows.cited[i]]
            turn.answer(" ".join(["This is the answer.", *cited]))
        for i in span:
            for kind, value in self._signals(i):
                ragwheel.signal(
                    turn.retrievals[-1].handle, kind, chunk=ids[i - span[0]], value=value, subject=person
                )

    def _signals(self, i: int) -> list[tuple[str, float | None]]:
        """Kind and value of each signal about one row."""
        rows = self._rows
        signals: list[tuple[str, float | None]] = [("click", None)] if rows.clicked[i] else []
        if not np.isnan(rows.seconds[i]):
            signals.append(("dwell", float(rows.seconds[i])))
        if rows.vote[i] > 0:
            signals.append(("thumbs_up", None))
        elif rows.vote[i] < 0:
            signals.append(("thumbs_down" if rows.turn[i] % 2 else "delete", None))
        return signals
