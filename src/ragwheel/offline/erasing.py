"""Erasing data of people, sessions or queries from the store, its journal, and the datasets built from it."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ragwheel.errors import RagwheelError
from ragwheel.handles import BadHandle, peek
from ragwheel.store.artifacts import Artifact, descendants, list_artifacts, mark_erased, read_artifacts
from ragwheel.store.erase import ErasedContent, EraseReport, Selection, erase_selected
from ragwheel.typing import StageProgress

if TYPE_CHECKING:
    from ragwheel.datasets.erase import ErasedRows, Scrub

__all__ = ["Erasure", "Selection", "erase"]


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased, or would be with ``dry_run``.

    Attributes:
        store: the numbers of rows of the database.
        datasets: the numbers of rows of each searched dataset folder.
        retrain: models and prompt examples that were made from the erased data, and must be made again.
        missing: datasets that were built from the data and are no longer where they were written. Copies of
            them may exist.
        still_in: files that still contain some of the data, and that ragwheel does not change.
        dry_run: whether this was a dry run, which changes nothing.
        outbox_signals: the number of signals erased from the given outboxes.
    """

    store: EraseReport
    datasets: tuple[ErasedRows, ...]
    retrain: tuple[Artifact, ...]
    missing: tuple[Artifact, ...]
    still_in: tuple[Path, ...]
    dry_run: bool
    outbox_signals: int = 0


def erase(  # noqa: PLR0913 - public, all but two by keyword
    db: str | Path,
    selection: Selection,
    *,
    datasets: Iterable[str | Path] = (),
    outboxes: Iterable[str | Path] = (),
    dry_run: bool = False,
    timeout_s: float = 30.0,
    progress: StageProgress | None = None,
) -> Erasure:
    """Erase the selected data from the store, the journal and the built datasets.

    An interrupted call leaves everything consistent and can be repeated. Backups and other copies are not
    changed.

    Args:
        db: the database.
        selection: what to erase.
        datasets: further dataset folders to search. Those that were built from this database are searched
            anyway, if they are still where they were written.
        outboxes: paths of outboxes of :class:`ragwheel.client.SignalClient` on this machine, whose pending
            signals are erased, too.
        dry_run: count only, and change nothing.
        timeout_s: seconds to wait for another process that merges or writes.
        progress: called with the name of each step.

    Raises:
        StoreError: the database cannot be used.
        DatasetError: a folder is not one of ragwheel's, or cannot be read; nothing was erased.
        MissingExtra: there are datasets, and the extra to read them is not installed; nothing was erased.
    """
    db, tell = Path(db), progress or _no_progress
    folders = [Path(folder) for folder in datasets]
    if folders or any(artifact.kind == "dataset" for artifact in _known(db)):
        from ragwheel.datasets.erase import read_manifest

        for folder in folders:
            read_manifest(folder)
    eraser = _DatasetEraser(folders, dry_run, tell)
    waiting = _from_outboxes(outboxes, selection, dry_run=dry_run)  # before it is sent and stored
    tell(f"looking for it in {db}")
    report = erase_selected(db, selection, dry_run=dry_run, reach=eraser, timeout_s=timeout_s)
    still_in = (*report.still_in, *(path for rows in eraser.rows for path in rows.still_in), *eraser.held)
    waiting += _from_outboxes(outboxes, selection, dry_run=dry_run, spans=eraser.span_ids)
    return Erasure(report, tuple(eraser.rows), eraser.retrain, eraser.missing, still_in, dry_run, waiting)


def _from_outboxes(
    outboxes: Iterable[str | Path],
    selection: Selection,
    *,
    dry_run: bool,
    spans: frozenset[str] = frozenset(),
) -> int:
    """Erase signals from outboxes that are selected, or are about an erased span; return how many."""
    from ragwheel.client.outbox import erase_from_outbox

    selects = selection.selects_signal

    def condemned(body: bytes) -> bool:
        signal = msgspec.json.decode(body)
        try:
            target = peek(signal.get("handle"))
        except BadHandle:
            return False
        subject = target.subject or signal.get("subject")
        return target.span_id.hex() in spans or selects(subject, signal.get("query"), signal.get("at"))

    if dry_run:
        return 0
    return sum(erase_from_outbox(path, condemned) for path in outboxes)


def _no_progress(_stage: str) -> None:
    """Ignore progress."""


def _known(db: Path) -> list[Artifact]:
    try:
        return list_artifacts(db)
    except RagwheelError:
        return []  # erasing says what is wrong with the database


