"""ragwheel remembers what your RAG app retrieved, what was used, what was cited and what people did with it.

This module is the online half: light imports, microseconds per call, never raises into the app::

    import ragwheel

    ragwheel.configure(db="ragwheel.db")

    @ragwheel.retriever
    def search(query: str, k: int = 5): ...

    with ragwheel.turn(user_id="u1") as turn:
        chunks = search("how do I rotate the keys?")
        turn.answer("Run `keys rotate` [1].")
    ragwheel.signal(turn.handle, "click", rank=1)

The offline half (``ragwheel.datasets`` and the command line) turns that into training sets.
"""

from __future__ import annotations

from ragwheel._version import __version__
from ragwheel.capture import overfetch
from ragwheel.capture.context import current_turn, last_retrieval
from ragwheel.capture.explore import explore
from ragwheel.capture.interleave import interleave
from ragwheel.capture.recorder import Retrieval, start_retrieval
from ragwheel.capture.retriever import reranker, retriever
from ragwheel.capture.signals import signal
from ragwheel.capture.turn import Turn, turn
from ragwheel.errors import ConfigurationError, OverfetchRefused, RagwheelError
from ragwheel.host.clients import reads
from ragwheel.kinds import SignalKind, signal_kind
from ragwheel.runtime import Runtime, Stats, configure, flush, shutdown, stats

__all__ = [
    "ConfigurationError",
    "OverfetchRefused",
    "RagwheelError",
    "Retrieval",
    "Runtime",
    "SignalKind",
    "Stats",
    "Turn",
    "__version__",
    "configure",
    "current_turn",
    "explore",
    "flush",
    "interleave",
    "last_retrieval",
    "overfetch",
    "reads",
    "reranker",
    "retriever",
    "shutdown",
    "signal",
    "signal_kind",
    "start_retrieval",
    "stats",
    "turn",
]
