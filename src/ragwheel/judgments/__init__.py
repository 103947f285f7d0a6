"""Relevance judgments: grades by people, the queue of what to ask them, and evaluation sets.

Writing grades (:func:`judge`, :func:`judge_many`, :func:`import_judgments`) needs the light core only. The
queue (:func:`candidates`) and evaluation sets (:func:`import_evalset`) need the extra ``build`` and are
loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ragwheel.judgments.people import (
    Judgment,
    JudgmentReport,
    import_judgments,
    judge,
    judge_many,
    unjudge,
)

if TYPE_CHECKING:
    from ragwheel.judgments.evalsets import EvalsetReport, import_evalset
    from ragwheel.judgments.pairs import OpenPair
    from ragwheel.judgments.queue import Candidate, candidates, open_pairs

__all__ = [
    "Candidate",
    "EvalsetReport",
    "Judgment",
    "JudgmentReport",
    "OpenPair",
    "candidates",
    "import_evalset",
    "import_judgments",
    "judge",
    "judge_many",
    "open_pairs",
    "unjudge",
]

_MODULES = {
    "Candidate": "queue",
    "EvalsetReport": "evalsets",
    "OpenPair": "pairs",
    "candidates": "queue",
    "import_evalset": "evalsets",
    "open_pairs": "queue",
}


def __getattr__(name: str) -> Any:
    """Load the queue or the evaluation sets at their first use; raises MissingExtra without ``build``."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if _MODULES[name] != "pairs":
        import_module("ragwheel.labels")  # first: says which extra is missing
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
