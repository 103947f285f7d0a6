"""Traceloop's SDK (OpenLLMetry) in front of an exporter that only counts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from capture.peers.base import LANGCHAIN, LANGCHAIN_CORE, Peer
from capture.peers.counting import counting_exporter

__all__ = ["Traceloop"]


class Traceloop(Peer):
    """Nothing is stored: what it costs is the instrumentation and the batching alone."""

    venv = "traceloop"
    requirements = ("traceloop-sdk==0.62.4", LANGCHAIN, LANGCHAIN_CORE)
    stores = False

    def setup(self) -> None:
        os.environ.update(
            TRACELOOP_TELEMETRY="false", TRACELOOP_METRICS_ENABLED="false", TRACELOOP_LOGGING_ENABLED="false"
        )
        from opentelemetry import trace
        from traceloop.sdk import Traceloop as Sdk
        from traceloop.sdk.instruments import Instruments

        keep_in = self.folder / "kept.jsonl" if (self.folder / "keep").exists() else None
        self.exporter: Any = counting_exporter(keep_in)
        Sdk.init(
            app_name="bench",
            exporter=self.exporter,
            disable_batch=False,
            telemetry_enabled=False,
            instruments={Instruments.LANGCHAIN},
        )
        self.provider: Any = trace.get_tracer_provider()

    def flush(self) -> None:
        self.provider.force_flush()

    def close(self) -> None:
        self.provider.shutdown()

    def delivered(self) -> int:
        return int(self.exporter.n)

    @classmethod
    def read(cls, folder: Path) -> Iterator[Any]:
        if (folder / "kept.jsonl").exists():
            with (folder / "kept.jsonl").open(encoding="utf-8") as lines:
                yield from map(json.loads, lines)
