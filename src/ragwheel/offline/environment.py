"""Checks of ``doctor`` around the database: its disk, its permissions, and the clock."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Final

from ragwheel.journal.files import is_unsafe, segment_folder
from ragwheel.offline.findings import Finding, size
from ragwheel.offline.reading import number
from ragwheel.store.erase_proof import files_of

__all__ = ["access", "clock", "file_system"]

MOUNTS: Final = Path("/proc/self/mounts")
OVER_A_NETWORK: Final = frozenset(
    {
        "9p", "afs", "beegfs", "ceph", "cifs", "fuse.cephfs", "fuse.davfs", "fuse.gcsfuse", "fuse.glusterfs",
        "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "gfs2", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4",
        "ocfs2", "smb3", "smbfs", "virtiofs",
    }
)  # fmt: skip
IN_MEMORY: Final = frozenset({"ramfs", "tmpfs"})
LITTLE_ROOM: Final = 0.05
FUTURE_S: Final = 300
SECOND_NS: Final = 10**9


def file_system(path: Path) -> list[Finding]:
    """Check whether the file system supports locks, survives a restart, and has room."""
    kind = _kind(path)
    findings = []
    if kind in OVER_A_NETWORK:
        findings.append(
            Finding(
                "warning",
                "disk",
                f"{path.parent} is on {kind}, a file system over a network: locks do not work on all of "
                f"them, and two processes that write at once damage the file",
                "configure(db=...) with a file on a local disk",
            )
        )
    elif kind in IN_MEMORY:
        findings.append(
            Finding(
                "warning",
                "disk",
                f"{path.parent} is on {kind}, in memory: a restart of the machine loses it",
                "configure(db=...) with a file on a local disk",
            )
        )
    room = shutil.disk_usage(path.parent)
    free = f"{size(room.free)} of {size(room.total)} are free"
    if room.total and room.free / room.total < LITTLE_ROOM:
        findings.append(
            Finding(
                "warning",
                "disk",
                f"{free}; when it is full, records are dropped and counted",
                "ragwheel prune --older-than 90d, or make room: df -h",
            )
        )
    return findings or [Finding("ok", "disk", f"{kind or 'a local file system'}, {free}")]


def _kind(path: Path) -> str:
    """Return the kernel's name of the file system's type; empty if unknown."""
    try:
        lines = MOUNTS.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    real = os.path.realpath(path.parent)
    best, kind = -1, ""
    for line in lines:
        _, point, of, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:  # a later mount at the same path hides the earlier one
            best, kind = len(point), of
    return kind


def access(path: Path) -> list[Finding]:
    """Report files that other users of the machine can open."""
    folder = segment_folder(path)
    if folder.is_dir() and is_unsafe(folder):
        return [
            Finding(
                "error",
                "access",
                f"every user of this machine can write to {folder}: what they put there would be merged, so "
                f"nothing is recorded or merged there until that ends",
                f"chmod 700 {folder}",
            )
        ]
    closed = folder.is_dir() and not folder.stat().st_mode & 0o077
    open_to_others = [
        file
        for file in files_of(path)
        if file.stat().st_mode & 0o077
        and not (closed and file.parent == folder)
        and not file.name.endswith(("-wal", "-shm"))  # SQLite gives these the mode of the database
    ]
    if not open_to_others:
        return [
            Finding("ok", "access", "only its owner can open the database, the journal and what lies beside")
        ]
    modes = ", ".join(f"{path.name} (mode {path.stat().st_mode & 0o777:03o})" for path in open_to_others[:5])
    return [
        Finding(
            "warning",
            "access",
            f"other users of this machine can open {modes}",
            "chmod 600 " + " ".join(map(str, open_to_others)),
        )
    ]


def clock(connection: sqlite3.Connection) -> list[Finding]:
    """Report records with future times, since splits by time and ``--older-than`` use the recorded times."""
    limit = time.time_ns() + FUTURE_S * SECOND_NS
    ahead = number(
        connection,
        "SELECT (SELECT count(*) FROM retrievals WHERE start_ns > ?1)"
        " + (SELECT count(*) FROM turns WHERE start_ns > ?1)",
        limit,
    )
    if ahead:
        last = number(
            connection,
            "SELECT max(ns) FROM (SELECT max(start_ns) AS ns FROM retrievals"
            " UNION ALL SELECT max(start_ns) FROM turns)",
        )
        hours = (last - time.time_ns()) / SECOND_NS / 3600
        return [
            Finding(
                "warning",
                "clock",
                f"{ahead:,} records are from the future, up to {hours:,.1f} hours: the clock of a machine "
                f"that records, or of this one, was or is wrong",
                "timedatectl",
            )
        ]
    return [Finding("ok", "clock", "no record is from the future")]
