"""Which chunks have a word: an inverted index in whole numbers, four bytes for a word of a chunk."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["WordIndex"]

_TEXTS: Final = 100_000  # of which the words are sorted at once

Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True)
class WordIndex:
    """The places of the texts that have a word, for every word.

    Attributes:
        words: the number of each word.
        starts: where the places of each word begin in ``places``, by its number; one more at the end.
        places: of the texts, ascending for each word.
        lengths: how many distinct words each text has.
    """

    words: dict[str, int]
    starts: npt.NDArray[np.int64]
    places: Numbers
    lengths: Numbers

    @classmethod
    def of(cls, texts: Iterable[Collection[str]]) -> WordIndex:
        """Index the distinct words of each text."""
        words: dict[str, int] = {}
        flat, lengths = array("i"), array("i")
        for text in texts:
            flat.extend([words.setdefault(word, len(words)) for word in text])
            lengths.append(len(text))
        numbers, sizes = np.array(flat, np.int32), np.array(lengths, np.int32)
        counts = np.bincount(numbers, minlength=len(words))
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        places, ahead = np.empty(len(numbers), np.int32), starts[:-1].copy()
        ends = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        for begin in range(0, len(sizes), _TEXTS):
            end = min(begin + _TEXTS, len(sizes))
            some = numbers[ends[begin] : ends[end]]
            owners = np.repeat(np.arange(begin, end, dtype=np.int32), sizes[begin:end])
            order = np.argsort(some, kind="stable")
            ranked = some[order]
            first = np.searchsorted(ranked, ranked, "left")
            places[ahead[ranked] + np.arange(len(ranked)) - first] = owners[order]
            ahead += np.bincount(some, minlength=len(words))
        return cls(words, starts, places, sizes)

    def postings(self, word: str) -> Numbers:
        """Return the places of the texts that have a word."""
        number = self.words.get(word)
        return (
            self.places[:0] if number is None else self.places[self.starts[number] : self.starts[number + 1]]
        )

    def write(self, path: Path) -> None:
        """Write the index into a file."""
        columns = {
            "words": pa.array([list(self.words)], pa.large_list(pa.large_string())),
            **{
                name: pa.LargeListArray.from_arrays(pa.array([0, len(values)], pa.int64()), pa.array(values))
                for name in ("starts", "places", "lengths")
                for values in (getattr(self, name),)
            },
        }
        table = pa.table(columns)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as out:
            out.write_table(table)

    @classmethod
    def open(cls, path: Path) -> WordIndex:
        """Map an index that :meth:`write` wrote into memory; the words themselves are read."""
        with pa.memory_map(str(path)) as file:
            table = pa.ipc.open_file(file).read_all()
        values = {name: table[name].chunk(0).values for name in table.column_names}
        words = {word: number for number, word in enumerate(values.pop("words").to_pylist())}
        return cls(words, **{name: column.to_numpy() for name, column in values.items()})
