"""Haystack: the spans of its own OpenTelemetry tracing, with content tracing on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from ragwheel.importing.records import Neutral, SpanKind
from ragwheel.importing.spans import RawSpan
from ragwheel.importing.tools.base import SpanTool, fill
from ragwheel.importing.values import first

__all__ = ["Haystack"]

_ENDINGS: Final[tuple[tuple[str, SpanKind], ...]] = (
    ("retriever", "retriever"),
    ("ranker", "reranker"),
    ("generator", "llm"),
)


class Haystack(SpanTool):
    """Haystack. A component's type determines the kind of its span; its pipeline is the turn."""

    name: ClassVar[str] = "haystack"
    title: ClassVar[str] = "Haystack"
    looks_for: ClassVar[str] = "spans with haystack.component.type or haystack.pipeline.input_data"

    def recognises_span(self, span: RawSpan) -> bool:
        """Recognise spans of components and pipelines."""
        return span.name.startswith("haystack.") and any(
            key.startswith("haystack.") for key in span.attributes
        )

    def read_span(self, span: RawSpan) -> Iterator[Neutral]:
        """Read a component by its type, or a pipeline as a step."""
        values = span.attributes
        kind = _kind(str(values.get("haystack.component.type")))
        result = self.span(span, kind, name=str(first(values, ("haystack.component.name",)) or span.name))
        inputs = _content(values, ("haystack.component.input", "haystack.pipeline.input_data"))
        outputs = _content(values, ("haystack.component.output", "haystack.pipeline.output_data"))
        fill(result, inputs, outputs)
        yield result


def _kind(component: str) -> SpanKind:
    return next((kind for ending, kind in _ENDINGS if component.lower().endswith(ending)), "other")


def _content(values: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """Return the first attribute that is present and not an empty mapping."""
    return next((values[name] for name in names if values.get(name) not in {None, "", "{}"}), None)
