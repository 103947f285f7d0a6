"""A configured runtime whose spans and log records are caught in memory."""

from __future__ import annotations

import json

import pytest
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import ragwheel
from ragwheel.guard import guard


class Caught:
    """What left for the exporters."""

    def __init__(self) -> None:
        self.spans = InMemorySpanExporter()
        self.logs = InMemoryLogRecordExporter()

    def targets(self):
        return SimpleSpanProcessor(self.spans), SimpleLogRecordProcessor(self.logs)

    def all(self):
        """The spans by name, each the last of its name."""
        return {span.name: span for span in self.spans.get_finished_spans()}

    def text(self):
        """Everything that left, as one text to search in."""
        spans = [span.to_json() for span in self.spans.get_finished_spans()]
        logs = [record.to_json() for record in self.logs.get_finished_logs()]
        return json.dumps([json.loads(each) for each in spans + logs], ensure_ascii=False)


@pytest.fixture
def caught(tmp_path):
    """Configures with content or without: ``caught(export_content=True)``."""

    def configure(**settings):
        guard.reset()
        found = Caught()
        ragwheel.configure(
            tmp_path / "traces.db", app="shop", merge_interval_s=60, exporters=found.targets(), **settings
        )
        return found

    return configure
