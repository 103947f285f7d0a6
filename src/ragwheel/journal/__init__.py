"""The journal: append-only files, one at a time per process, written before a wrapped call returns.

``records`` says what is written, ``frames`` how it is framed and checked, ``files`` where the
segments live and who owns them, ``writer`` appends.
"""

from __future__ import annotations

from ragwheel.journal.records import RetrievalRecord, SignalRecord, TurnRecord
from ragwheel.journal.writer import Journal

__all__ = ["Journal", "RetrievalRecord", "SignalRecord", "TurnRecord"]
