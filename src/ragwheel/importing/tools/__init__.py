"""The tools whose exports can be imported, one module each.

The tool is recognised by the content of each record, so a file may mix tools, and spans of one tool may have
passed through another. Tools are asked in the order below, the more specific conventions first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ragwheel.importing.records import Neutral, ToolSpan
from ragwheel.importing.spans import raw_span
from ragwheel.importing.tools.base import SpanTool, Tool
from ragwheel.importing.tools.datadog import Datadog
from ragwheel.importing.tools.genai import GenAI
from ragwheel.importing.tools.haystack import Haystack
from ragwheel.importing.tools.langfuse import Langfuse
from ragwheel.importing.tools.langsmith import LangSmith
from ragwheel.importing.tools.mlflow import MLflow
from ragwheel.importing.tools.openinference import OpenInference
from ragwheel.importing.tools.openllmetry import OpenLLMetry
from ragwheel.importing.tools.opik import Opik
from ragwheel.importing.tools.trulens import TruLens
from ragwheel.importing.tools.ubi import UBI
from ragwheel.importing.tools.weave import Weave

__all__ = ["OTHER", "TOOLS", "read", "titles"]

TOOLS: Final[tuple[Tool, ...]] = (
    Langfuse(),
    MLflow(),
    TruLens(),
    OpenInference(),
    Haystack(),
    OpenLLMetry(),
    GenAI(),
    UBI(),
    Weave(),
    LangSmith(),
    Datadog(),
    Opik(),
)
OTHER: Final = "otel"
"""The name for OpenTelemetry spans of no known tool, which may still connect other spans of a trace."""

_SPAN_TOOLS: Final = tuple(tool for tool in TOOLS if isinstance(tool, SpanTool))


def read(record: Mapping[str, Any]) -> tuple[str | None, Iterator[Neutral]]:
    """Return the name of a record's tool and its neutral records; None if no tool recognises it."""
    for tool in TOOLS:
        if tool.recognises(record):
            return tool.name, tool.read(record)
    span = raw_span(record)
    if span is None:
        return None, iter(())
    for span_tool in _SPAN_TOOLS:
        if span_tool.recognises_span(span):
            return span_tool.name, span_tool.read_span(span)
    plain = ToolSpan(
        OTHER,
        span.trace,
        span.span,
        span.parent,
        span.name,
        "other",
        span.start_ns,
        span.end_ns,
        app=span.service,
        error=span.error,
        truncated=span.truncated,
    )
    return OTHER, iter((plain,))


def titles() -> dict[str, str]:
    """Return the title of every tool by its name."""
    return {tool.name: tool.title for tool in TOOLS}
