"""All chunks with their texts in one file that worker processes map into memory.

The workers of one machine share its pages, and the operating system drops them where memory is short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from ragwheel.labels.negatives.corpus import ChunkCorpus, CorpusChunk
from ragwheel.labels.negatives.word_index import WordIndex

__all__ = ["corpus_chunks", "open_corpus", "write_corpus"]

_ROWS: Final = 1_000
_NAMES: Final = tuple(field.name for field in fields(CorpusChunk))


def corpus_chunks(chunks: pa.Table) -> Iterator[CorpusChunk]:
    """Yield the chunks of a table with their columns."""
    columns = [chunks[name].to_pylist() for name in _NAMES]
    for values in zip(*columns):
        yield CorpusChunk(*values)


def write_corpus(path: Path, chunks: pa.Table, text_of: Callable[[int], str]) -> None:
    """Write chunks in their order, each with its text.

    Args:
        path: the file, which is made.
        chunks: every chunk version, with the columns of :class:`CorpusChunk`.
        text_of: gives the text of a ``text_id``.
    """
    kept = chunks.select(_NAMES)
    schema = kept.schema.append(pa.field("text", pa.large_string()))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as out:
        for batch in kept.to_batches(_ROWS):
            texts = pa.array(
                [text_of(text_id) for text_id in batch["text_id"].to_pylist()], pa.large_string()
            )
            out.write_batch(pa.RecordBatch.from_arrays([*batch.columns, texts], schema=schema))


@lru_cache(maxsize=1)  # a worker process works on many shares of one build
def open_corpus(path: Path, index: Path) -> ChunkCorpus:
    """Open what :func:`write_corpus` wrote, and the index of the words of these chunks."""
    with pa.memory_map(str(path)) as file:
        table = pa.ipc.open_file(file).read_all()
    return ChunkCorpus(list(corpus_chunks(table)), _MappedTexts(table), index=WordIndex.open(index))


class _MappedTexts:
    """Texts by ``text_id``, read from the file when they are asked for."""

    def __init__(self, table: pa.Table) -> None:
        ids = table["text_id"].to_numpy()
        self._rows = np.argsort(ids, kind="stable")
        self._ids = ids[self._rows]
        self._texts = table["text"]

    def __call__(self, text_id: int) -> str:
        index = int(np.searchsorted(self._ids, text_id))
        if index == len(self._ids) or self._ids[index] != text_id:
            return ""
        return str(self._texts[int(self._rows[index])].as_py())
