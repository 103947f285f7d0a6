"""What is believed of every chunk that was exposed for a training question: what trainers learn from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow.parquet as pq

from ragwheel.errors import DatasetError
from ragwheel.evaluate.beliefs import policy_of
from ragwheel.labels import graded
from ragwheel.store import open_store

if TYPE_CHECKING:
    from ragwheel.datasets import BuiltDataset

__all__ = ["LEAST", "Belief", "Believed", "beliefs", "beliefs_of_rows", "read_believed", "texts_of"]

#: A chunk that is believed less than this is no positive, whatever its weight.
LEAST: Final = 0.3
_TOP_GRADE: Final = 5.0


@dataclass(frozen=True)
class Belief:
    """What is believed about a question and a chunk.

    Attributes:
        query_key, family: of the question.
        query: its text.
        source, chunk_id: of the chunk.
        version: of the chunk: its number in the store.
        belief: P(the chunk answers the question).
        confidence: how sure the label is, 0-1.
    """

    query_key: str
    family: str
    query: str
    source: str
    chunk_id: str
    version: int
    belief: float
    confidence: float


@dataclass(frozen=True)
class Believed:
    """Beliefs of the questions of train and dev, and the texts of their chunks by version.

    Chunks without a text are left out.
    """

    train: list[Belief]
    dev: list[Belief]
    texts: Mapping[int, str]

    def split(self, name: str) -> list[Belief]:
        """The beliefs of ``train`` or ``dev``."""
        return self.dev if name == "dev" else self.train


def read_believed(dataset: BuiltDataset, db: str | Path) -> Believed:
    """:func:`beliefs` with the texts of the chunks.

    Raises:
        StoreError: the database cannot be read.
        DatasetError: the dataset's splits cannot be read.
    """
    rows = beliefs(dataset, db)
    texts = texts_of(db, (row for split in rows.values() for row in split))
    train, dev = ([row for row in rows[split] if row.version in texts] for split in ("train", "dev"))
    return Believed(train, dev, texts)


def beliefs(dataset: BuiltDataset, db: str | Path) -> dict[str, list[Belief]]:
    """What the label model believes of every exposed chunk, by split: ``train`` and ``dev``.

    The rows of the dataset are only those that are sure enough to be labels. A training also learns from
    doubtful chunks, as far as they are believed, and the criterion would be misled without them.

    Args:
        dataset: whose questions, in whose splits. The questions of ``test`` are left out here.
        db: the store that it was built from.

    Raises:
        StoreError: the database cannot be read.
        DatasetError: the dataset's splits cannot be read.
    """
    splits = _splits(dataset)
    rows: dict[tuple[str, str, str], Belief] = {}
    table = graded(db, policy=policy_of(dataset))
    names = ("query_key", "query", "source", "chunk_id", "chunk_version", "belief", "confidence")
    for key, query, source, chunk, version, belief, confidence in zip(
        *(table[name].to_pylist() for name in names)
    ):  # by version, ascending: the newest stays
        if key in splits and belief is not None:
            rows[key, source, chunk] = Belief(
                key, splits[key][1], query, source, chunk, int(version), float(belief), confidence or 0.0
            )
    found: dict[str, list[Belief]] = {"train": [], "dev": []}
    for row in rows.values():
        found[splits[row.query_key][0]].append(row)
    return found


def beliefs_of_rows(dataset: BuiltDataset, db: str | Path) -> dict[str, list[Belief]]:
    """The same from the grades of the dataset's own pairs, for datasets that other labels were put into.

    Of several versions of a chunk the grade of the newest one in the store counts.
    """
    found: dict[str, list[Belief]] = {}
    with closing(open_store(Path(db))) as connection:
        versions = connection.execute(
            "SELECT chunk_version FROM chunks ORDER BY first_seen_ns, chunk_version"
        )
        ages = {number: age for age, (number,) in enumerate(versions)}
    for split in ("train", "dev"):
        texts = dataset.rows("pairs", split)["query"].to_pylist()
        rows: dict[tuple[str, str, str], Belief] = {}
        pairs = dataset.provenance("pairs", split).to_pylist()
        pairs.sort(key=lambda row: (ages.get(int(row["chunk_version"]), -1), int(row["chunk_version"])))
        for row in pairs:
            belief = 0.0 if row["strategy"] else min(1.0, max(0.0, row["grade"] / _TOP_GRADE))
            rows[row["query_key"], row["source"], row["chunk_id"]] = Belief(
                row["query_key"], row["family"], texts[row["row"]], row["source"], row["chunk_id"],
                int(row["chunk_version"]), belief, float(row["confidence"]),
            )  # fmt: skip
        found[split] = list(rows.values())
    return found


def texts_of(db: str | Path, rows: Iterable[Belief]) -> dict[int, str]:
    """The texts of the chunks that rows speak about, by version; chunks without a text are left out.

    Raises:
        StoreError: the database cannot be read.
    """
    wanted = {row.version for row in rows}
    with closing(open_store(Path(db))) as connection:
        texts = connection.execute("SELECT chunk_version, text FROM chunks WHERE text <> ''")
        return {version: text for version, text in texts if version in wanted}


def _splits(dataset: BuiltDataset) -> dict[str, tuple[str, str]]:
    """Split and family of the questions of train and dev, by query key."""
    path = dataset.folder / "splits.parquet"
    try:
        rows = pq.read_table(path, columns=["query_key", "split", "family"]).to_pylist()
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}. Build again: ragwheel build") from error
    return {
        row["query_key"]: (row["split"], row["family"]) for row in rows if row["split"] in ("train", "dev")
    }
