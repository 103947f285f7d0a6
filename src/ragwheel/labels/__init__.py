"""From traces to grades: what is evidence, for what, and how far to believe it (``docs/labels.md``)."""

from __future__ import annotations

try:
    import ibis
    import pyarrow as pa
except ImportError as exc:
    from ragwheel.errors import MissingExtra

    raise MissingExtra(
        f"Labels and datasets need {exc.name}. Install it with: pip install 'ragwheel[build]'"
    ) from exc

from ragwheel.labels.graded import graded
from ragwheel.labels.policy import Policy, load_policy
from ragwheel.labels.reasons import Reason
from ragwheel.labels.why import GradeExplanation, why

del ibis, pa

__all__ = ["GradeExplanation", "Policy", "Reason", "graded", "load_policy", "why"]
