"""What people judge: which chunks to ask them about, and the evaluation sets that they made before."""

from __future__ import annotations

import ragwheel.labels  # noqa: F401 - first: says which extra is missing
from ragwheel.judgments.evalsets import EvalsetReport, import_evalset
from ragwheel.judgments.queue import Candidate, candidates

__all__ = ["Candidate", "EvalsetReport", "candidates", "import_evalset"]
