"""The right to write to a database, which one process has at a time."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ragwheel.errors import StoreLocked
from ragwheel.journal import files
from ragwheel.store.connect import explain

__all__ = ["exclusive"]


@contextlib.contextmanager
def exclusive(db: Path, *, timeout_s: float) -> Iterator[None]:
    """Hold the right to write to a database.

    Errors of SQLite and of the file system that leave the block are raised as errors of the store.

    Raises:
        StoreLocked: another process held the right for ``timeout_s``.
        StoreError: the database cannot be used.
    """
    try:
        with files.merge_lock(db, timeout_s=timeout_s) as is_ours:
            if not is_ours:
                raise StoreLocked(
                    f"Another process has been writing to {db} for more than {timeout_s:g} s. Try again; "
                    f"if it never ends, see who it is: fuser {db}.segments/merge.lock"
                )
            yield
    except sqlite3.Error as exc:
        raise explain(exc, db) from exc
    except OSError as exc:
        raise explain(exc, files.segment_folder(db)) from exc
