"""What a peer is: how it is set up, wrapped around a retriever, flushed, and read back."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

__all__ = ["LANGCHAIN", "LANGCHAIN_CORE", "Peer", "Retrieve", "sizes"]

Retrieve = Callable[[str], list[Any]]

LANGCHAIN_CORE = "langchain-core==1.7.2"
LANGCHAIN = "langchain==1.4.7"


def sizes(paths: list[Path]) -> int:
    """Bytes of the files among ``paths`` and in the folders among them."""
    files = [f for p in paths for f in (p.rglob("*") if p.is_dir() else [p])]
    return sum(f.stat().st_size for f in files if f.is_file())


class Peer:
    """One way to capture retrievals. Imports of its libraries belong inside the methods.

    Attributes:
        venv: environment its processes run in.
        requirements: what that environment holds, pinned.
        retrievers: kinds of retriever it can wrap.
        stores: whether anything is stored; False: an exporter only counts what it is given.
        backlog: whether its store starts with a merge backlog.
        slow: takes a minute or more per test.
        server_venv, server_requirements: environment of the server it sends to, if any.
    """

    venv: ClassVar[str] = "otel"
    requirements: ClassVar[tuple[str, ...]] = (
        LANGCHAIN_CORE,
        "opentelemetry-sdk==1.45.2",
        "sqlite-utils==4.2.1",
    )
    retrievers: ClassVar[tuple[str, ...]] = ("langchain",)
    stores: ClassVar[bool] = True
    backlog: ClassVar[bool] = False
    slow: ClassVar[bool] = False
    server_venv: ClassVar[str] = ""
    server_requirements: ClassVar[tuple[str, ...]] = ()

    durable_at: float | None = None  # Unix time, where flush() itself has to wait to be sure

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port

    def setup(self) -> None:
        """Install the instrumentation and open the sink; not timed."""

    def wrap(self, retrieve: Retrieve) -> Retrieve:
        """The instrumented retriever."""
        return retrieve

    def flush(self) -> None:
        """Return when everything captured so far is stored."""

    def close(self) -> None:
        """End as an app would that shuts down in order."""

    def delivered(self) -> int | None:
        """How many retrievals the exporter has seen, for a peer that stores nothing."""
        return None

    def facts(self) -> dict[str, Any]:
        """Anything worth keeping beside the figures, asked for right after the measured calls."""
        return {}

    @classmethod
    def serve(cls, folder: Path, port: int) -> tuple[subprocess.Popen[bytes], Callable[[], bool]] | None:
        """Start the server it needs: the process and a function that says when it is ready."""
        return None

    @classmethod
    def settle(cls, folder: Path) -> float | None:
        """Wait (bounded) until its server has stored what it accepted; Unix time of the last progress."""
        return None

    @classmethod
    def stored_at(cls, folder: Path) -> list[Path]:
        """Files and folders whose bytes count as stored."""
        return []

    @classmethod
    def read(cls, folder: Path) -> Iterator[Any]:
        """Per stored retrieval, any nesting of values that holds what was stored."""
        return iter(())

    @classmethod
    def read_queries(cls, folder: Path) -> Iterator[str] | None:
        """Per stored retrieval a text holding its query, where that is much cheaper than ``read``."""
        return None
