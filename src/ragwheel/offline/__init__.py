"""Reading a trace database: typed results for scripts and notebooks, never a print.

::

    from ragwheel import offline

    offline.status("ragwheel.db").milestones     # what there is, and what the next milestone needs
    offline.show("ragwheel.db")                  # the last turn: query, ranked chunks, citations, signals
    offline.latest("ragwheel.db", n=20)          # the last turns, one line each
    offline.doctor("ragwheel.db")                # is the file sound, does anything wait or get lost

Every function merges the journal first, so what a running app recorded a moment ago is there. All
raise the :class:`~ragwheel.errors.StoreError` family: see :func:`ragwheel.store.open_store`.
"""

from __future__ import annotations

from ragwheel.offline.doctor import Finding, Severity, doctor
from ragwheel.offline.milestones import Milestone
from ragwheel.offline.status import Status, status
from ragwheel.offline.turns import latest, show
from ragwheel.offline.views import CitationView, RankedChunk, RetrievalView, SignalView, TurnLine, TurnView

__all__ = [
    "CitationView",
    "Finding",
    "Milestone",
    "RankedChunk",
    "RetrievalView",
    "Severity",
    "SignalView",
    "Status",
    "TurnLine",
    "TurnView",
    "doctor",
    "latest",
    "show",
    "status",
]
