"""The SQLite store: schema, migrations, the one connection factory, and the merge of the journal."""

from __future__ import annotations

from ragwheel.store.connect import connect, open_store
from ragwheel.store.merge import MergeReport, merge_journal
from ragwheel.store.migrations import SCHEMA_VERSION

__all__ = ["SCHEMA_VERSION", "MergeReport", "connect", "merge_journal", "open_store"]
