"""OpenInference's LangChain instrumentation: into JSON lines, or into Phoenix and its SQLite file."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capture.peers.base import LANGCHAIN_CORE, Peer
from capture.places import home

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["OpenInferenceJsonl", "OpenInferencePhoenix"]


class OpenInferenceJsonl(Peer):
    """Spans written as JSON lines by a BatchSpanProcessor."""

    venv = "openinference"
    requirements = (
        LANGCHAIN_CORE,
        "opentelemetry-sdk==1.45.2",
        "openinference-instrumentation-langchain==0.1.80",
        "opentelemetry-exporter-otlp-proto-http==1.45.2",
    )

    def _exporter(self) -> SpanExporter:
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        self.file = (self.folder / "spans.jsonl").open("a", encoding="utf-8")
        return ConsoleSpanExporter(out=self.file, formatter=lambda span: span.to_json(indent=None) + "\n")

    def setup(self) -> None:
        from openinference.instrumentation.langchain import LangChainInstrumentor
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self.provider = TracerProvider()
        self.provider.add_span_processor(BatchSpanProcessor(self._exporter()))
        LangChainInstrumentor().instrument(tracer_provider=self.provider)

    def flush(self) -> None:
        self.provider.force_flush()
        self.file.flush()
        os.fsync(self.file.fileno())

    def close(self) -> None:
        self.provider.shutdown()

    @classmethod
    def stored_at(cls, folder: Path) -> list[Path]:
        return [folder / "spans.jsonl"]

    @classmethod
    def read(cls, folder: Path) -> Iterator[Any]:
        with (folder / "spans.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("}\n"):  # a kill may have torn the last one
                    yield json.loads(line)["attributes"]


class OpenInferencePhoenix(OpenInferenceJsonl):
    """Spans sent by OTLP to a Phoenix server on loopback; stored once its SQLite file has the row."""

    slow = True
    server_venv = "phoenix"
    server_requirements = ("arize-phoenix==20.26.1",)

    def _exporter(self) -> SpanExporter:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter: SpanExporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{self.port}/v1/traces")
        return exporter

    @classmethod
    def serve(cls, folder: Path, port: int) -> tuple[subprocess.Popen[bytes], Callable[[], bool]]:
        (folder / "phoenix").mkdir()
        env = {
            **os.environ,
            "PHOENIX_WORKING_DIR": str(folder / "phoenix"),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(port),
            "PHOENIX_GRPC_PORT": str(port + 1),
            "PHOENIX_TELEMETRY_ENABLED": "false",
            "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
            "no_proxy": "127.0.0.1,localhost",
        }
        with (folder / "server.log").open("wb") as log:
            command = [str(home() / cls.server_venv / "bin" / "phoenix"), "serve"]
            process = subprocess.Popen(command, env=env, stdout=log, stderr=log)

        def ready() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        return process, ready

    @classmethod
    def _db(cls, folder: Path) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{folder}/phoenix/phoenix.db?mode=ro", uri=True, timeout=30)

    @classmethod
    def settle(cls, folder: Path, idle_s: float = 6.0, at_most_s: float = 240.0) -> float:
        began, stored, progress = time.monotonic(), -1, time.time()
        db = cls._db(folder)
        while time.monotonic() - began < at_most_s and time.time() - progress < idle_s:
            (n,) = db.execute("SELECT count(*) FROM spans").fetchone()
            if n != stored:
                stored, progress = n, time.time()
            time.sleep(0.1)
        db.close()
        return progress

    def flush(self) -> None:
        self.provider.force_flush()
        self.durable_at = self.settle(self.folder)

    @classmethod
    def stored_at(cls, folder: Path) -> list[Path]:
        return sorted((folder / "phoenix").glob("phoenix.db*"))

    @classmethod
    def read(cls, folder: Path) -> Iterator[Any]:
        for (attributes,) in cls._db(folder).execute("SELECT attributes FROM spans"):
            yield json.loads(attributes)
