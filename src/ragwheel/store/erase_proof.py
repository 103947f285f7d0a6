"""The proof that something is gone: looking for it in the raw bytes of every file that may have held it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ragwheel.journal import files
from ragwheel.store import raw

__all__ = ["files_of", "found_in", "needles", "sample"]

SAMPLE: Final = 200
"""So many of the erased texts are looked for, the longest ones."""

NEEDLE_BYTES: Final = (6, 1000)


def sample(connection: sqlite3.Connection) -> list[str]:
    """The longest of the erased texts, from the temporary table ``gone_text``."""
    rows = connection.execute("SELECT text FROM gone_text ORDER BY length(text) DESC LIMIT ?", (SAMPLE,))
    return [str(text) for (text,) in rows]


def needles(connection: sqlite3.Connection, texts: Iterable[str], ids: Iterable[str]) -> list[bytes]:
    """What to look for, once the rows are removed: erased texts and ids that stand in no row that stays.

    Too short a text would be found by chance. A text is also looked for as it stands in JSON.
    """
    forms = ((text, json.dumps(text, ensure_ascii=False)[1:-1]) for text in texts)
    found = [form.encode()[: NEEDLE_BYTES[1]] for pair in forms for form in pair]
    found += [text.encode() for text in ids]
    return [needle for needle in dict.fromkeys(found) if _tells(connection, needle)]


def _tells(connection: sqlite3.Connection, needle: bytes) -> bool:
    """Whether finding it would tell something: long enough, and in no row that stays."""
    if len(needle) < NEEDLE_BYTES[0]:
        return False
    (kept,) = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM _retrieval WHERE instr(query, ?1) OR ?1 IN (user_id, session_id))"
        " OR EXISTS (SELECT 1 FROM _turn"
        "             WHERE instr(query, ?1) OR instr(answer, ?1) OR instr(citations, ?1)"
        "                OR instr(reasoning, ?1) OR ?1 IN (user_id, session_id))"
        " OR EXISTS (SELECT 1 FROM _signal WHERE instr(query, ?1) OR instr(comment, ?1)"
        "                OR instr(reason, ?1) OR ?1 IN (subject, event_id))"
        " OR EXISTS (SELECT 1 FROM _judgment"
        "             WHERE instr(query, ?1) OR instr(note, ?1) OR instr(judge, ?1) OR instr(reason, ?1))"
        " OR EXISTS (SELECT 1 FROM _review WHERE instr(query, ?1) OR instr(note, ?1) OR instr(rater, ?1))"
        " OR EXISTS (SELECT 1 FROM _chunk WHERE instr(metadata, ?1) OR instr(app_id, ?1))"
        " OR EXISTS (SELECT 1 FROM _text WHERE instr(body, ?1))",
        (needle.decode(errors="ignore"),),
    ).fetchone()
    return not kept


def files_of(db: Path) -> list[Path]:
    """The database, what SQLite and ragwheel keep beside it, and the journal."""
    folder = files.segment_folder(db)
    found = [db, *sorted(db.parent.glob(f"{db.name}-*")), *sorted(db.parent.glob(f"{db.name}.corrupt-*"))]
    found += sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in found if path.is_file()]


def found_in(paths: Iterable[Path], wanted: list[bytes]) -> tuple[Path, ...]:
    """The files in whose raw bytes one of the needles stands."""
    return tuple(path for path in paths if raw.contains_any(path, wanted))
