"""Negatives: found by evidence or in the store's own corpus, and checked before one is used.

``chunk`` is what is passed on, ``finder`` adds what nobody was asked about (``outdated``, ``mining`` over the
``corpus`` of all chunks ever seen), ``checks`` drops what may be relevant after all.
"""

from __future__ import annotations

from ragwheel.labels.negatives.checks import CHECKS, vet
from ragwheel.labels.negatives.chunk import GradedChunk
from ragwheel.labels.negatives.corpus import ChunkCorpus, CorpusChunk, Encoder
from ragwheel.labels.negatives.finder import Finder

__all__ = ["CHECKS", "ChunkCorpus", "CorpusChunk", "Encoder", "Finder", "GradedChunk", "vet"]
