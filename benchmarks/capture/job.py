"""One measured process, as the driver tells it to the worker (JSON on the command line)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Job"]


@dataclass(frozen=True)
class Job:
    """Which peer around which retriever, and where.

    Attributes:
        bare: call the retriever without the peer, in the peer's environment.
        keep: a peer that stores nothing keeps what its exporter saw.
        progress: whether to keep the number of returned calls in a memory-mapped file ``progress``.
        max_s: bound on each run of calls.
    """

    peer: str
    workload: str
    retriever: str
    folder: str = ""
    bare: bool = False
    port: int = 0
    server_pid: int = 0
    warmup: int = 20
    keep: bool = False
    progress: bool = False
    max_s: float = 150.0

    @property
    def path(self) -> Path:
        """The scratch folder."""
        return Path(self.folder)

    def dumps(self) -> str:
        """JSON for the command line."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> Job:
        """The inverse of ``dumps``."""
        return cls(**json.loads(text))
