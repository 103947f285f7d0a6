"""The addresses of the page, and the function behind each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from ragwheel.review import agreement, compare, documents, grading, regrading, traces, training, why

__all__ = ["ROOMS"]

#: By path: GET for a page (desk, request) -> response, POST for a command (desk, body) -> JSON.
ROOMS: Final[Mapping[str, tuple[str, Callable[..., Any]]]] = MappingProxyType(
    {
        "/grade": ("GET", grading.grade_page),
        "/why": ("GET", why.why_page),
        "/traces": ("GET", traces.traces_page),
        "/trace": ("GET", traces.trace_page),
        "/agreement": ("GET", agreement.agreement_page),
        "/documents": ("GET", documents.documents_page),
        "/training": ("GET", training.training_page),
        "/compare": ("GET", compare.compare_page),
        "/text": ("GET", grading.chunk_text),
        "/api/next": ("POST", grading.next_cards),
        "/api/again": ("POST", regrading.cards_again),
        "/api/strike": ("POST", training.strike),
        "/api/compare": ("POST", compare.next_comparisons),
        "/api/prefer": ("POST", compare.prefer),
        "/api/last": ("POST", grading.last_cards),
        "/api/say": ("POST", grading.say),
        "/api/reveal": ("POST", grading.reveal),
        "/api/neighbours": ("POST", grading.show_neighbours),
        "/api/guideline": ("POST", grading.keep_guideline),
    }
)
