"""Capture DSPy with ragwheel.

:func:`instrument` records ``dspy.Retrieve``, tools that retrieve, and the answers of programs, through DSPy's
own callbacks; :func:`wrap_retriever` records a ``dspy.retrievers.Embeddings`` or the retrieval model that
``dspy.configure(rm=...)`` gets. :func:`few_shot_examples` and :func:`graded_metric` put what people liked
and what was graded into DSPy's optimizers.
"""

from __future__ import annotations

from ragwheel.integration import require

__version__ = "0.2.0"

require("ragwheel-dspy", "dspy", "3.0.0")

from ragwheel_dspy.callbacks import instrument, uninstrument  # noqa: E402 - what is missing first
from ragwheel_dspy.examples import few_shot_examples, graded_metric  # noqa: E402
from ragwheel_dspy.wrapper import RecordedEmbeddings, wrap_retriever  # noqa: E402

__all__ = [
    "RecordedEmbeddings",
    "__version__",
    "few_shot_examples",
    "graded_metric",
    "instrument",
    "uninstrument",
    "wrap_retriever",
]
