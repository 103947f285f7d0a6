"""Reading a trace database: typed results for scripts and notebooks, never a print.

::

    from ragwheel import offline

    offline.status("ragwheel.db").milestones     # what there is, and what the next milestone needs
    offline.show("ragwheel.db")                  # the last turn: query, ranked chunks, citations, signals
    offline.latest("ragwheel.db", n=20)          # the last turns, one line each
    offline.doctor("ragwheel.db")                # is the file sound, does anything wait or get lost
    offline.erase("ragwheel.db", offline.Selection(user="u1"))    # for good, from the datasets too
    offline.prune("ragwheel.db", max_age_days=90)
    offline.backup("ragwheel.db", "copy.db")

Every function merges the journal first, so what a running app recorded a moment ago is there. All
raise the :class:`~ragwheel.errors.StoreError` family: see :func:`ragwheel.store.open_store`.
"""

from __future__ import annotations

from ragwheel.judgments.people import Judgment, JudgmentReport, import_judgments, judge, judge_many, unjudge
from ragwheel.offline.doctor import doctor
from ragwheel.offline.erasing import Erasure, Selection, erase
from ragwheel.offline.findings import Finding, Severity
from ragwheel.offline.interleaving import Interleaving, interleaving
from ragwheel.offline.milestones import Milestone
from ragwheel.offline.probing import Probe, ProbedChunk, ProbedSource, probe, probe_store
from ragwheel.offline.status import Status, status
from ragwheel.offline.turns import latest, show
from ragwheel.offline.views import CitationView, RankedChunk, RetrievalView, SignalView, TurnLine, TurnView
from ragwheel.store import BackupReport, EraseReport, backup, prune

__all__ = [
    "BackupReport",
    "CitationView",
    "EraseReport",
    "Erasure",
    "Finding",
    "Interleaving",
    "Judgment",
    "JudgmentReport",
    "Milestone",
    "Probe",
    "ProbedChunk",
    "ProbedSource",
    "RankedChunk",
    "RetrievalView",
    "Selection",
    "Severity",
    "SignalView",
    "Status",
    "TurnLine",
    "TurnView",
    "backup",
    "doctor",
    "erase",
    "import_judgments",
    "interleaving",
    "judge",
    "judge_many",
    "latest",
    "probe",
    "probe_store",
    "prune",
    "show",
    "status",
    "unjudge",
]
