"""The tools whose exports can be imported, one module each.

A record is told by its content, span by span, so that files in which two tools are mixed, or spans of one
tool that passed through another, are read as what they are. The order below is the order of asking: the more
particular conventions come first.
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
"""Name for OpenTelemetry spans that say nothing about retrieval; they still connect those that do."""

_SPAN_TOOLS: Final = tuple(tool for tool in TOOLS if isinstance(tool, SpanTool))


def read(record: Mapping[str, Any]) -> tuple[str | None, Iterator[Neutral]]:
    """Return the name of the tool that a record is from and what it holds; None where no tool knows it."""
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
