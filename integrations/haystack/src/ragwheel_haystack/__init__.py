"""Capture Haystack with ragwheel.

:func:`instrument` records the retrievers, rankers and answers of every pipeline of the process;
:func:`wrap_retriever` records a component that is called directly, with the documents beyond its ``top_k``.
:class:`RagwheelRanker`, :class:`RagwheelTextEmbedder` and :class:`RagwheelJoiner` put what was trained on the
records back.
"""

from __future__ import annotations

from ragwheel.integration import require

__version__ = "0.2.0"

require("ragwheel-haystack", "haystack-ai", "2.9.0")

from ragwheel_haystack.components import RagwheelRanker, RagwheelTextEmbedder  # noqa: E402 - what is missing first
from ragwheel_haystack.joiner import RagwheelJoiner  # noqa: E402
from ragwheel_haystack.tracing import instrument, uninstrument  # noqa: E402
from ragwheel_haystack.wrapper import RecordedComponent, wrap_retriever  # noqa: E402

__all__ = [
    "RagwheelJoiner",
    "RagwheelRanker",
    "RagwheelTextEmbedder",
    "RecordedComponent",
    "__version__",
    "instrument",
    "uninstrument",
    "wrap_retriever",
]
