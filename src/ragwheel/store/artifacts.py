"""What was built from a database: datasets, models, prompt examples, and which came from which.

``ragwheel erase`` reads this to reach what was built, and to say what has to be trained again. An artifact
is *stale* once something was erased that it, or what it was made from, may hold; making it anew at the
same path ends that.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from ragwheel.errors import ConfigurationError, RagwheelError
from ragwheel.journal import files
from ragwheel.store.connect import check_file, connect, explain
from ragwheel.store.exclusive import exclusive
from ragwheel.store.migrations import migrate
from ragwheel.store.transactions import transaction

__all__ = [
    "Artifact",
    "ArtifactKind",
    "descendants",
    "list_artifacts",
    "mark_erased",
    "read_artifacts",
    "register_artifact",
]

ArtifactKind = Literal["dataset", "model", "fewshot"]
_KINDS: Final = get_args(ArtifactKind)
_COLUMNS: Final = "kind, path, parents, subjects, made_ns, erased_ns"


@dataclass(frozen=True, slots=True)
class Artifact:
    """Something that was built.

    ``parents`` are the paths of what it was made from, ``subjects`` how many people's behaviour is in it
    (None: not known), ``made_ns`` when it was registered (Unix nanoseconds), ``erased_ns`` when something
    was erased that it may hold (None: never since it was made).
    """

    kind: ArtifactKind
    path: Path
    parents: tuple[Path, ...]
    subjects: int | None
    made_ns: int
    erased_ns: int | None = None

    @property
    def stale(self) -> bool:
        """Whether it should be made again."""
        return self.erased_ns is not None


def register_artifact(
    db: str | Path,
    kind: ArtifactKind,
    path: str | Path,
    *,
    parents: Iterable[str | Path] = (),
    subjects: int | None = None,
    timeout_s: float = 5.0,
) -> bool:
    """Remember that ``path`` was built from ``db``; the same path again replaces what was remembered.

    Args:
        db: the database that it goes back to.
        kind: ``"dataset"``, ``"model"`` or ``"fewshot"``.
        path: the file or folder.
        parents: what it was made from, by path: the dataset of a model, the model of a merged model.
        subjects: how many people's behaviour is in it, where known.
        timeout_s: how long to wait for another process that merges or writes.

    Returns:
        False when the database is missing, may not be written to or stayed locked: what was built is as
        good without, only ``ragwheel erase`` will not know of it unless told.

    Raises:
        ConfigurationError: ``kind`` is none of the three.
    """
    if kind not in _KINDS:
        raise ConfigurationError(
            f"register_artifact(kind=...): got {kind!r}, allowed: {', '.join(_KINDS)}. "
            f"A re-ranker, an embedder and an adapter are all a 'model'."
        )
    found = (kind, _absolute(path), json.dumps([_absolute(parent) for parent in parents]), subjects)
    try:
        with _writing(files.resolved(db), timeout_s) as connection:
            connection.execute(
                f"INSERT OR REPLACE INTO _artifact ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, NULL)",
                (*found, time.time_ns()),
            )
    except (RagwheelError, sqlite3.Error, OSError):
        return False
    return True


def list_artifacts(db: str | Path) -> list[Artifact]:
    """All that was registered, oldest first; empty when there is no such database.

    Raises:
        StoreError: the file is there and cannot be read.
    """
    path = Path(db)
    if not path.is_file() or not path.stat().st_size:
        return []
    connection = connect(path, write=False)
    try:
        return read_artifacts(connection)
    except sqlite3.Error as exc:
        raise explain(exc, path) from exc
    finally:
        connection.close()


def read_artifacts(connection: sqlite3.Connection) -> list[Artifact]:
    """The same on a connection; a database of an older ragwheel has none."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_artifact'").fetchone():
        return []
    rows = connection.execute(f"SELECT {_COLUMNS} FROM _artifact ORDER BY made_ns, path")
    return [
        Artifact(kind, Path(path), tuple(map(Path, json.loads(parents))), subjects, made_ns, erased_ns)
        for kind, path, parents, subjects, made_ns, erased_ns in rows
    ]


def mark_erased(connection: sqlite3.Connection, touched: Iterable[Artifact]) -> None:
    """Note in the caller's transaction that something was erased which these may hold."""
    connection.executemany(
        "UPDATE _artifact SET erased_ns = ? WHERE path = ?",
        [(time.time_ns(), str(artifact.path)) for artifact in touched],
    )


def descendants(artifacts: Sequence[Artifact], of: Iterable[str | Path]) -> list[Artifact]:
    """The artifacts that were made from any of these paths, directly or through others."""
    reached = {_absolute(path) for path in of}
    found: dict[Path, Artifact] = {}
    while more := [
        artifact
        for artifact in artifacts
        if artifact.path not in found and not reached.isdisjoint(map(str, artifact.parents))
    ]:
        found.update((artifact.path, artifact) for artifact in more)
        reached.update(str(artifact.path) for artifact in more)
    return [artifact for artifact in artifacts if artifact.path in found]


def _absolute(path: str | Path) -> str:
    return os.path.realpath(Path(path).expanduser())


@contextlib.contextmanager
def _writing(db: Path, timeout_s: float) -> Iterator[sqlite3.Connection]:
    """One transaction under the merge lock: whoever writes to the database takes it."""
    check_file(db, may_be_new=False)
    with (
        exclusive(db, timeout_s=timeout_s),
        contextlib.closing(connect(db, write=True, timeout_s=timeout_s)) as connection,
    ):
        migrate(connection)
        with transaction(connection):
            yield connection
