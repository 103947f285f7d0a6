"""Text files of one record a line, the same bytes on every machine."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["write_json_lines", "write_lines"]


def write_lines(path: Path, lines: Iterable[str]) -> int:
    """Write lines as UTF-8 that end with a line feed; returns how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    n = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            file.write(line + "\n")
            n += 1
    return n


def write_json_lines(path: Path, rows: Iterable[Any]) -> int:
    """Write one JSON value a line; returns how many."""
    return write_lines(path, (json.dumps(row, ensure_ascii=False) for row in rows))
