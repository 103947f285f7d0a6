"""Train, dev and test by time over families of query groups, the same again in later builds."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ragwheel.datasets.options import SPLITS
from ragwheel.datasets.query_splits import NONE, Codes, Keys, QuerySplits, codes_of
from ragwheel.errors import DatasetError, LeakError
from ragwheel.labels.traces.read_source import store_source
from ragwheel.labels.traces.text import query_key

__all__ = [
    "MIN_FAMILIES",
    "Assignment",
    "Group",
    "QueryGroups",
    "assign",
    "check_groups",
    "evalset_keys",
    "load_assignment",
    "load_evalsets",
]

#: With fewer families than this everything is train: a test set of two questions measures nothing.
MIN_FAMILIES: Final = 10
_TRAIN, _DEV, _TEST = range(len(SPLITS))


@dataclass(frozen=True)
class Group:
    """A query group: its key, its family of near-identical ones, its most frequent wording, when it began."""

    key: str
    family: str
    text: str
    first_ns: int


@dataclass(frozen=True)
class Assignment(Mapping[str, str]):
    """Splits that are decided before a build: of earlier builds, and of imported evaluation sets.

    As a mapping: the split of a query group's key in earlier builds. ``tested`` and ``trained`` name the
    evaluation set of each key that one of that use has.
    """

    earlier: Mapping[str, str] = field(default_factory=dict)
    tested: Mapping[str, str] = field(default_factory=dict)
    trained: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, key: str) -> str:
        return self.earlier[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.earlier)

    def __len__(self) -> int:
        return len(self.earlier)


def load_evalsets(connection: sqlite3.Connection) -> tuple[dict[str, str], dict[str, str]]:
    """The query keys of evaluation sets for test, and of those for train, with the name of the set."""
    return evalset_keys(store_source(connection).evalsets())


def evalset_keys(rows: Iterable[tuple[str, str, str]]) -> tuple[dict[str, str], dict[str, str]]:
    """The same of (use, query, name of the set) for every judgment of one."""
    splits: dict[str, dict[str, str]] = {"test": {}, "train": {}}
    for use, query, name in sorted(set(rows)):
        splits[use].setdefault(query_key(query), name)
    return splits["test"], splits["train"]


@dataclass(frozen=True)
class QueryGroups:
    """Query groups as columns, in the order of their keys.

    Attributes:
        keys: their keys, ASCII.
        families: the number of each group's family; families of smaller numbers come first among equals.
        first_ns: when each was first asked.
    """

    keys: Keys
    families: npt.NDArray[np.int32]
    first_ns: npt.NDArray[np.int64]

    @classmethod
    def of(cls, groups: Iterable[Group]) -> QueryGroups:
        """Return groups as columns; families are ordered by their names."""
        some = list(groups)
        _, families = np.unique([group.family for group in some], return_inverse=True)
        keys = np.array([group.key.encode() for group in some], np.bytes_)
        return cls(keys, families.astype(np.int32), np.array([group.first_ns for group in some], np.int64))


def assign(
    groups: QueryGroups, *, dev: float, test: float, previous: Mapping[str, str], dropped: Counter[str]
) -> Codes:
    """The split of every group as its place in ``SPLITS``, or ``NONE`` where it is left out.

    New families are put in the order in which they were first asked, and the newest become test, those before
    them dev, until each has its share of all families. A family with a group that has been assigned before
    keeps that split; where near-identical groups were assigned to different ones (a later query connects
    them), train wins and the others are left out, for a family once trained on is never tested.

    Families with a question of an evaluation set go where that set's use says, beside the shares. For a test
    set that is test whatever was before: a group that an earlier build trained on is left out.
    """
    if not isinstance(previous, Assignment):
        previous = Assignment(previous)
    family, n_families = groups.families, int(groups.families.max(initial=-1)) + 1
    before = codes_of(previous.earlier, groups.keys)
    tested = _any(family, _named(groups.keys, previous.tested), n_families)
    decided = _any(family, before != NONE, n_families)
    trained = _any(family, _named(groups.keys, previous.trained), n_families) & ~tested & ~decided
    codes = np.full(len(groups.keys), NONE, np.int8)

    of_test, again = tested[family], before == _TRAIN
    codes[of_test & ~again] = _TEST
    _count(
        dropped,
        "query group: of an evaluation set for test, trained on by an earlier build",
        of_test & again,
    )
    codes[trained[family]] = _TRAIN

    earliest = np.full(n_families, len(SPLITS), np.int8)
    np.minimum.at(earliest, family, np.where(before == NONE, np.int8(len(SPLITS)), before))
    kept = (decided & ~tested)[family]
    agrees = (before == NONE) | (before == earliest[family])
    codes[kept & agrees] = earliest[family][kept & agrees]
    _count(dropped, "query group: near-identical to one of another split", kept & ~agrees)

    there = np.unique(family)
    free = there[~(tested | trained)[there]]
    first = np.full(n_families, len(family), np.int64)
    np.minimum.at(first, family, np.arange(len(family)))
    taken = Counter(SPLITS[code] for code in codes[first[free]].tolist() if code != NONE)
    new = free[~decided[free]]
    begun = np.full(n_families, np.iinfo(np.int64).max, np.int64)
    np.minimum.at(begun, family, groups.first_ns)
    of_family = np.full(n_families, NONE, np.int8)
    of_family[new[np.lexsort((new, begun[new]))]] = _cut(len(new), len(free), dev, test, taken)
    fresh = of_family[family] != NONE
    codes[fresh] = of_family[family][fresh]
    return codes


def _count(dropped: Counter[str], rule: str, which: npt.NDArray[np.bool_]) -> None:
    if which.any():
        dropped[rule] += int(which.sum())


def _any(family: npt.NDArray[np.int32], which: npt.NDArray[np.bool_], n: int) -> npt.NDArray[np.bool_]:
    """Whether each family has a group of which something holds."""
    result = np.zeros(n, np.bool_)
    result[family[which]] = True
    return result


def _named(keys: Keys, names: Mapping[str, str]) -> npt.NDArray[np.bool_]:
    return np.isin(keys, np.array([key.encode() for key in names], np.bytes_))


def _cut(n: int, total: int, dev: float, test: float, taken: Mapping[str, int]) -> Codes:
    """The splits of ``n`` new families, those asked first first."""
    if total < MIN_FAMILIES:
        return np.full(n, _TRAIN, np.int8)
    n_test = min(max(_share(test, total) - taken.get("test", 0), 0), n)
    n_dev = min(max(_share(dev, total) - taken.get("dev", 0), 0), n - n_test)
    return np.repeat(np.array([_TRAIN, _DEV, _TEST], np.int8), [n - n_test - n_dev, n_dev, n_test])


def _share(share: float, total: int) -> int:
    return max(1, round(share * total)) if share > 0 else 0


def load_assignment(folder: Path) -> QuerySplits:
    """The splits of an earlier build, from its ``splits.parquet``.

    Raises:
        DatasetError: it cannot be read.
    """
    path = folder / "splits.parquet"
    try:
        table = pq.read_table(path, columns=["query_key", "split"])
    except (OSError, ValueError) as exc:
        raise DatasetError(
            f"{path} cannot be read: {exc}. The splits of an earlier build are needed so that nothing once "
            f"trained on is tested; name another folder with --out or --sticky-from."
        ) from exc
    unknown = [name for name in pc.unique(table["split"]).to_pylist() if name not in SPLITS]
    if unknown:
        raise DatasetError(f"{path} names the split {unknown[0]!r}; allowed: {', '.join(SPLITS)}.")
    codes = pc.index_in(table["split"], pa.array(SPLITS)).to_numpy().astype(np.int8)
    keys = table["query_key"].combine_chunks().cast(pa.binary())
    return QuerySplits.of(np.array(keys.to_numpy(zero_copy_only=False), np.bytes_), codes)


def check_groups(groups: QueryGroups, codes: Codes, previous: Mapping[str, str]) -> None:
    """Fail the build rather than write a split that leaks.

    Raises:
        LeakError: a family is in two splits, a group that was trained on is tested, or one of an
            evaluation set for test is trained on.
    """
    order = np.lexsort((np.arange(len(codes)), groups.families))
    order = order[codes[order] != NONE]
    family, split = groups.families[order], codes[order]
    torn = np.flatnonzero((family[1:] == family[:-1]) & (split[1:] != split[:-1]))
    if len(torn):
        key, here, there = _key(groups, order[torn[0] + 1]), split[torn[0] + 1], split[torn[0]]
        raise LeakError(
            f"The query group {key} is in {SPLITS[here]}, a near-identical one in {SPLITS[there]}. "
            f"Nothing was written; please report this."
        )
    tested = previous.tested if isinstance(previous, Assignment) else {}
    wrong = np.flatnonzero((codes == _TRAIN) & _named(groups.keys, tested))
    if len(wrong):
        key = _key(groups, wrong[0])
        raise LeakError(
            f"The query group {key} is in the evaluation set {tested[key]!r} for test, and would be trained "
            f"on. Nothing was written; please report this."
        )
    earlier = previous.earlier if isinstance(previous, Assignment) else previous
    wrong = np.flatnonzero((codes > _TRAIN) & (codes_of(earlier, groups.keys) == _TRAIN))
    if len(wrong):
        raise LeakError(
            f"The query group {_key(groups, wrong[0])} was trained on and is now in "
            f"{SPLITS[codes[wrong[0]]]}. Nothing was written; please report this."
        )


def _key(groups: QueryGroups, index: int) -> str:
    return bytes(groups.keys[index]).decode()
