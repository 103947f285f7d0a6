"""Atomic writes of files and folders, checksums, and syncing to disk."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

__all__ = ["replace_folder", "replacing", "sha256_of", "sync", "write_atomically"]

_BLOCK: Final = 1 << 20
_PRIVATE: Final = 0o600
_SHARED: Final = 0o666  # minus the umask


@contextmanager
def replacing(path: Path, *, private: bool = False, durable: bool = False) -> Iterator[Path]:
    """Yield a new file beside ``path``. It replaces ``path`` if the block succeeds, else it is removed.

    Args:
        path: the file to write; its folder exists.
        private: whether only the owner may read the file.
        durable: whether to sync the content to disk before the file is replaced.

    Raises:
        OSError: the file cannot be written.
    """
    fresh = path.with_name(f".part-{secrets.token_hex(8)}{path.suffix}")
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE if private else _SHARED))
    try:
        yield fresh
        if durable:
            sync(fresh)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def write_atomically(
    path: Path, content: str | bytes, *, private: bool = False, durable: bool = False
) -> None:
    """Write a file atomically; text is encoded as UTF-8. For the arguments see :func:`replacing`.

    Raises:
        OSError: the file cannot be written; an earlier file is unchanged.
    """
    with replacing(path, private=private, durable=durable) as fresh:
        fresh.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside ``path``. It replaces ``path`` if the block succeeds, else it is removed.

    Only the owner can read the files in it, since datasets and exports hold texts of the app's users.

    Raises:
        OSError: the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}.part-", dir=path.parent))
    try:
        yield fresh
        for entry in (fresh, *fresh.rglob("*")):
            entry.chmod(0o700 if entry.is_dir() else 0o600)
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old-", dir=path.parent))
            path.rename(old / path.name)
            fresh.rename(path)
            shutil.rmtree(old)
        else:
            fresh.rename(path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def sha256_of(*paths: Path) -> str:
    """Return the SHA-256 of the concatenated contents of files, in hex."""
    digest = sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def sync(path: Path) -> None:
    """Sync a file or folder to disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
