"""Dataset folders opened again: for training, evaluation and whoever wants the tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ragwheel.datasets.options import SPLITS
from ragwheel.datasets.writer import LAYOUT, MANIFEST
from ragwheel.errors import DatasetError
from ragwheel.files import sha256_of

__all__ = ["BuiltDataset", "count_written", "open_dataset"]

_POSITIVE: Final = 3  # the least grade of a positive in folders of earlier versions


@dataclass(frozen=True)
class BuiltDataset:
    """A folder that :func:`ragwheel.datasets.build` wrote, checked when it was opened.

    Attributes:
        folder: where it lies.
        manifest: what ``manifest.json`` says.
        id: the first 12 hex digits of the SHA-256 of the manifest, which has the checksum of every file:
            equal ids, equal rows.
    """

    folder: Path
    manifest: Mapping[str, Any]
    id: str

    @property
    def configs(self) -> tuple[str, ...]:
        """The configs that were written, those without a row among them."""
        return tuple(self.manifest["rows"])

    @property
    def examples(self) -> Mapping[str, int]:
        """Examples by split: questions with a positive, each counted once."""
        examples = self.manifest.get("examples")
        return examples if isinstance(examples, dict) else count_written(self.folder)

    def example_keys(self) -> set[str]:
        """Return the query keys of the examples, of all splits."""
        return {key for _, key in _questions(self.folder)}

    def rows(self, config: str, split: str) -> pa.Table:
        """All rows of a config and split in their order; a table without rows where the split is empty.

        Raises:
            DatasetError: there is no such config or split.
        """
        _check("config", config, self.configs)
        _check("split", split, SPLITS)
        return _read(self.folder / config / f"{split}.parquet")

    def provenance(self, config: str | None = None, split: str | None = None) -> pa.Table:
        """Why each chunk of each row is what it is (columns in ``docs/datasets.md``), of all rows or some.

        Raises:
            DatasetError: there is no such config or split.
        """
        wanted = []
        if config is not None:
            _check("config", config, self.configs)
            wanted.append(("config", "==", config))
        if split is not None:
            _check("split", split, SPLITS)
            wanted.append(("split", "==", split))
        return _read(self.folder / "provenance.parquet", wanted)


def open_dataset(folder: str | Path) -> BuiltDataset:
    """Open a dataset folder; every file is compared with the checksum that the build wrote down.

    Raises:
        DatasetError: it is not a folder of ragwheel's, a newer version wrote it, or files changed since.
    """
    folder = Path(folder)
    try:
        text = (folder / MANIFEST).read_bytes()
        manifest = json.loads(text)
    except (OSError, ValueError) as exc:
        raise DatasetError(
            f"{folder} is not a dataset folder of ragwheel's: {exc}. Make one: ragwheel build --out {folder}"
        ) from exc
    if not isinstance(manifest, dict) or manifest.get("made_by") != "ragwheel":
        raise DatasetError(
            f"{folder / MANIFEST} was not written by ragwheel build. Make a dataset folder: ragwheel build "
            f"--out DIR"
        )
    layout = manifest.get("layout", 1)
    if not isinstance(layout, int) or layout > LAYOUT:
        raise DatasetError(
            f"{folder} has layout {layout}, written by ragwheel {manifest.get('ragwheel')}; this one reads "
            f"layouts up to {LAYOUT}. Upgrade: pip install -U ragwheel"
        )
    if not isinstance(manifest.get("rows"), dict) or not isinstance(manifest.get("sha256"), dict):
        raise DatasetError(
            f"{folder / MANIFEST} is damaged: it has no rows or no checksums. Build again: ragwheel build "
            f"--out {folder}"
        )
    _check_files(folder, manifest["sha256"])
    return BuiltDataset(folder, manifest, sha256(text).hexdigest()[:12])


def count_written(folder: Path) -> dict[str, int]:
    """Count the examples in a folder's provenance, by split: for folders that do not say so themselves.

    Raises:
        DatasetError: the provenance cannot be read.
    """
    counts = Counter(split for split, _ in _questions(folder))
    return {split: counts[split] for split in SPLITS}


def _questions(folder: Path) -> set[tuple[str, str]]:
    """The split and query key of every question that has a positive among the rows."""
    columns = ["config", "split", "query_key", "strategy", "grade"]
    path = folder / "provenance.parquet"
    try:
        table = pq.read_table(path, columns=columns, filters=[("config", "in", ["pairs", "positives"])])
    except (OSError, ValueError) as exc:
        raise DatasetError(f"{path} cannot be read: {exc}. Build it again: ragwheel build --out DIR") from exc
    return {
        (row["split"], row["query_key"])
        for row in table.to_pylist()
        if row["config"] == "positives" or (row["strategy"] is None and row["grade"] >= _POSITIVE)
    }


def _check_files(folder: Path, expected: Mapping[str, str]) -> None:
    """Compare the tables with their checksums; the card is for people, who may write in it."""
    wrong: dict[str, list[str]] = {"missing": [], "changed": []}
    for name, digest in expected.items():
        path = folder / name
        if not path.is_file():
            wrong["missing"].append(name)
        elif path.suffix != ".md" and sha256_of(path) != digest:
            wrong["changed"].append(name)
    text = "; ".join(f"{what}: {', '.join(sorted(names))}" for what, names in wrong.items() if names)
    if text:
        raise DatasetError(
            f"{folder} is not as ragwheel wrote it ({text}). Copy it again, or build it again: ragwheel "
            f"build --out {folder}"
        )


def _check(what: str, got: str, allowed: tuple[str, ...]) -> None:
    if got not in allowed:
        raise DatasetError(f"The dataset has no {what} {got!r}; it has: {', '.join(allowed)}.")


def _read(path: Path, filters: list[tuple[str, str, str]] | None = None) -> pa.Table:
    try:
        return pq.read_table(path, filters=filters or None)
    except (OSError, ValueError) as exc:
        raise DatasetError(f"{path} cannot be read: {exc}. Build it again: ragwheel build --out DIR") from exc
