"""The page of clients that ragwheel reads, made by asking the clients that are installed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.clients.shapes import CLIENTS, TEXTS, Client

from ragwheel.host.results import Reading, read_result

__all__ = ["PAGE", "parts_read", "rows"]

PAGE = Path(__file__).parents[2] / "docs" / "works-with.md"
_TABLE = re.compile(r"(?<=<!-- clients -->\n\n).*?(?=\n\n<!-- end of clients -->)", re.DOTALL)
_HEADER = "| package | version | what the function returns | read | run |\n|---|---|---|---|---|"


def parts_read(reading: Reading) -> tuple[bool, bool, bool]:
    """Whether the chunks have ids of their own, their texts, and scores."""
    columns = reading.columns
    return (
        len(columns.ids) == len(TEXTS)
        and not any(key.startswith(("text:", "unread:")) for key in columns.ids),
        sorted(columns.texts) == sorted(TEXTS),
        columns.scores is not None,
    )


def rows() -> Iterator[tuple[Client, str, Reading]]:
    """Every client that is installed, its version, and how its result is read."""
    for client in CLIENTS:
        try:
            installed = version(client.package)
        except PackageNotFoundError:
            continue
        yield client, installed, read_result(client.make(), 40)


def main() -> None:
    """Write the table into the page."""
    lines = [_HEADER]
    for client, installed, reading in rows():
        names = [
            name for name, there in zip(("id", "text", "score"), parts_read(reading), strict=True) if there
        ]
        read = f"refused: {reading.unreadable}" if reading.unreadable else ", ".join(names)
        run = "the client, embedded" if client.embedded else "its response classes, by hand"
        lines.append(f"| `{client.package}` | {installed} | `{client.call}` | {read} | {run} |")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_TABLE.sub(lambda _: "\n".join(lines), page), encoding="utf-8")
    sys.stdout.write(f"{len(lines) - 1} rows in {PAGE}\n")


if __name__ == "__main__":
    main()