class _DatasetEraser:
    """Erases data from built datasets, within the transaction that erases it from the store."""

    def __init__(self, folders: list[Path], dry_run: bool, tell: StageProgress) -> None:
        self._folders = folders
        self._dry_run = dry_run
        self._tell = tell
        self.rows: list[ErasedRows] = []
        self.span_ids: frozenset[str] = frozenset()
        self.retrain: tuple[Artifact, ...] = ()
        self.missing: tuple[Artifact, ...] = ()
        self.held: tuple[Path, ...] = ()

    def __call__(self, connection: sqlite3.Connection, gone: ErasedContent, needles: list[bytes]) -> None:
        self.span_ids = gone.span_ids
        artifacts = read_artifacts(connection)
        folders = {folder.resolve(): folder for folder in self._folders}
        built = [artifact for artifact in artifacts if artifact.kind == "dataset"]
        for artifact in built:
            if (artifact.path / "manifest.json").is_file():
                folders.setdefault(artifact.path, artifact.path)
        erased_ns = self._scrub(connection, folders, gone, needles)
        first_ns = gone.first_ns
        self.missing = tuple(
            artifact
            for artifact in built
            if artifact.path not in folders and first_ns is not None and first_ns <= artifact.made_ns
        )
        self.retrain = tuple(self._made_from(artifacts, erased_ns, first_ns))
        mark_erased(connection, (*self.missing, *self.retrain))
        self.held = _holding(self.retrain, needles) if not self._dry_run else ()

    def _scrub(
        self,
        connection: sqlite3.Connection,
        folders: dict[Path, Path],
        gone: ErasedContent,
        needles: list[bytes],
    ) -> dict[Path, int]:
        """Erase data from every folder; return the time of the last erasure of each changed folder."""
        if not folders:
            return {}
        from ragwheel.datasets.erase import erase_from, read_manifest

        scrub = _matching(connection, gone, needles)
        times: dict[Path, int] = {}
        for real, folder in folders.items():
            self._tell(f"looking for it in {folder}")
            rows = erase_from(folder, scrub, dry_run=self._dry_run)
            self.rows.append(rows)
            last_ns = read_manifest(folder).get("erased", {}).get("last_ns")
            if self._dry_run and rows.n:
                last_ns = 2**63
            if last_ns is not None:
                times[real] = last_ns
        return times

    def _made_from(
        self, artifacts: list[Artifact], erased_ns: dict[Path, int], first_ns: int | None
    ) -> list[Artifact]:
        """Return the models and examples that must be made again, also those that an earlier erasure named.

        These were made from a folder from which data was erased later, from a missing dataset, or directly
        from the database while it contained the erased data.
        """
        stale: dict[Path, Artifact] = {}
        for path, last_ns in erased_ns.items():
            derived = descendants(artifacts, [path])
            stale |= {artifact.path: artifact for artifact in derived if artifact.made_ns < last_ns}
        for artifact in descendants(artifacts, [missing.path for missing in self.missing]):
            stale[artifact.path] = artifact
        for artifact in artifacts:
            straight = artifact.kind != "dataset" and not artifact.parents
            if straight and first_ns is not None and first_ns <= artifact.made_ns:
                stale |= {each.path: each for each in (artifact, *descendants(artifacts, [artifact.path]))}
        stale |= {each.path: each for each in artifacts if each.stale and each.path.exists()}
        return [artifact for artifact in artifacts if artifact.path in stale and artifact.kind != "dataset"]


def _matching(connection: sqlite3.Connection, gone: ErasedContent, needles: list[bytes]) -> Scrub:
    from ragwheel.datasets.erase import Scrub
    from ragwheel.labels.traces.text import query_key

    queries = connection.execute(
        "SELECT query FROM _retrieval UNION SELECT query FROM _turn UNION SELECT query FROM _signal"
        " UNION SELECT query FROM _judgment UNION SELECT query FROM _review"
    )
    return Scrub(gone, needles, frozenset(query_key(query) for (query,) in queries))


def _holding(artifacts: Collection[Artifact], needles: list[bytes]) -> tuple[Path, ...]:
    """Return files of models and examples that contain some of the erased data."""
    if not needles or not artifacts:
        return ()
    from ragwheel.datasets.erase import files_containing

    paths: list[Path] = []
    for artifact in artifacts:
        inside = artifact.path.rglob("*") if artifact.path.is_dir() else [artifact.path]
        paths += files_containing(sorted(path for path in inside if path.is_file()), needles)
    return tuple(paths)
