"""MLflow's LangChain autologging into its SQLite backend."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from capture.peers.base import LANGCHAIN, LANGCHAIN_CORE, Peer

__all__ = ["Mlflow"]


class Mlflow(Peer):
    """Traces go through MLflow's own asynchronous queue."""

    venv = "mlflow"
    slow = True
    requirements = ("mlflow==3.17.2", LANGCHAIN, LANGCHAIN_CORE)

    def setup(self) -> None:
        os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
        import mlflow

        mlflow.set_tracking_uri(f"sqlite:///{self.folder}/mlflow.db")
        mlflow.set_experiment("bench")
        mlflow.langchain.autolog()
        self.mlflow = mlflow

    def flush(self) -> None:
        self.mlflow.flush_trace_async_logging()

    def close(self) -> None:
        self.mlflow.flush_trace_async_logging(terminate=True)

    @classmethod
    def stored_at(cls, folder: Path) -> list[Path]:
        return [*sorted(folder.glob("mlflow.db*")), folder / "mlruns", folder / "mlartifacts"]

    @classmethod
    def read(cls, folder: Path) -> Iterator[Any]:
        db = sqlite3.connect(
            folder / "mlflow.db", timeout=30
        )  # writable: a kill may have left a journal to replay
        for (content,) in db.execute("SELECT content FROM spans"):
            yield json.loads(content)
