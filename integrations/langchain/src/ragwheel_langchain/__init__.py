"""Capture LangChain retrievers with ragwheel.

:func:`instrument` records every retriever of the process; :func:`wrap_retriever` makes one retriever
that also records the chunks beyond the app's ``k``. The app gets the results, exceptions and callback
events it always got.
"""

from __future__ import annotations

from ragwheel_langchain.handler import instrument, uninstrument
from ragwheel_langchain.wrapper import OverfetchRetriever, wrap_retriever

__all__ = ["OverfetchRetriever", "__version__", "instrument", "uninstrument", "wrap_retriever"]

__version__ = "0.1.0"
