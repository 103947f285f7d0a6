"""ragwheel: the decorator, the LangChain integration, and the decorator over a standing merge backlog."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from capture.peers.base import LANGCHAIN_CORE, Peer, Retrieve

__all__ = ["Ragwheel", "RagwheelBacklog", "RagwheelLangChain", "fill_backlog"]

DB = "ragwheel.db"


class Ragwheel(Peer):
    """``@ragwheel.retriever`` around the retriever; this checkout's code, whatever is installed."""

    venv = "ragwheel"
    requirements = (
        LANGCHAIN_CORE,
        "opentelemetry-sdk==1.45.2",
        "msgspec>=0.19",
        "pydantic>=2.7",
        "httpx>=0.27",
        "sqlite-utils==4.2.1",
    )
    retrievers: ClassVar[tuple[str, ...]] = ("langchain", "plain")

    def setup(self) -> None:
        import ragwheel

        ragwheel.configure(db=self.folder / DB)

    def wrap(self, retrieve: Retrieve) -> Retrieve:
        import ragwheel

        @ragwheel.retriever(name="bench", source="kb")
        def search(query: str) -> list[Any]:
            return retrieve(query)

        return search

    def flush(self) -> None:
        import ragwheel

        if not ragwheel.flush(timeout_s=300):
            raise TimeoutError("ragwheel.flush() did not finish in 300 s; see ragwheel.stats()")

    def close(self) -> None:
        import ragwheel

        ragwheel.shutdown()

    @classmethod
    def stored_at(cls, folder: Path) -> list[Path]:
        return [*sorted(folder.glob(f"{DB}*"))]

    @classmethod
    def read(cls, folder: Path) -> Iterator[Any]:
        from ragwheel.store import open_store

        db = open_store(folder / DB)
        chunks = {
            version: (chunk, text, json.loads(metadata or "{}"))
            for version, chunk, text, metadata in db.execute(
                "SELECT chunk_version, chunk_id, text, metadata FROM chunks"
            )
        }
        found = db.execute("SELECT retrieval_id, query FROM retrievals ORDER BY start_ns").fetchall()
        for retrieval, query in found[:: max(1, len(found) // 20)]:
            ranked = db.execute(
                "SELECT * FROM impressions WHERE retrieval_id = ? ORDER BY rank", (retrieval,)
            )
            names = [column[0] for column in ranked.description]
            rows = [dict(zip(names, row, strict=True)) for row in ranked]
            yield {"query": query, "documents": [[row, *chunks[row["chunk_version"]]] for row in rows]}

    @classmethod
    def read_queries(cls, folder: Path) -> Iterator[str]:
        from ragwheel.store import open_store

        for (query,) in open_store(folder / DB).execute("SELECT query FROM retrievals"):
            yield query


class RagwheelLangChain(Ragwheel):
    """``ragwheel_langchain.instrument()``: LangChain's callbacks, nothing wrapped by hand."""

    retrievers = ("langchain",)

    def setup(self) -> None:
        super().setup()
        import ragwheel_langchain

        ragwheel_langchain.instrument()

    def wrap(self, retrieve: Retrieve) -> Retrieve:
        return retrieve


class RagwheelBacklog(Ragwheel):
    """The decorator while this process's merger works through what a killed process left behind."""

    retrievers = ("langchain",)
    backlog = True

    def facts(self) -> dict[str, Any]:
        return {"unmerged_orphans": backlog_left(self.folder / DB)}


def backlog_left(db: Path) -> int:
    """Segments in the journal that belong to nobody alive and are not merged yet."""
    from ragwheel.journal.files import segments

    own = f"-{os.getpid()}-"
    return sum(own not in path.name for path in segments(db))


def fill_backlog(folder: Path, retrieve: Retrieve, queries: Iterator[str]) -> None:
    """Write retrievals into the journal of ``folder`` while nobody may merge, then die as by SIGKILL."""
    import ragwheel
    from ragwheel.journal.files import merge_lock

    with merge_lock(folder / DB, timeout_s=5):
        ragwheel.configure(db=folder / DB)
        search = ragwheel.retriever(name="bench", source="kb")(retrieve)
        for query in queries:
            search(query)
        os._exit(0)
