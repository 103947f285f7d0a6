"""Capture LangChain retrievers with ragwheel.

:func:`instrument` records every retriever of the process; :func:`wrap_retriever` makes one retriever
that also records the chunks beyond the app's ``k``. The app gets the results, exceptions and callback
events it always got. :class:`AdaptedEmbeddings`, :class:`RerankedRetriever`, :class:`RerankingCompressor` and
:class:`FusedRetriever` put what was trained on the records back into the app.
"""

from __future__ import annotations

from ragwheel_langchain.compressor import RerankingCompressor
from ragwheel_langchain.embeddings import AdaptedEmbeddings
from ragwheel_langchain.examples import FewShotSelector
from ragwheel_langchain.fused import FusedRetriever
from ragwheel_langchain.handler import instrument, uninstrument
from ragwheel_langchain.reranked import RerankedRetriever
from ragwheel_langchain.wrapper import OverfetchRetriever, wrap_retriever

__all__ = [
    "AdaptedEmbeddings",
    "FewShotSelector",
    "FusedRetriever",
    "OverfetchRetriever",
    "RerankedRetriever",
    "RerankingCompressor",
    "__version__",
    "instrument",
    "uninstrument",
    "wrap_retriever",
]

__version__ = "0.2.0"
