"""The addresses of the page, and the function behind each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

__all__ = ["ROOMS", "function_of"]

#: By path: GET for a page (desk, request) -> response, POST for a command (desk, body) -> JSON. Module and
#: function are named, and loaded at their first use: some take seconds for that, and grading needs none.
ROOMS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "/grade": ("GET", "grading.grade_page"),
        "/why": ("GET", "why.why_page"),
        "/traces": ("GET", "traces.traces_page"),
        "/trace": ("GET", "traces.trace_page"),
        "/agreement": ("GET", "agreement.agreement_page"),
        "/documents": ("GET", "documents.documents_page"),
        "/training": ("GET", "training.training_page"),
        "/compare": ("GET", "compare.compare_page"),
        "/text": ("GET", "grading.chunk_text"),
        "/api/state": ("POST", "waiting.state_of"),
        "/api/next": ("POST", "grading.next_cards"),
        "/api/again": ("POST", "regrading.cards_again"),
        "/api/strike": ("POST", "training.strike"),
        "/api/compare": ("POST", "compare.next_comparisons"),
        "/api/prefer": ("POST", "compare.prefer"),
        "/api/last": ("POST", "grading.last_cards"),
        "/api/say": ("POST", "grading.say"),
        "/api/reveal": ("POST", "grading.reveal"),
        "/api/neighbours": ("POST", "grading.show_neighbours"),
        "/api/guideline": ("POST", "grading.keep_guideline"),
    }
)


def function_of(name: str) -> Callable[..., Any]:
    """Load the function behind an address."""
    module, _dot, function = name.partition(".")
    return getattr(import_module(f"ragwheel.review.{module}"), function)  # type: ignore[no-any-return]
