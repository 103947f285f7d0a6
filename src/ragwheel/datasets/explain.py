"""Triplets of a dataset folder with the reasons for them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ragwheel.datasets.writer import MANIFEST
from ragwheel.errors import DatasetError

__all__ = ["TripletExplanation", "explain"]


@dataclass(frozen=True)
class TripletExplanation:
    """One triplet: its texts, why each chunk is what it is, how sure that is, and the spans that say so."""

    anchor: str
    positive: str
    negative: str
    strategy: str
    why_positive: tuple[str, ...]
    why_negative: tuple[str, ...]
    confidence_positive: float
    confidence_negative: float
    positive_id: tuple[str, str]
    negative_id: tuple[str, str]
    span_ids: tuple[str, ...]


def explain(out_dir: str | Path, n: int = 3) -> list[TripletExplanation]:
    """The first ``n`` triplets, every strategy in turn so that few show much.

    Raises:
        DatasetError: the folder is not one that :func:`build` wrote.
    """
    folder = Path(out_dir)
    try:
        made_by = json.loads((folder / MANIFEST).read_text("utf-8")).get("made_by")
        filters = [("config", "==", "triplets"), ("split", "==", "train")]
        origins = pq.read_table(folder / "provenance.parquet", filters=filters)
        triplets = pq.read_table(folder / "triplets" / "train.parquet")
    except (OSError, ValueError, AttributeError) as exc:
        raise DatasetError(
            f"{folder} is not a dataset folder of ragwheel's: {exc}. Make one: ragwheel build --out {folder}"
        ) from exc
    if made_by != "ragwheel":
        raise DatasetError(
            f"{folder} was made by {made_by!r}, expected ragwheel. Make one: ragwheel build --out DIR"
        )
    by_row: dict[int, dict[str, dict[str, Any]]] = {}
    slim = origins.select(["row", "role", "strategy"]).to_pylist()
    places: dict[int, dict[str, int]] = {}
    strategies: dict[str, list[int]] = {}
    for index, row in enumerate(slim):
        places.setdefault(row["row"], {})[row["role"]] = index
        if row["role"] == "negative":
            strategies.setdefault(row["strategy"], []).append(row["row"])
    for row_number in _in_turn(list(strategies.values()), n):
        by_row[row_number] = {
            role: origins.slice(place, 1).to_pylist()[0] for role, place in places[row_number].items()
        }
    return [_explained(triplets.slice(number, 1).to_pylist()[0], roles) for number, roles in by_row.items()]


def _in_turn(queues: list[list[int]], n: int) -> list[int]:
    longest = max((len(queue) for queue in queues), default=0)
    return [queue[depth] for depth in range(longest) for queue in queues if depth < len(queue)][:n]


def _explained(texts: dict[str, str], roles: dict[str, dict[str, Any]]) -> TripletExplanation:
    positive, negative = roles["positive"], roles["negative"]
    spans = [
        span
        for chunk in (positive, negative)
        for column in ("signal_ids", "retrieval_ids", "turn_ids")
        for span in chunk[column]
    ]
    return TripletExplanation(
        anchor=texts["anchor"],
        positive=texts["positive"],
        negative=texts["negative"],
        strategy=negative["strategy"],
        why_positive=tuple(positive["reasons"]),
        why_negative=tuple(negative["reasons"]),
        confidence_positive=positive["confidence"],
        confidence_negative=negative["confidence"],
        positive_id=(positive["source"], positive["chunk_id"]),
        negative_id=(negative["source"], negative["chunk_id"]),
        span_ids=tuple(dict.fromkeys(spans)),
    )
