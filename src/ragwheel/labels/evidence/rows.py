"""The shape of evidence rows, and the columns that rules share."""

from __future__ import annotations

from typing import Any, Final

import ibis
from ibis import _

from ragwheel.labels.evidence.kinds import KINDS

__all__ = ["COLUMNS", "rows"]

COLUMNS: Final = (
    "query_key", "chunk_version", "kind", "direction", "strength", "subject", "turn_id", "retrieval_id",
    "rank", "place", "exposure", "assumed", "at_ns", "session_id", "signal_id", "extra_id",
)  # fmt: skip


def rows(table: ibis.Table, kind: Any, *, strength: Any = 1.0, **given: Any) -> ibis.Table:
    """Rows of :data:`COLUMNS` from a table that has those columns which are not ``given``.

    Args:
        kind: the name of the kind, or a column of names.
        strength: a number or a column.
    """
    directions = [(name, rule.direction) for name, rule in KINDS.items()]
    kind = ibis.literal(kind) if isinstance(kind, str) else kind
    columns = {
        "kind": kind,
        "direction": ibis.cases(*((kind == name, value) for name, value in directions), else_=0).cast("int8"),
        "strength": _float(strength),
        "extra_id": ibis.null("string"),
        "place": (table.place if "place" in table.columns else ibis.null("int32")).cast("int32"),
        **given,
    }
    return table.select(**{name: columns.get(name, _[name]) for name in COLUMNS})


def _float(value: Any) -> Any:
    return (ibis.literal(value) if isinstance(value, (int, float)) else value).cast("float64")
