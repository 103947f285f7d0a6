"""What the app gives to `exporters=` stays the app's; a flush keeps its time limit and tells the truth."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import ragwheel
from ragwheel.guard import guard


@ragwheel.retriever(source="kb")
def search(query):
    return ["a"]


class Blocking(SpanExporter):
    """An exporter whose collector does not answer."""

    def __init__(self):
        self.released = threading.Event()

    def export(self, spans):
        assert self.released.wait(60)
        return SpanExportResult.SUCCESS

    def shutdown(self):
        raise AssertionError("the exporter is the app's")


THEIRS, OURS = logging.getLogger("opentelemetry.exporter.otlp"), logging.getLogger(__name__)


class Refusing(SpanExporter):
    """One whose collector is down, and which says so in the log."""

    def export(self, spans):
        THEIRS.error("Failed to export")
        OURS.error("Failed to export")
        return SpanExportResult.FAILURE


@pytest.fixture(autouse=True)
def _as_in_production(monkeypatch):
    guard.reset()
    monkeypatch.setattr(guard, "strict", False)


@pytest.mark.parametrize("processor", [BatchSpanProcessor, SimpleSpanProcessor])
def test_a_processor_is_shared_and_given_again(tmp_path, processor):
    out = InMemorySpanExporter()
    shared = processor(out)
    provider = TracerProvider()
    provider.add_span_processor(shared)
    for _ in range(3):
        ragwheel.configure(tmp_path / "t.db", exporters=[shared])
        search("q")
    ragwheel.shutdown()
    with provider.get_tracer("app").start_as_current_span("the app's"):
        pass
    provider.force_flush()
    assert [span.name for span in out.get_finished_spans()] == ["retrieval kb"] * 3 + ["the app's"]


def test_an_exporter_is_shared_and_given_again(tmp_path):
    out = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(out))
    for _ in range(3):
        ragwheel.configure(tmp_path / "t.db", exporters=[out])
        search("q")
    ragwheel.shutdown()
    with provider.get_tracer("app").start_as_current_span("the app's"):
        pass
    assert len(out.get_finished_spans()) == 4


@pytest.mark.parametrize(
    "wrap", [lambda exporter: exporter, BatchSpanProcessor], ids=["exporter", "processor"]
)
def test_flush_keeps_its_timeout(tmp_path, wrap):
    blocking = Blocking()
    ragwheel.configure(tmp_path / "t.db", exporters=[wrap(blocking)])
    search("q")
    started_s = time.monotonic()
    assert ragwheel.flush(0.3) is False
    assert time.monotonic() - started_s < 20
    blocking.released.set()
    assert ragwheel.flush(60)


def test_flush_tells_of_a_failure_and_the_exporters_own_log_stays_quiet(tmp_path, caplog):
    ragwheel.configure(tmp_path / "t.db", exporters=[Refusing()])
    search("q")
    search("q")
    assert ragwheel.flush(30) is False
    assert [record.name for record in caplog.records] == ["ragwheel"]
    assert "Refusing" in caplog.text
    assert ragwheel.flush(30)
    THEIRS.error("the app's own use of it")
    assert "the app's own use of it" in caplog.text


def test_a_disabled_sdk_exports_nothing_and_records_everything(tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    out = InMemorySpanExporter()
    ragwheel.configure(tmp_path / "t.db", exporters=[out])
    search("q")
    assert ragwheel.flush(30)
    assert out.get_finished_spans() == ()
    assert ragwheel.stats().stored == 1


def test_a_forked_child_exports_its_own(tmp_path):
    out = tmp_path / "spans"

    class Writing(SpanExporter):
        def export(self, spans):
            with out.open("a") as file:
                file.writelines(f"{span.name} {os.getpid()}\n" for span in spans)
            return SpanExportResult.SUCCESS

    ragwheel.configure(tmp_path / "t.db", exporters=[Writing()])
    search("q")
    child = os.fork()
    if child == 0:
        search("q")
        os._exit(0 if ragwheel.flush(30) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert ragwheel.flush(30)
    assert sorted(out.read_text().splitlines()) == sorted(
        f"retrieval kb {pid}" for pid in (os.getpid(), child)
    )


def test_configuring_again_and_again_leaks_nothing(tmp_path):
    """Neither descriptors nor threads, also with turns open across it."""

    def open_now():
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    ragwheel.configure(tmp_path / "0.db", exporters=[InMemorySpanExporter()])
    before = open_now()
    for n in range(30):
        ragwheel.configure(tmp_path / f"{n % 2}.db", exporters=[InMemorySpanExporter()])
        with ragwheel.turn("t"):
            search("q")
            ragwheel.configure(tmp_path / f"{(n + 1) % 2}.db", exporters=[InMemorySpanExporter()])
    descriptors, threads = open_now()
    assert descriptors - before[0] <= 6
    assert threads - before[1] <= 6
