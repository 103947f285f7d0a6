"""Result folders: the figures for people and programs, values per query, and every ranking.

==========================  =====================================================================
``evaluation.json``         what was evaluated and how, the table, verdicts
``README.md``               the table, for people
``per_query.parquet``       a row per system, kind of label and query; a column per measure
``runs/SYSTEM.trec``        TREC run files
``qrels/LABELS.trec``       TREC tables of judgments
==========================  =====================================================================
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ragwheel.errors import DatasetError
from ragwheel.evaluate.collection import LABELS, Collection, Labels
from ragwheel.evaluate.evaluation import Evaluation
from ragwheel.evaluate.measured import Comparison, Judged, Measured
from ragwheel.evaluate.measures import MEASURES
from ragwheel.evaluate.runs import write_qrels, write_run
from ragwheel.evaluate.table import markdown, summary
from ragwheel.files import replace_folder

__all__ = [
    "MANIFEST",
    "as_json",
    "check_results_folder",
    "comparison_as_json",
    "read_results",
    "write_results",
]

MANIFEST: Final = "evaluation.json"
_FORMAT: Final = 1


def write_results(evaluation: Evaluation, collection: Collection, out: str | Path) -> Path:
    """Write a result folder, whole or not at all; an earlier one there is replaced.

    Raises:
        DatasetError: ``out`` is something else, which is never overwritten.
    """
    out = Path(out)
    check_results_folder(out)
    with replace_folder(out) as folder:
        pq.write_table(_table(evaluation), folder / "per_query.parquet", compression="zstd")
        (folder / "runs").mkdir()
        for index, (name, run) in enumerate(evaluation.runs.items()):
            write_run(folder / "runs" / f"{index:02}-{_file_name(name)}.trec", run)
        (folder / "qrels").mkdir()
        for labels, qrels in collection.qrels.items():
            write_qrels(folder / "qrels" / f"{labels}.trec", qrels)
        (folder / "README.md").write_text(markdown(evaluation) + "\n", "utf-8")
        (folder / MANIFEST).write_text(json.dumps(as_json(evaluation), indent=2) + "\n", "utf-8")
    return out


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """What ``evaluation.json`` and ``ragwheel evaluate --json`` say; NaN becomes null."""
    name, key = evaluation.collection
    found = {
        "made_by": "ragwheel evaluate",
        "format": _FORMAT,
        "collection": {
            "name": name,
            "id": key,
            "documents": evaluation.documents,
            "queries": evaluation.queries,
        },
        "reference": evaluation.reference,
        "measure": evaluation.measure,
        "statistics": dataclasses.asdict(evaluation.statistics),
        "systems": [dataclasses.asdict(system) for system in evaluation.systems],
        "table": summary(evaluation),
        "comparisons": [
            {"a": comparison.a, "b": comparison.b, **dataclasses.asdict(row)}
            for comparison in evaluation.comparisons.values()
            for row in comparison.rows
        ],
        "notes": list(evaluation.notes),
        "elapsed_s": round(evaluation.elapsed_s, 3),
    }
    plain: dict[str, Any] = _plain(found)
    return plain


def comparison_as_json(comparison: Comparison) -> dict[str, Any]:
    """What ``ragwheel compare --json`` says; NaN becomes null."""
    plain: dict[str, Any] = _plain(
        dataclasses.asdict(comparison) | {"verdict": dataclasses.asdict(comparison.verdict)}
    )
    return plain


def read_results(folder: str | Path) -> dict[str, Measured]:
    """The per-query values of every system in a result folder.

    Raises:
        DatasetError: it is not a result folder, or it is damaged.
    """
    folder = Path(folder)
    try:
        about = json.loads((folder / MANIFEST).read_text("utf-8"))
        if about["made_by"] != "ragwheel evaluate" or about["format"] > _FORMAT:
            raise ValueError(f"made by {about['made_by']}, format {about['format']}")
        collection = str(about["collection"]["name"]), str(about["collection"]["id"])
        rows = pq.read_table(folder / "per_query.parquet").to_pylist()
        return _measured(rows, collection)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise DatasetError(
            f"{folder} is not a folder of results: {exc}. Make one: ragwheel evaluate DIR --out {folder}"
        ) from exc


def check_results_folder(out: Path) -> None:
    """Refuse to replace what is not a result folder.

    Raises:
        DatasetError: there is something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        if json.loads((out / MANIFEST).read_text("utf-8"))["made_by"] == "ragwheel evaluate":
            return
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not one of ours: said below
    raise DatasetError(
        f"{out} exists and is not a folder of results, so it was left as it is. Name a new one: --out DIR"
    )


def _table(evaluation: Evaluation) -> pa.Table:
    columns: dict[str, list[Any]] = {
        name: [] for name in ("system", "labels", "query_id", "cluster", "seen", *MEASURES)
    }
    for name, measurement in evaluation.measured.items():
        for labels, judged in measurement.judged.items():
            for query, cluster in judged.cluster.items():
                row = (name, labels, query, cluster, judged.seen.get(query))
                values = (measurement.values[labels][measure][query] for measure in MEASURES)
                for column, value in zip(columns.values(), (*row, *values)):
                    column.append(value)
    text = dict.fromkeys(("system", "labels", "query_id", "cluster"), pa.string())
    schema = pa.schema({**text, "seen": pa.bool_(), **dict.fromkeys(MEASURES, pa.float64())})
    return pa.table(columns, schema)


def _measured(rows: list[dict[str, Any]], collection: tuple[str, str]) -> dict[str, Measured]:
    measured: dict[str, Measured] = {}
    for name in dict.fromkeys(row["system"] for row in rows):
        judged: dict[Labels, Judged] = {}
        values: dict[Labels, dict[str, dict[str, float]]] = {}
        for labels in LABELS:
            some = [row for row in rows if row["system"] == name and row["labels"] == labels]
            if some:
                judged[labels] = Judged(
                    {row["query_id"]: row["cluster"] for row in some},
                    {row["query_id"]: row["seen"] for row in some if row["seen"] is not None},
                )
                values[labels] = {m: {row["query_id"]: row[m] for row in some} for m in MEASURES}
        measured[name] = Measured(name, collection, judged, values)
    return measured


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(element) for key, element in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(element) for element in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
