"""Langfuse's SDK in front of a loopback sink that accepts every OTLP body and keeps it as a file."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from capture.peers.base import LANGCHAIN, LANGCHAIN_CORE, Peer, Retrieve
from capture.places import worker_environment

__all__ = ["Langfuse"]


class Langfuse(Peer):
    """Its own server needs PostgreSQL and ClickHouse; the sink stores bodies as they arrive, compressed."""

    venv = "langfuse"
    requirements = ("langfuse==5.0.4", LANGCHAIN, LANGCHAIN_CORE)

    @classmethod
    def serve(cls, folder: Path, port: int) -> tuple[subprocess.Popen[bytes], Callable[[], bool]]:
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "capture.sink", str(port), str(folder / "sink")],
                env=worker_environment(),
                stdout=log,
                stderr=log,
            )

        def ready() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        return process, ready

    def setup(self) -> None:
        address = f"http://127.0.0.1:{self.port}"
        os.environ.update(
            LANGFUSE_PUBLIC_KEY="pk-lf-bench",
            LANGFUSE_SECRET_KEY="sk-lf-bench",
            LANGFUSE_BASE_URL=address,
            LANGFUSE_HOST=address,
        )
        from langfuse import get_client
        from langfuse.langchain import CallbackHandler

        self.handler, self.client = CallbackHandler(), get_client()

    def wrap(self, retrieve: Retrieve) -> Retrieve:
        config = {"callbacks": [self.handler]}
        invoke: Any = retrieve
        return lambda query: invoke(query, config=config)

    def flush(self) -> None:
        self.client.flush()

    def close(self) -> None:
        self.client.shutdown()

    @classmethod
    def stored_at(cls, folder: Path) -> list[Path]:
        return sorted((folder / "sink").glob("*.otlp*"))

    @classmethod
    def read(cls, folder: Path) -> Iterator[Any]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        for path in cls.stored_at(folder):
            raw = path.read_bytes()
            request = ExportTraceServiceRequest.FromString(
                gzip.decompress(raw) if path.suffix == ".gz" else raw
            )
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        yield {a.key: a.value.string_value for a in span.attributes}
