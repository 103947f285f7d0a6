"""What an earlier ragwheel had where this one knows a newer schema, so that a test can be one."""

from __future__ import annotations

from typing import Any

from ragwheel.store import migrations, rows, schema

__all__ = ["had"]

REASONING_SINCE = 4
"""The first schema whose turns have that column; it is the last of the columns."""
_STEPS, _VIEWS = migrations.STEPS, schema.VIEWS
_turn, _INSERT_TURN = rows._turn, rows._INSERT_TURN


def _turn_before(record: Any) -> tuple[Any, ...]:
    return _turn(record)[:-1]


def had(version: int) -> list[tuple[Any, str, Any]]:
    """Module, name and value of what differs beside ``SCHEMA_VERSION``; the newest one's own, too."""
    turn, insert, views = _turn, _INSERT_TURN, _VIEWS
    if version < REASONING_SINCE:
        turn, views = _turn_before, _VIEWS.replace("answer, reasoning,", "answer,")
        insert = rows._upsert_turn(rows._TURN_COLUMNS.removesuffix(", reasoning"))
    return [
        (migrations, "STEPS", _STEPS[:version]), (migrations, "VIEWS", views),
        (rows, "_turn", turn), (rows, "_INSERT_TURN", insert),
    ]  # fmt: skip
