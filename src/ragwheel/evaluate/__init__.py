"""Measure retrievers honestly: held-out queries, baselines, intervals, a verdict where there is one.

::

    from ragwheel.evaluate import baselines, embedder, evaluate, read_traces, recommend

    collection = read_traces("dataset", "ragwheel.db")
    found = evaluate(collection, [*baselines("minilm"), embedder("models/mine", "mine")])
    print(found.comparisons["mine"].verdict, recommend(found).system)

``docs/evaluation.md`` says how to read the table.
"""

from __future__ import annotations

import ragwheel.datasets  # noqa: F401 - first: says which extra is missing

try:
    import bm25s
    import ir_measures
    import scipy
except ImportError as exc:
    from ragwheel.errors import MissingExtra

    raise MissingExtra(
        f"Evaluation needs {exc.name}. Install it with: pip install 'ragwheel[evaluate]'"
    ) from exc

from ragwheel.evaluate.beir import read_beir
from ragwheel.evaluate.collection import Collection, Labels, Qrels
from ragwheel.evaluate.criterion import CriterionOptions, Gain, expected_gain
from ragwheel.evaluate.evaluation import EvaluateOptions, Evaluation, SystemFacts, baselines, evaluate
from ragwheel.evaluate.measured import Compared, Comparison, Judged, Measured, compare, compare_many
from ragwheel.evaluate.measures import MEASURES, per_query
from ragwheel.evaluate.models import adapter, embedder, reranked
from ragwheel.evaluate.recommend import Recommendation, recommend
from ragwheel.evaluate.results import read_results, write_results
from ragwheel.evaluate.runs import Run, read_run
from ragwheel.evaluate.spec import SPECS, parse_system
from ragwheel.evaluate.statistics import Difference, StatisticsOptions, paired_difference
from ragwheel.evaluate.systems import System, bm25, captured, from_callable, from_run, hybrid, tuned_hybrid
from ragwheel.evaluate.table import markdown, summary
from ragwheel.evaluate.traces import read_traces
from ragwheel.evaluate.verdict import Verdict

del bm25s, ir_measures, scipy

__all__ = [
    "MEASURES",
    "SPECS",
    "Collection",
    "Compared",
    "Comparison",
    "CriterionOptions",
    "Difference",
    "EvaluateOptions",
    "Evaluation",
    "Gain",
    "Judged",
    "Labels",
    "Measured",
    "Qrels",
    "Recommendation",
    "Run",
    "StatisticsOptions",
    "System",
    "SystemFacts",
    "Verdict",
    "adapter",
    "baselines",
    "bm25",
    "captured",
    "compare",
    "compare_many",
    "embedder",
    "evaluate",
    "expected_gain",
    "from_callable",
    "from_run",
    "hybrid",
    "markdown",
    "paired_difference",
    "parse_system",
    "per_query",
    "read_beir",
    "read_results",
    "read_run",
    "read_traces",
    "recommend",
    "reranked",
    "summary",
    "tuned_hybrid",
    "write_results",
]
