"""A tracer that records pipelines and hands everything on to the tracer that was set before it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Final

from haystack import tracing
from haystack.tracing import Span, Tracer

from ragwheel.integration import guard
from ragwheel_haystack.calls import ComponentCall, PipelineCall, begin

__all__ = ["CaptureTracer", "instrument", "uninstrument"]

_BEGINNING: Final = guard("beginning to record a Haystack run")


class ObservedSpan(Span):
    """A span of the app's tracer whose contents are recorded, too, whether or not that tracer wants them."""

    def __init__(self, span: Span, call: PipelineCall | ComponentCall) -> None:
        self.span = span
        self._call = call

    def set_tag(self, key: str, value: Any) -> None:
        """Set a tag of the app's span."""
        self.span.set_tag(key, value)

    def set_tags(self, tags: dict[str, Any]) -> None:
        """Set tags of the app's span."""
        self.span.set_tags(tags)

    def set_content_tag(self, key: str, value: Any) -> None:
        """Let the app's span decide about the content, and record it."""
        self.span.set_content_tag(key, value)
        self._call.content(key, value)

    def raw_span(self) -> Any:
        """Return what the app's tracer works with."""
        return self.span.raw_span()

    def get_correlation_data_for_logs(self) -> dict[str, Any]:
        """Return what the app's span has for its logs."""
        return self.span.get_correlation_data_for_logs()

    def __getattr__(self, name: str) -> Any:
        """Look up in the app's span what this one has not."""
        if name == "span":
            raise AttributeError(name)
        return getattr(self.span, name)


class CaptureTracer(Tracer):
    """Records while ``active``; ``tracer`` is the app's own, or Haystack's that does nothing."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.active = True

    @contextlib.contextmanager
    def trace(
        self, operation_name: str, tags: dict[str, Any] | None = None, parent_span: Span | None = None
    ) -> Iterator[Span]:
        """Trace as the app's tracer does, and record the run."""
        parent = parent_span.span if isinstance(parent_span, ObservedSpan) else parent_span
        with self.tracer.trace(operation_name, tags=tags, parent_span=parent) as span:
            call = _begun(operation_name, tags or {}) if self.active else None
            if call is None:
                yield span
                return
            try:
                yield ObservedSpan(span, call)
            except BaseException as error:
                call.end(error)
                raise
            call.end(None)

    def current_span(self) -> Span | None:
        """Return the app's current span."""
        return self.tracer.current_span()

    def __getattr__(self, name: str) -> Any:
        """Look up in the app's tracer what this one has not."""
        if name == "tracer":
            raise AttributeError(name)
        return getattr(self.tracer, name)


@_BEGINNING
def _begun(operation: str, tags: dict[str, Any]) -> Any:
    return begin(operation, tags)


_changing: Final = threading.Lock()


def instrument() -> None:
    """Record every pipeline run from now on; calling it again changes nothing.

    Call it after ``haystack.tracing.enable_tracing(...)``, whose tracer goes on working; call it again when
    tracing was enabled later. The source of a retrieval is the name of its component in the pipeline.
    """
    with _changing:
        current = tracing.tracer.actual_tracer
        if isinstance(current, CaptureTracer):
            current.active = True
        else:
            tracing.enable_tracing(CaptureTracer(current))


def uninstrument() -> None:
    """Record no further runs; runs under way are recorded to their end. Safe to call at any time."""
    with _changing:
        current = tracing.tracer.actual_tracer
        if isinstance(current, CaptureTracer):
            current.active = False
            tracing.tracer.actual_tracer = current.tracer
