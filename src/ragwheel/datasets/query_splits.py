"""The splits of query groups as columns of numbers: some 40 bytes for a query group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ragwheel.datasets.options import SPLITS

__all__ = ["NONE", "Codes", "Keys", "QuerySplits", "codes_of", "text_column"]

Keys = npt.NDArray[np.bytes_]
Codes = npt.NDArray[np.int8]

#: The code of no split; that of a split is its place in ``SPLITS``.
NONE: Final = -1


@dataclass(frozen=True, eq=False)
class QuerySplits(Mapping[str, str]):
    """The split of each query group's key; a mapping that is read as columns, too.

    Attributes:
        query_keys: ASCII, sorted.
        codes: of the split of each key.
        families: the family of each key; empty: not in this build.
    """

    query_keys: Keys
    codes: Codes
    families: Keys

    @classmethod
    def of(cls, keys: Keys, codes: Codes, families: Keys | None = None) -> QuerySplits:
        """Sort keys that are distinct."""
        order = np.argsort(keys, kind="stable")
        named = np.zeros(len(keys), "S1") if families is None else families
        return cls(keys[order], codes[order], named[order])

    def __getitem__(self, key: str) -> str:
        code = int(self.codes_of(np.array([key.encode()]))[0])
        if code == NONE:
            raise KeyError(key)
        return SPLITS[code]

    def __iter__(self) -> Iterator[str]:
        return (key.decode() for key in self.query_keys)

    def __len__(self) -> int:
        return len(self.query_keys)

    def codes_of(self, keys: Keys) -> Codes:
        """Return the codes of some keys."""
        if not len(self.query_keys) or not len(keys):
            return np.full(len(keys), NONE, np.int8)
        places = np.minimum(np.searchsorted(self.query_keys, keys), len(self.query_keys) - 1)
        return np.where(self.query_keys[places] == keys, self.codes[places], np.int8(NONE)).astype(np.int8)

    def groups(self) -> dict[str, int]:
        """Return how many query groups of this build each split has."""
        counts = np.bincount(self.codes[self.families != b""], minlength=len(SPLITS))
        return dict(zip(SPLITS, counts.tolist()))

    def n_families(self) -> int:
        """Return how many families the query groups of this build are."""
        return len(np.unique(self.families[self.families != b""]))

    def over(self, earlier: Mapping[str, str]) -> QuerySplits:
        """Return these splits, and of other keys those of an earlier build."""
        before = earlier if isinstance(earlier, QuerySplits) else _columns(earlier)
        left = self.codes_of(before.query_keys) == NONE
        none = np.zeros(int(left.sum()), "S1")
        return self.of(
            np.concatenate([self.query_keys, before.query_keys[left]]),
            np.concatenate([self.codes, before.codes[left]]),
            np.concatenate([self.families, none]),
        )

    def table(self) -> pa.Table:
        """Return query_key, family and split, ordered by key."""
        absent = pa.array(self.families == b"")
        families = pc.if_else(absent, pa.scalar(None, pa.string()), text_column(self.families))
        names = pa.array(SPLITS).take(pa.array(self.codes))
        columns = {"query_key": text_column(self.query_keys), "family": families, "split": names}
        return pa.table(columns, pa.schema(dict.fromkeys(columns, pa.string())))


def codes_of(splits: Mapping[str, str], keys: Keys) -> Codes:
    """Return the codes of some keys in any mapping."""
    return (splits if isinstance(splits, QuerySplits) else _columns(splits)).codes_of(keys)


def text_column(values: Keys) -> pa.Array:
    """Return ASCII bytes as an Arrow column of text."""
    return pa.array(values).cast(pa.string())


def _columns(splits: Mapping[str, str]) -> QuerySplits:
    keys = _ascii(splits)
    return QuerySplits.of(keys, np.array([SPLITS.index(split) for split in splits.values()], np.int8))


def _ascii(texts: Iterable[str]) -> Keys:
    return np.array([text.encode() for text in texts] or np.zeros(0, "S1"), np.bytes_)
