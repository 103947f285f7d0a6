"""Export of a built dataset in another tool's format."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ragwheel.datasets import open_dataset
from ragwheel.datasets.formats import EXPORT_FORMATS, write_formats
from ragwheel.errors import DatasetError
from ragwheel.files import replace_folder

__all__ = ["DATASET_FORMATS", "check_new", "export_dataset"]

DATASET_FORMATS: Final = tuple(EXPORT_FORMATS)


def export_dataset(
    dataset: str | Path,
    format: str,  # noqa: A002
    out: str | Path,
    *,
    db: str | Path | None = None,
) -> dict[str, int]:
    """Write a dataset folder in a format of :data:`DATASET_FORMATS`; return the size of each file in bytes.

    The folder is written atomically.

    Args:
        dataset: a folder that ``ragwheel build`` wrote.
        format: the name of the format; ``docs/exports.md`` lists them.
        out: a new or empty folder.
        db: the database that the dataset was built from. If given, formats with a corpus hold the latest
            version of each of its chunks; otherwise they hold the graded chunks only.

    Raises:
        StoreError: the database cannot be read.
        DatasetError: ``dataset`` is damaged or lacks data that the format needs, or ``out`` is not empty.
        ConfigurationError: there is no such format.
    """
    source, out = open_dataset(dataset), Path(out)
    check_new(out)
    with replace_folder(out) as folder:
        write_formats(source.folder, folder / "made", [format], db=None if db is None else Path(db))
        for path in (folder / "made" / format).iterdir():
            path.rename(folder / path.name)
        (folder / "made" / format).rmdir()
        (folder / "made").rmdir()
    return sizes(out)


def check_new(out: Path) -> None:
    """Raise :class:`DatasetError` unless ``out`` is a new or empty folder."""
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise DatasetError(f"{out} is there already and was left as it is. Name a new folder with --out DIR.")


def sizes(out: Path) -> dict[str, int]:
    """Return the size in bytes of every file below a folder."""
    paths = sorted(path for path in out.rglob("*") if path.is_file())
    return {path.relative_to(out).as_posix(): path.stat().st_size for path in paths}
