"""File formats of exports, recognised by their first bytes: JSON, CSV, Parquet, SQLite, OTLP protobuf.

:func:`read_records` yields the records of a file in any of these formats. Records that cannot be read are
counted and skipped. This package knows nothing about individual tools.
"""

from __future__ import annotations

import gzip
import mmap
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ragwheel.errors import ImportingError
from ragwheel.importing.containers.databases import read_sqlite
from ragwheel.importing.containers.documents import read_json
from ragwheel.importing.containers.protobuf import is_framed, read_protobuf
from ragwheel.importing.containers.tables import read_csv, read_parquet

__all__ = ["RecordSource", "read_records"]

HEAD_BYTES: Final = 4096


@dataclass
class RecordSource:
    """A file that is being read.

    ``container`` is the detected format, ``unreadable`` counts by reason the records that could not be read,
    and ``progress`` is called with the number of bytes read so far.
    """

    path: Path
    container: str = ""
    unreadable: Counter[str] = field(default_factory=Counter)
    progress: Callable[[int], None] = lambda _: None


def read_records(source: RecordSource) -> Iterator[dict[str, Any]]:
    """Yield the records of a file, each a mapping.

    Raises:
        ImportingError: the file cannot be opened, or its format is unknown.
    """
    path = source.path
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        if head.startswith(b"\x1f\x8b"):
            with gzip.open(path, "rb") as unpacked:
                head = unpacked.read(HEAD_BYTES)
            with gzip.open(path, "rb") as packed_file:
                yield from _records(source, head, packed_file, packed=True)
        else:
            with path.open("rb") as file:
                yield from _records(source, head, file, packed=False)
    except (OSError, EOFError) as exc:
        raise ImportingError(f"{path} cannot be read: {exc}. Nothing of it was imported.") from exc


def _records(source: RecordSource, head: bytes, file: Any, *, packed: bool) -> Iterator[dict[str, Any]]:
    if head[:1] == b"\x80" and head[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}:
        raise ImportingError(
            f"{source.path} is a Python pickle. Reading one can run any code, so it is not opened. "
            f"Write the same data as Parquet, CSV or JSON: frame.to_parquet('traces.parquet')"
        )
    if head.startswith(b"SQLite format 3\0") and not packed:
        source.container = "SQLite"
        yield from read_sqlite(source.path)
    elif head.startswith(b"PAR1") and not packed:
        source.container = "Parquet"
        yield from read_parquet(source.path, source.unreadable, source.progress)
    elif _is_json(head):
        source.container = "JSON"
        yield from read_json(file, source.unreadable, source.progress)
    elif _is_protobuf(head) or is_framed(head):
        source.container = "OTLP protobuf"
        yield from _protobuf(source, file, packed=packed, framed=not _is_protobuf(head))
    elif _is_text(head):
        source.container = "CSV"
        yield from read_csv(file, source.unreadable, source.progress)
    else:
        raise ImportingError(
            f"{source.path} is none of the containers that exports come in. Looked for JSON, JSON lines, "
            f"CSV, Parquet, SQLite, OTLP protobuf and gzip of these; "
            f"saw a file that begins with {head[:16]!r}."
        )


def _protobuf(source: RecordSource, file: Any, *, packed: bool, framed: bool) -> Iterator[dict[str, Any]]:
    """Yield the spans of a protobuf file, which is memory-mapped where possible."""
    # the map is closed when the last view of it is gone: closing it by hand would fail while there is one
    body = file.read() if packed else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    yield from read_protobuf(body, source.unreadable, source.progress, framed=framed)


def _is_json(head: bytes) -> bool:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text[:1] in {b"{", b"["} and _is_text(head)


def _is_text(head: bytes) -> bool:
    """Return whether the bytes are UTF-8 text; a character may be cut off at the end."""
    if not head.strip() or b"\0" in head or sum(byte < 9 or 13 < byte < 32 for byte in head) > 0:
        return False
    try:
        head[: max(1, len(head) - 4)].decode("utf-8")
    except UnicodeDecodeError as exc:
        return exc.start > len(head) - 8
    return True


def _is_protobuf(head: bytes) -> bool:
    """Return whether bytes begin as an OTLP request: field 1, a message whose first field is 1 or 2."""
    if head[:1] != b"\x0a":
        return False
    at = 1
    while at < len(head) and head[at] & 0x80:
        at += 1
    return at + 1 < len(head) and head[at + 1] in {0x0A, 0x12}
