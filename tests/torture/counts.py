"""What a round of torture did, counted across processes: one line per event in a file that all append to."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

__all__ = ["COUNTS", "count", "read"]

COUNTS = "RAGWHEEL_TORTURE_COUNTS"
_path = os.environ.get(COUNTS)  # read now: tests run without the settings of whoever started them


def count(what: str, n: int = 1) -> None:
    """Note ``n`` of something; nothing happens outside ``python -m tests.torture``."""
    if _path:
        fd = os.open(_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, f"{what}\t{n}\n".encode())
        finally:
            os.close(fd)


def read(path: Path) -> Counter[str]:
    """The sums so far; a line cut short is left out."""
    found: Counter[str] = Counter()
    if path.exists():
        for line in path.read_text("utf-8").splitlines():
            what, _, n = line.partition("\t")
            if n.isdigit():
                found[what] += int(n)
    return found
