"""What an earlier ragwheel had where this one knows a newer schema, so that a test can be one."""

from __future__ import annotations

import sys
from typing import Any

from ragwheel.store import background, migrations, rows, schema, segment

__all__ = ["had"]

REASONING_SINCE = 4
"""The first schema whose turns have that column; it is the last of the columns."""
COMMENTS_SINCE = 5
"""The first schema whose signals have a comment and a reason, their last columns."""
REVIEWS_SINCE = 8
"""The first schema that has reviews, in a table with the last of the views."""
REPEATED_SINCE = 6
"""The first schema that counts records that made no row."""
NUMBERS_SINCE = 9
"""The first schema whose chunk versions have numbers of their own, not the row's."""
_STEPS, _VIEWS = migrations.STEPS, schema.VIEWS
_turn, _INSERT_TURN = rows._turn, rows._INSERT_TURN
erase = sys.modules["ragwheel.store.erase"]  # the package has a function of that name
_INSERT_CHUNK, _ErasedKeys = rows._INSERT_CHUNK, erase.ErasedKeys
_signal, _INSERT_SIGNAL = rows._signal, rows._INSERT_SIGNAL
_ADVANCE, _SUM_UP, _MERGED = segment._ADVANCE, segment._SUM_UP, background._MERGED


class _NoKeys:
    """Erasing before there were lakes of many stores: nothing is remembered."""

    def __init__(self, _connection: Any) -> None:
        """Take what ErasedKeys takes."""

    def store(self) -> None:
        """Store nothing."""


def _turn_before(record: Any) -> tuple[Any, ...]:
    return _turn(record)[:-1]


def _signal_before(record: Any) -> tuple[Any, ...]:
    return _signal(record)[:-2]


def had(version: int) -> list[tuple[Any, str, Any]]:
    """Module, name and value of what differs beside ``SCHEMA_VERSION``; the newest one's own, too."""
    turn, insert, views = _turn, _INSERT_TURN, _VIEWS
    if version < REASONING_SINCE:
        turn, views = _turn_before, _VIEWS.replace("answer, reasoning,", "answer,")
        insert = rows._upsert_turn(rows._TURN_COLUMNS.removesuffix(", reasoning"))
    signal, insert_signal = _signal, _INSERT_SIGNAL
    if version < COMMENTS_SINCE:
        signal = _signal_before
        for new, old in (
            ("g.comment, g.reason", "NULL AS comment, NULL AS reason"),
            ("comment, g.reason AS", "NULL AS comment, NULL AS"),
            ("evalset_use, reason", "evalset_use"),
        ):
            views = views.replace(new, old)
        insert_signal = _INSERT_SIGNAL.replace(", comment, reason", "").replace("?, ?, ", "", 1)
    if version < REVIEWS_SINCE:
        views = views[: views.index("CREATE VIEW reviews")]
    insert_chunk, erased = _INSERT_CHUNK, _ErasedKeys
    if version < NUMBERS_SINCE:
        erased = _NoKeys
        views = views.replace("c.number AS chunk_version", "c.chunk_id AS chunk_version")
        insert_chunk = _INSERT_CHUNK.replace(", number) VALUES (", ") SELECT ").removesuffix(", ?)")
        insert_chunk += " WHERE ? IS NOT NULL"
    advance, sum_up, merged = _ADVANCE, _SUM_UP, _MERGED
    if version < REPEATED_SINCE:
        merged = _MERGED.replace(" repeated,", " 0,")
        advance = (
            _ADVANCE.replace(" repeated,", "")
            .replace(" :repeated,", "")
            .replace("repeated = repeated + excluded.repeated, ", "")
        )
        sum_up = (
            _SUM_UP.replace(" sum(repeated) AS repeated,", "")
            .replace(" repeated,", "")
            .replace("repeated = repeated + excluded.repeated,\n", "")
        )
    return [
        (segment, "_ADVANCE", advance), (segment, "_SUM_UP", sum_up), (background, "_MERGED", merged),
        (migrations, "STEPS", _STEPS[:version]), (migrations, "VIEWS", views),
        (rows, "_INSERT_CHUNK", insert_chunk), (erase, "ErasedKeys", erased),
        (rows, "_signal", signal), (rows, "_INSERT_SIGNAL", insert_signal),
        (rows, "_turn", turn), (rows, "_INSERT_TURN", insert),
    ]  # fmt: skip
