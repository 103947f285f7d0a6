"""Reading the records of all sources into the staging area."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ragwheel.errors import ImportingError
from ragwheel.importing import tools
from ragwheel.importing.containers import RecordSource, read_records
from ragwheel.importing.contents import Contents, ContentsCounter
from ragwheel.importing.remotes import read_remote
from ragwheel.importing.staging import Staging
from ragwheel.typing import Progress

__all__ = ["read_all"]


def read_all(
    sources: list[Path | str], staging: Staging, counter: ContentsCounter, progress: Progress
) -> None:
    """Read every record of every file and address into the staging area.

    Raises:
        ImportingError: a source cannot be read, or has no record of a known tool.
    """
    contents = counter.contents
    sizes = [
        source.stat().st_size if isinstance(source, Path) and source.is_file() else 0 for source in sources
    ]
    for number, source in enumerate(sources):
        recognised = 0
        seen: Counter[str] = Counter()
        for record in _records(source, (sum(sizes[:number]), sum(sizes)), contents, progress):
            name, items = tools.read(record)
            if name is None:
                seen[_shape(record)] += 1
                continue
            recognised += 1
            contents.tools[name] += 1
            for item in items:
                counter.add(item)
                staging.add(item)
        contents.unknown.update(seen)
        if not recognised:
            if seen or contents.unreadable or (len(sources) == 1 and isinstance(source, Path)):
                raise _nothing_known(source, seen, contents)
            contents.empty.append(str(source))
    if len(contents.empty) == len(sources):
        raise ImportingError(f"There is no record in {', '.join(contents.empty)}. Nothing was imported.")
    contents.traces = staging.traces


def _size(source: Path | str) -> int:
    return source.stat().st_size if isinstance(source, Path) and source.is_file() else 0


def _records(
    source: Path | str, size: tuple[int, int], contents: Contents, progress: Progress
) -> Iterator[dict[str, Any]]:
    """Yield the records of a source; ``size`` is the number of bytes before it and the total number."""
    if isinstance(source, str):
        contents.containers[source] = "the API"
        yield from read_remote(source, lambda n: progress(f"reading {source}", n, 0))
        return
    if not source.is_file():
        raise ImportingError(f"There is no file {source}. Nothing was imported.")
    before, total = size
    file = RecordSource(
        source,
        unreadable=contents.unreadable,
        progress=lambda done: progress("reading", before + done, total),
    )
    yield from read_records(file)
    contents.containers[str(source)] = file.container


def _shape(record: dict[str, object]) -> str:
    return ", ".join(sorted(key for key in record if not key.startswith("@"))[:8])


def _nothing_known(source: Path | str, seen: Counter[str], contents: Contents) -> ImportingError:
    sought = "; ".join(f"{tool.title}: {tool.looks_for}" for tool in tools.TOOLS)
    saw = "; ".join(f"{n} records with {shape}" for shape, n in seen.most_common(3)) or "no record"
    broken = "; ".join(f"{reason}: {n}" for reason, n in contents.unreadable.items())
    return ImportingError(
        f"{source} ({contents.containers.get(str(source)) or 'unknown container'}) holds nothing of a tool "
        f"that is known. Saw: {saw}{f' ({broken})' if broken else ''}. Looked for: {sought}. Judgments and "
        f"evaluation sets: ragwheel import {source} --kind judgments, or --evalset"
    )
