"""Writing into a lake: atomic files, a store's manifest, and removal of files that it no longer names."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ragwheel.errors import DatasetError
from ragwheel.labels.traces.columns import SCHEMAS
from ragwheel.labels.traces.lake import ERASURES, FORMAT, MANIFEST, STORES, UNFINISHED, Lake, is_local

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["LakeFolder", "lake_errors"]

_TOP: Final = {"made_by": "ragwheel", "format": FORMAT}


@contextlib.contextmanager
def lake_errors(root: str) -> Iterator[None]:
    """Turn the exceptions of any filesystem into one of ragwheel's errors.

    Raises:
        DatasetError: the lake could not be reached or written.
    """
    try:
        yield
    except DatasetError:
        raise
    except Exception as exc:
        if not isinstance(exc, OSError) and not _of_a_client(exc):
            raise
        raise DatasetError(
            f"{root} cannot be read or written: {type(exc).__name__}: {exc}. What was there before is as it "
            f"was, and nothing of the database was given up. Check address, credentials and free space, then "
            f"run the same command again"
        ) from exc


def _of_a_client(exc: Exception) -> bool:
    """Return whether an exception was raised by the client of an object store."""
    return type(exc).__module__.split(".", 1)[0] in {
        "aiohttp",
        "aiobotocore",
        "botocore",
        "gcsfs",
        "azure",
        "s3fs",
    }


class LakeFolder:
    """The files of a lake, for writing.

    On a local disk a file is first written under a unique name, since many servers may write the same file at
    once, and only its owner can read it. An object in an object store is written atomically anyway.
    """

    def __init__(self, filesystem: AbstractFileSystem, root: str) -> None:
        self._fs, self.root = filesystem, root
        self._local = is_local(filesystem)
        self._finished: list[tuple[str, str]] = []

    def check_new(self, lake: Lake) -> None:
        """Raise :class:`DatasetError` if the folder has other content than that of an unfinished export."""
        strange = [path for path in lake.files if not _ours(path)]
        if strange or (self._fs.exists(self.root) and not self._fs.isdir(self.root)):
            raise DatasetError(
                f"{self.root} has other things in it and was left as it is. Name a new folder: "
                f"ragwheel export traces --out DEST"
            )

    def mark(self) -> None:
        """Write the file that marks the folder as a lake."""
        self._write_whole(MANIFEST, _TOP)

    def begin(self, path: str) -> tuple[Any, str]:
        """Open a file for writing; return it and its temporary name."""
        folder, _, file = path.rpartition("/")
        name = f"{folder}/{_unfinished(file)}" if self._local else path
        self._make(folder)
        sink = self._fs.open(f"{self.root}/{name}", "wb")
        if self._local:
            Path(self.root, name).chmod(0o600)
        return sink, name

    def finished(self, name: str, path: str) -> None:
        """Remember that the file with this temporary name is complete."""
        self._finished.append((name, path))

    def publish(self) -> None:
        """Rename the complete files to their final names."""
        for name, path in self._finished:
            if name != path:
                Path(self.root, name).replace(Path(self.root, path))
        self._finished.clear()

    def write_store(self, identity: str, manifest: Mapping[str, Any]) -> None:
        """Publish the complete files, then write a store's manifest."""
        self.publish()
        self._write_whole(f"{STORES}/{identity}.json", manifest)

    def write_erasure(self, name: str, erasure: Mapping[str, Any]) -> None:
        """Write an erasure, which later exports of every store apply."""
        self._write_whole(f"{ERASURES}/{name}.json", erasure)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files by their path in the lake; missing files are ignored."""
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(f"{self.root}/{path}")

    def _make(self, folder: str) -> None:
        if not self._local:
            return
        path = Path(self.root)
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for part in filter(None, folder.split("/")):
            path /= part
            path.mkdir(exist_ok=True, mode=0o700)

    def _write_whole(self, path: str, content: Mapping[str, Any]) -> None:
        text = (json.dumps(content, indent=1) + "\n").encode()
        if not self._local:
            self._fs.pipe_file(f"{self.root}/{path}", text)
            return
        folder, _, file = path.rpartition("/")
        self._make(folder)
        unfinished = Path(self.root, folder, _unfinished(file))
        unfinished.write_bytes(text)
        unfinished.chmod(0o600)
        unfinished.replace(Path(self.root, path))


def _unfinished(file: str) -> str:
    """Return a unique temporary name."""
    return f"{UNFINISHED}{secrets.token_hex(4)}-{file}"


def _ours(path: str) -> bool:
    folder, _, file = path.rpartition("/")
    plain = re.sub(rf"^{UNFINISHED}(?:[0-9a-f]{{8}}-)?", "", file)
    of_table = folder.partition("/")[0] in SCHEMAS and plain.startswith("part-")
    return of_table or folder in {STORES, ERASURES} or (not folder and plain == MANIFEST)
