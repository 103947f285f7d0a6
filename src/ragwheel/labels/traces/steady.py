"""Reading a lake while its servers go on exporting to it.

An export writes the days that changed into new files and removes the ones that it replaces; a build reads for
minutes or hours. The files of the latest days, which every export replaces, are therefore copied to this
machine first, on the same disk as links that cost no room. Older days change when somebody is erased or a
server was away; where that happens in the middle, the reader fails and says so.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from ragwheel.errors import DatasetError, RagwheelError
from ragwheel.labels.traces.columns import SCHEMAS
from ragwheel.labels.traces.lake import Lake, damaged, is_local, open_lake

__all__ = ["steady"]

_ATTEMPTS: Final = 20
_DAY_S: Final = 86_400


@contextmanager
def steady(lake: Lake) -> Iterator[Lake]:
    """Yield a lake with copies of the files of today and yesterday (UTC), which are removed at the end.

    Raises:
        DatasetError: files were replaced while they were copied, again and again; or one of which there is no
            copy was replaced or removed while it was read.
    """
    if lake.format == 1:
        yield lake
        return
    with tempfile.TemporaryDirectory(prefix="ragwheel-lake-") as folder:
        copied = _copied(lake, Path(folder))
        try:
            yield copied
        except Exception as exc:
            if not isinstance(exc, RagwheelError) or isinstance(exc.__cause__, OSError):
                _check(copied, exc)
            raise


def _check(lake: Lake, exc: Exception) -> None:
    """Raise a clear error where an exception came because files of a lake are there no more."""
    try:
        now = open_lake(lake.filesystem, lake.root)
    except RagwheelError:
        return
    replaced = sorted(_named(lake) - _named(now) - lake.copies.keys())
    if replaced:
        raise DatasetError(
            f"{len(replaced)} files of {lake.root} were replaced while they were read, such as {replaced[0]}:"
            f" a server exported older days again, or a person was erased. Nothing was written; run the same "
            f"command again"
        ) from exc
    if missing := sorted(now.missing()):
        raise damaged(lake, f"{missing[0]} is not there") from exc


def _named(lake: Lake) -> set[str]:
    return {lake.current(part["file"]) for name in SCHEMAS for _, _, part in lake.parts(name)}


def _copied(lake: Lake, folder: Path) -> Lake:
    copies: dict[str, Path] = {}
    for _ in range(_ATTEMPTS):
        try:
            for path in _latest(lake):
                if path not in copies:
                    copy = folder / str(len(copies))
                    _copy(lake, path, copy)
                    copies[path] = copy
        except FileNotFoundError:
            lake = open_lake(lake.filesystem, lake.root)
        else:
            return replace(lake, copies={path: copies[path] for path in _latest(lake)})
    raise DatasetError(
        f"The files of {lake.root} are replaced faster than they can be copied. Ship less often "
        f"(ragwheel ship URL --every 10m), then run the same command again"
    )


def _latest(lake: Lake) -> list[str]:
    """Return the files of today and yesterday, those that are there."""
    since = time.strftime("%Y-%m-%d", time.gmtime(time.time() - _DAY_S))
    parts = (part for name in SCHEMAS for _, day, part in lake.parts(name) if day >= since)
    return [path for part in parts if (path := lake.current(part["file"])) in lake.files]


def _copy(lake: Lake, path: str, copy: Path) -> None:
    if not is_local(lake.filesystem):
        lake.filesystem.get_file(f"{lake.root}/{path}", str(copy))
        return
    try:
        os.link(f"{lake.root}/{path}", copy)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or one without links
        shutil.copyfile(f"{lake.root}/{path}", copy)
