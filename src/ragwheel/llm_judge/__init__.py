"""Judging of passages by an LLM or a local model, within a budget and compared with people's grades.

::

    from ragwheel.llm_judge import Endpoint, JudgeOptions, judge

    endpoint = Endpoint("https://api.example.com/v1", "a-model", key="...")
    report = judge("ragwheel.db", endpoint=endpoint, options=JudgeOptions(limit=500, budget_tokens=200_000))
    print(report.agreement, report.flip_rate)

``docs/judge.md`` describes what is stored and how far a judge's grades can be trusted.
"""

from __future__ import annotations

import ragwheel.evaluate  # noqa: F401 - first: says which extra is missing
from ragwheel.endpoints import Endpoint
from ragwheel.llm_judge.agreement import Agreement, GradeMapping, agreement
from ragwheel.llm_judge.budget import Prices
from ragwheel.llm_judge.client import Limits
from ragwheel.llm_judge.offline import OfflineJudge, scorer
from ragwheel.llm_judge.options import Estimate, JudgeOptions, JudgeReport, Preference
from ragwheel.llm_judge.run import dry_run, judge
from ragwheel.llm_judge.support import Support, check_support

__all__ = [
    "Agreement",
    "Endpoint",
    "Estimate",
    "GradeMapping",
    "JudgeOptions",
    "JudgeReport",
    "Limits",
    "OfflineJudge",
    "Preference",
    "Prices",
    "Support",
    "agreement",
    "check_support",
    "dry_run",
    "judge",
    "scorer",
]
