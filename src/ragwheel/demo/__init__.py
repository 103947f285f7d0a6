"""The demo: a real retriever over real text, simulated or real visitors, and the whole wheel once.

``corpus`` and ``pydocs`` are what is searched, ``retrievers`` the LangChain retrievers over it,
``visitors`` the stated model of behaviour, ``desk`` the person at the keyboard, ``run`` puts them
together, ``truth`` compares what was built with what the simulation knows. Printing is the command
line's business.
"""

from __future__ import annotations

from ragwheel.demo.corpus import Corpus, Passage, Query, read_beir
from ragwheel.demo.pydocs import read_python_docs

__all__ = ["Corpus", "Passage", "Query", "read_beir", "read_python_docs"]
