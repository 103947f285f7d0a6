"""The SQLite store: schema, migrations, connections, the merge of the journal, housekeeping."""

from __future__ import annotations

from ragwheel.store.backup import BackupReport, backup
from ragwheel.store.connect import connect
from ragwheel.store.erase import EraseReport, erase, prune
from ragwheel.store.merge import MergeReport, merge_journal
from ragwheel.store.migrations import SCHEMA_VERSION
from ragwheel.store.opening import open_store

__all__ = [
    "SCHEMA_VERSION",
    "BackupReport",
    "EraseReport",
    "MergeReport",
    "backup",
    "connect",
    "erase",
    "merge_journal",
    "open_store",
    "prune",
]
