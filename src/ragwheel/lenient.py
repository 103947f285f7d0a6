"""Lenient parsing of files of other programs: JSON within JSON, Python literals, CSV with any delimiter."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from typing import IO, Any, Final

import msgspec

__all__ = ["csv_rows", "parse_loosely"]

MAX_DEPTH: Final = 4  # JSON inside JSON inside JSON
MAX_REPR_CHARS: Final = 2_000_000
_OBJECT: Final = re.compile(r"<[\w.]+(?: object)? at 0x[0-9a-fA-F]+>|<[\w.]+: ('[^']*'|\d+)>")
_ARRAY: Final = re.compile(r"\barray\((\[.*?\])(?:, dtype=[^)]*)?\)", re.DOTALL)
_NEXT_OBJECT: Final = re.compile(r"\}\s+\{")
_NAN: Final = re.compile(r"(?<=[\s:\[,(])(nan|inf|-inf|NaN|NaT|None|null)(?=[\s,\])}])")
MAX_CELL_CHARS: Final = 64 * 1024 * 1024


def parse_loosely(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Parse a text that is JSON or a Python literal, also if encoded twice; return others unchanged."""
    while depth > 0 and isinstance(value, str):
        text = value.strip()
        if not text or text[0] not in "[{\"'(" or len(text) < 2:
            return value
        decoded = _decoded(text)
        if decoded is None:
            return value
        value, depth = decoded, depth - 1
    return value


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        pass  # no strict JSON: Python's reader also takes NaN, then Python's own way of writing it is tried
    if text[0] in "[{":
        try:
            return json.loads(text, strict=False)
        except (ValueError, RecursionError):
            pass  # the next attempt reads it as Python
    return _literal(text) if len(text) <= MAX_REPR_CHARS else None


def _literal(text: str) -> Any:
    """Parse a Python literal, with objects as None, or the ``repr`` of a numpy array of texts or mappings."""
    plain = _ARRAY.sub(r"\1", _OBJECT.sub("None", text))
    plain = _NEXT_OBJECT.sub("}, {", _NAN.sub("None", plain))
    try:
        return ast.literal_eval(_with_commas(plain))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _with_commas(text: str) -> str:
    """Put commas between texts that stand side by side: numpy writes a list of two texts so.

    Python would read them as one text.
    """
    if not text.startswith("["):
        return text
    edits: list[tuple[int, int]] = []
    previous: tokenize.TokenInfo | None = None
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.STRING and previous is not None and previous.type == tokenize.STRING:
                edits.append(previous.end)
            if token.type not in {tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT}:
                previous = token
    except (tokenize.TokenError, SyntaxError, IndentationError):
        return text
    lines = text.splitlines(keepends=True)
    for line, column in reversed(edits):
        lines[line - 1] = f"{lines[line - 1][:column]}, {lines[line - 1][column:]}"
    return "".join(lines)


def csv_rows(text: IO[str], unreadable: Counter[str], *, blanks: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the rows of CSV text; blank cells are left out unless ``blanks`` is set.

    A row of another width than the header is counted. The delimiter is the one
    that the header holds most often. Cells may have up to 64 million characters.
    """
    header_line = text.readline()
    delimiter = max(",\t;", key=header_line.count)
    previous_limit = csv.field_size_limit(MAX_CELL_CHARS)
    try:
        names = next(csv.reader([header_line], delimiter=delimiter), [])
        reader = csv.reader(text, delimiter=delimiter)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                unreadable["broken row of CSV"] += 1
                continue
            if not cells:
                continue
            if len(cells) != len(names):
                unreadable["wrong number of cells"] += 1
                continue
            yield {name: cell for name, cell in zip(names, cells) if blanks or cell != ""}
    finally:
        csv.field_size_limit(previous_limit)
