"""Frames: how records stand in a segment.

::

    offset  size  field
    0       2     magic, A7 52
    2       1     kind of record
    3       1     format, 1
    4       4     length of the payload, little-endian
    8       4     CRC-32 of bytes 0-7 and the payload
    12      n     payload

A frame is written by one ``write``. A reader stops at the first frame that is not whole: in a live
segment the writer may still be at it, in an orphaned one it is the torn tail of a call that never
returned. Damage in the middle is stepped over to the next frame that checks out, and counted.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["HEADER_BYTES", "Frame", "encode", "read", "scan"]

MAGIC = b"\xa7R"
FORMAT = 1
_HEAD = struct.Struct("<2sBBI")
_CRC = struct.Struct("<I")
HEADER_BYTES = _HEAD.size + _CRC.size
WINDOW_BYTES: Final = 1024 * 1024


class Frame(NamedTuple):
    """One whole frame: ``end`` is the offset just behind it, ``skipped`` damaged bytes before it."""

    kind: int
    payload: memoryview
    end: int
    skipped: int


def encode(kind: int, payload: bytes) -> bytes:
    """The bytes of one frame."""
    head = _HEAD.pack(MAGIC, kind, FORMAT, len(payload))
    return b"".join((head, _CRC.pack(zlib.crc32(payload, zlib.crc32(head))), payload))


def _frame_at(data: memoryview, at: int) -> tuple[int, int] | None:
    """``(kind, end)`` of the whole frame at ``at``, or None."""
    if len(data) - at < HEADER_BYTES:
        return None
    magic, kind, form, length = _HEAD.unpack_from(data, at)
    end = at + HEADER_BYTES + length
    if magic != MAGIC or form != FORMAT or end > len(data):
        return None
    (crc,) = _CRC.unpack_from(data, at + _HEAD.size)
    if zlib.crc32(data[at + HEADER_BYTES : end], zlib.crc32(data[at : at + _HEAD.size])) != crc:
        return None
    return kind, end


def scan(data: bytes | memoryview, *, resync: bool) -> Iterator[Frame]:
    """Yield the whole frames of ``data`` in order.

    Args:
        data: bytes that begin at a frame's first byte.
        resync: step over damage to the next whole frame (an orphan, which nobody is writing);
            otherwise stop at the first frame that is not whole.
    """
    view = memoryview(data)
    raw = bytes(data) if resync else b""
    at = skipped = 0
    while at < len(view):
        found = _frame_at(view, at)
        if found is not None:
            kind, end = found
            yield Frame(kind, view[at + HEADER_BYTES : end], end, skipped)
            at, skipped = end, 0
        elif not resync:
            return
        else:
            following = raw.find(MAGIC, at + 1)
            if following < 0:
                return
            skipped += following - at
            at = following


def read(fd: int, start: int, end: int, *, resync: bool) -> Iterator[Frame]:
    """Yield the whole frames of a file between two offsets; ``Frame.end`` counts from the file's beginning.

    Reads a megabyte at a time, more only where a frame is larger. ``resync`` as in :func:`scan`.
    """
    window = WINDOW_BYTES
    while start < end:
        data = os.pread(fd, min(window, end - start), start)
        if not data:  # shorter than it was
            return
        last = start + len(data) >= end
        reached = 0
        for frame in scan(data, resync=resync and last):
            reached = frame.end
            yield frame._replace(end=start + reached)
        if reached:
            start += reached
            window = WINDOW_BYTES
        elif last:
            return
        else:
            window *= 2
