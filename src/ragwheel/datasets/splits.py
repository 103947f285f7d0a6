"""Train, dev and test by time over families of query groups, the same again in later builds."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from ragwheel.datasets.options import SPLITS
from ragwheel.errors import DatasetError, LeakError
from ragwheel.labels.traces.read_source import store_source
from ragwheel.labels.traces.text import query_key

__all__ = [
    "MIN_FAMILIES",
    "Assignment",
    "Group",
    "assign",
    "check_groups",
    "evalset_keys",
    "load_assignment",
    "load_evalsets",
]

#: With fewer families than this everything is train: a test set of two questions measures nothing.
MIN_FAMILIES: Final = 10


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


def assign(
    groups: Iterable[Group], *, dev: float, test: float, previous: Mapping[str, str], dropped: Counter[str]
) -> dict[str, str]:
    """The split of every group's key.

    New families are put in the order in which they were first asked, and the newest become test, those before
    them dev, until each has its share of all families. A family with a group that has been assigned before
    keeps that split; where near-identical groups were assigned to different ones (a later query connects
    them), train wins and the others are left out, for a family once trained on is never tested.

    Families with a question of an evaluation set go where that set's use says, beside the shares. For a test
    set that is test whatever was before: a group that an earlier build trained on is left out.
    """
    if not isinstance(previous, Assignment):
        previous = Assignment(previous)
    members: defaultdict[str, list[Group]] = defaultdict(list)
    for group in groups:
        members[group.family].append(group)
    splits = _of_evalsets(members, previous, dropped)
    new: list[tuple[int, str]] = []
    for family, groups_of_family in members.items():
        splits_before = {previous[group.key] for group in groups_of_family if group.key in previous}
        if not splits_before:
            new.append((min(group.first_ns for group in groups_of_family), family))
            continue
        split = min(splits_before, key=SPLITS.index)
        for group in groups_of_family:
            if previous.get(group.key, split) == split:
                splits[group.key] = split
            else:
                dropped["query group: near-identical to one of another split"] += 1
    taken = Counter(
        splits[group.key] for member in members.values() for group in member[:1] if group.key in splits
    )
    for family, split in _cut([family for _, family in sorted(new)], len(members), dev, test, taken).items():
        splits.update((group.key, split) for group in members[family])
    return splits


def _of_evalsets(
    members: defaultdict[str, list[Group]], previous: Assignment, dropped: Counter[str]
) -> dict[str, str]:
    """The splits of families with a question of an evaluation set, which are taken out of ``members``."""
    splits: dict[str, str] = {}
    for family, groups_of_family in list(members.items()):
        if any(group.key in previous.tested for group in groups_of_family):
            for group in groups_of_family:
                if previous.get(group.key) == "train":
                    dropped["query group: of an evaluation set for test, trained on by an earlier build"] += 1
                else:
                    splits[group.key] = "test"
        elif any(group.key in previous.trained for group in groups_of_family) and not any(
            group.key in previous for group in groups_of_family
        ):
            splits.update((group.key, "train") for group in groups_of_family)
        else:
            continue
        del members[family]
    return splits


def _cut(new: list[str], total: int, dev: float, test: float, taken: Mapping[str, int]) -> dict[str, str]:
    if total < MIN_FAMILIES:
        return dict.fromkeys(new, "train")
    room = len(new)
    n_test = min(max(_share(test, total) - taken.get("test", 0), 0), room)
    n_dev = min(max(_share(dev, total) - taken.get("dev", 0), 0), room - n_test)
    ends = room - n_test - n_dev, room - n_test
    names = ["train"] * ends[0] + ["dev"] * n_dev + ["test"] * n_test
    return dict(zip(new, names))


def _share(share: float, total: int) -> int:
    return max(1, round(share * total)) if share > 0 else 0


def load_assignment(folder: Path) -> dict[str, str]:
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
    splits = dict(zip(table["query_key"].to_pylist(), table["split"].to_pylist()))
    unknown = set(splits.values()) - set(SPLITS)
    if unknown:
        raise DatasetError(f"{path} names the split {unknown.pop()!r}; allowed: {', '.join(SPLITS)}.")
    return splits


def check_groups(groups: Iterable[Group], splits: Mapping[str, str], previous: Mapping[str, str]) -> None:
    """Fail the build rather than write a split that leaks.

    Raises:
        LeakError: a family stands in two splits, a group that was trained on is tested, or one of an
            evaluation set for test is trained on.
    """
    families: dict[str, str] = {}
    for group in groups:
        split = splits.get(group.key)
        if split is None:
            continue
        if families.setdefault(group.family, split) != split:
            raise LeakError(
                f"The query group {group.key} ({group.text!r}) is in {split}, a near-identical one in "
                f"{families[group.family]}. Nothing was written; please report this."
            )
        if split == "train" and isinstance(previous, Assignment) and group.key in previous.tested:
            raise LeakError(
                f"The query group {group.key} ({group.text!r}) is in the evaluation set "
                f"{previous.tested[group.key]!r} for test, and would be trained on. Nothing was written; "
                f"please report this."
            )
        if split != "train" and previous.get(group.key, split) == "train":
            raise LeakError(
                f"The query group {group.key} ({group.text!r}) was trained on and is now in {split}. "
                f"Nothing was written; please report this."
            )
