"""Where the partitions of many stores lie in one folder or bucket, and which of them count.

::

    LAKE/_ragwheel.json                                         marks the folder as a lake of ragwheel's
    LAKE/_stores/STORE.json                                     what this store exported; written last
    LAKE/retrieval/store=STORE/day=2026-11-22/part-….parquet    one file per table, store and day (UTC)
    LAKE/_erasures/….json                                       whom every later export leaves out

Each store writes below its own name only, so that any number of servers export at once. A file that an
erasure has rewritten has ``-e1``, ``-e2``, … before its ending, and stands for the one that the store's
manifest names.

Format 1, of earlier versions, was the export of one store: ``LAKE/_ragwheel.json`` named its files.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ragwheel.errors import ConfigurationError, DatasetError
from ragwheel.labels.traces.columns import SCHEMAS

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["ERASURES", "FORMAT", "MANIFEST", "STORES", "UNFINISHED", "Lake", "damaged", "is_local",
           "is_traces", "located", "open_lake", "read_json"]  # fmt: skip

MANIFEST: Final = "_ragwheel.json"
STORES: Final = "_stores"
ERASURES: Final = "_erasures"
#: How the name of a file begins that is still being written on a local disk.
UNFINISHED: Final = "_unfinished-"
#: Of the files.
FORMAT: Final = 2
_ATTEMPTS: Final = 5
_REWRITTEN: Final = re.compile(r"-e(\d+)(?=\.parquet$)")


@dataclass(frozen=True)
class Lake:
    """What lies in a lake.

    Attributes:
        filesystem, root: where it is.
        format: 1 or 2; 0: there is none yet.
        stores: the manifest of each store by its identity; of format 1 the one manifest, under ``""``.
        files: every file below the root by its path inside, with its size in bytes.
        copies: files of which there is a copy on this machine, by their path inside
            (:mod:`ragwheel.labels.traces.steady`).
    """

    filesystem: AbstractFileSystem
    root: str
    format: int
    stores: Mapping[str, Mapping[str, Any]]
    files: Mapping[str, int]
    copies: Mapping[str, Path] = field(default_factory=dict)
    _latest: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        latest: dict[str, tuple[int, str]] = {}
        for path in self.files:
            match = _REWRITTEN.search(path)
            if match:
                base, number = _REWRITTEN.sub("", path), int(match[1])
                latest[base] = max(latest.get(base, (0, "")), (number, path))
        object.__setattr__(self, "_latest", {base: path for base, (_, path) in latest.items()})

    def current(self, path: str) -> str:
        """Return the file that stands for one that a manifest names: itself, or its latest rewriting."""
        return self._latest.get(path, path)

    def variants(self, path: str) -> list[str]:
        """Return a file that a manifest names and its rewritings, those that are there."""
        entries = [path] if path in self.files else []
        stem = path.removesuffix(".parquet")
        return entries + [other for other in self.files if other.startswith(f"{stem}-e")]

    def missing(self) -> set[str]:
        """Return the files that manifests name and that are not there."""
        named = (part["file"] for name in SCHEMAS for _, _, part in self.parts(name))
        return {path for path in named if self.current(path) not in self.files}

    def erasures(self) -> list[str]:
        """Return the files that say whom every later export leaves out."""
        return sorted(
            path for path in self.files if re.fullmatch(rf"{ERASURES}/[0-9A-Za-z][\w-]*\.json", path)
        )

    def parts(self, name: str) -> list[tuple[str, str, Mapping[str, Any]]]:
        """Return store, day and entry of every partition of a table, in this order."""
        return [
            (store, day, part)
            for store, manifest in sorted(self.stores.items())
            for day, part in sorted(manifest["tables"].get(name, {}).items())
        ]


def is_traces(url: str | Path) -> bool:
    """Whether it names Parquet partitions rather than a database: a URL, or a folder of them."""
    return "://" in str(url) or (Path(url) / MANIFEST).is_file()


def located(url: str | Path) -> tuple[AbstractFileSystem, str]:
    """The filesystem of a folder or URL, and its path there.

    Raises:
        ConfigurationError: fsspec, or what it needs for this kind of URL, is not installed, or there is none.
    """
    try:
        from fsspec.core import url_to_fs

        filesystem, root = url_to_fs(str(url))
    except (ImportError, ValueError) as exc:
        raise ConfigurationError(
            f"{url} cannot be reached: {exc}. Expected a folder, or a URL whose fsspec package is "
            f"installed, for s3:// pip install 'ragwheel[s3]'"
        ) from exc
    return filesystem, str(root).rstrip("/")


def is_local(filesystem: AbstractFileSystem) -> bool:
    """Whether the files are on a disk of this machine."""
    protocol = filesystem.protocol
    return "file" in ((protocol,) if isinstance(protocol, str) else protocol)


def open_lake(filesystem: AbstractFileSystem, root: str) -> Lake:
    """List a lake and read the manifests of its stores.

    Raises:
        DatasetError: a manifest cannot be read, or a newer ragwheel wrote it; or the lake cannot be reached.
    """
    lake = _opened(filesystem, root)
    for _ in range(_ATTEMPTS):
        missing = lake.missing() if lake.format > 1 else set()
        if not missing:
            break
        # a store may have replaced its files after they were listed: look again while that changes something
        lake, before = _opened(filesystem, root), lake
        if lake.missing() == missing and lake.stores == before.stores:
            break
    return lake


def _opened(filesystem: AbstractFileSystem, root: str) -> Lake:
    files = _listed(filesystem, root)
    if MANIFEST not in files:
        return Lake(filesystem, root, 0, {}, files)
    top = read_json(filesystem, root, MANIFEST)
    if top["format"] == 1:
        return Lake(filesystem, root, 1, {"": top}, files)
    names = [path for path in sorted(files) if re.fullmatch(rf"{STORES}/[0-9A-Za-z][\w-]*\.json", path)]
    stores = {Path(path).stem: read_json(filesystem, root, path) for path in names}
    return Lake(filesystem, root, FORMAT, stores, files)


def read_json(filesystem: AbstractFileSystem, root: str, path: str) -> dict[str, Any]:
    """Read a manifest.

    Raises:
        DatasetError: it cannot be read, or a newer ragwheel wrote it.
    """
    try:
        manifest: dict[str, Any] = json.loads(filesystem.cat_file(f"{root}/{path}"))
        version = int(manifest["format"])
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise DatasetError(
            f"{root}/{path} cannot be read: {exc!r}. If it is damaged, remove it and export the store again: "
            f"ragwheel export traces --out DEST"
        ) from exc
    if version > FORMAT:
        raise DatasetError(
            f"{root}/{path} has format {version}, this ragwheel knows up to {FORMAT}. "
            f"Upgrade: pip install -U ragwheel"
        )
    return manifest


def damaged(lake: Lake, detail: object) -> DatasetError:
    """Return the error of a lake of which a file is not what its manifest says."""
    return DatasetError(
        f"A file of {lake.root} is missing or damaged: {detail}. Nothing was read. Export that store again, "
        f"from its database: ragwheel export traces --out DEST. If the database is gone, give its rows up by "
        f"removing the store's manifest and its folders: _stores/STORE.json and */store=STORE"
    )


def _listed(filesystem: AbstractFileSystem, root: str) -> dict[str, int]:
    """Return every file below a folder by its path inside, with its size."""
    try:
        if is_local(filesystem):
            return dict(_walked(root, ""))
        filesystem.invalidate_cache()
        entries = filesystem.find(root, detail=True)
    except FileNotFoundError:
        return {}
    except Exception as exc:
        raise DatasetError(
            f"{root} cannot be listed: {exc!r}. Nothing was changed. Check the address and the credentials, "
            f"then run the same command again"
        ) from exc
    inside = {str(path)[len(root) :].lstrip("/"): entry for path, entry in entries.items()}
    return {path: int(entry.get("size") or 0) for path, entry in inside.items() if path}


def _walked(root: str, folder: str) -> Iterator[tuple[str, int]]:
    """Yield the files below a local folder; those that others rename or remove meanwhile are passed over.

    Where a file vanishes, fsspec's own ``find`` leaves out everything beside it without a word.
    """
    try:
        entries = sorted(os.scandir(Path(root, folder)), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        path = f"{folder}/{entry.name}" if folder else entry.name
        if entry.is_dir():
            yield from _walked(root, path)
            continue
        with contextlib.suppress(FileNotFoundError):
            yield path, entry.stat().st_size
