"""Capture LlamaIndex with ragwheel.

:func:`instrument` records every retriever, re-ranker, query engine and chat engine of the process;
:func:`wrap_retriever` makes one retriever that also records the nodes beyond the app's ``similarity_top_k``.
:class:`EmbeddingsAdapter`, :class:`RagwheelRerank` and :class:`RagwheelFusionRetriever` put what was trained
on the records back into the app.
"""

from __future__ import annotations

from ragwheel.integration import require

__version__ = "0.2.0"

require("ragwheel-llamaindex", "llama-index-core", "0.12.0")

from ragwheel_llamaindex.embeddings import EmbeddingsAdapter  # noqa: E402 - what is missing is named first
from ragwheel_llamaindex.fused import RagwheelFusionRetriever  # noqa: E402
from ragwheel_llamaindex.instrumentation import instrument, uninstrument  # noqa: E402
from ragwheel_llamaindex.postprocessor import RagwheelRerank  # noqa: E402
from ragwheel_llamaindex.wrapper import RecordedRetriever, wrap_retriever  # noqa: E402

__all__ = [
    "EmbeddingsAdapter",
    "RagwheelFusionRetriever",
    "RagwheelRerank",
    "RecordedRetriever",
    "__version__",
    "instrument",
    "uninstrument",
    "wrap_retriever",
]
