"""The inputs of a report, read once: store, dataset, models, evaluations, experiments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ragwheel.datasets import BuiltDataset, open_dataset
from ragwheel.errors import DatasetError, StoreEmpty, StoreMissing
from ragwheel.experiments import Experiment, list_experiments
from ragwheel.experiments.roadmap import Roadmap, roadmap
from ragwheel.models.card import MANIFEST as CARD
from ragwheel.models.card import ModelFacts, read_model_card
from ragwheel.offline import Status, status
from ragwheel.offline.interleaving import Interleaving, interleaving
from ragwheel.offline.reading import number, reading, rows
from ragwheel.store.artifacts import list_artifacts

__all__ = ["Coverage", "ReportInputs", "ReportOptions", "read_inputs"]

_EVALUATION: Final = "evaluation.json"


@dataclass(frozen=True)
class ReportOptions:
    """The options of a report.

    Args:
        dataset: a folder that ``ragwheel build`` wrote; None: the newest that the store knows of.
        models: folders of trained models; empty: those that the store knows of.
        evaluations: folders that ``ragwheel evaluate --out`` wrote.
        experiments: the folder of experiments.
        texts: False leaves every text of queries and chunks out, and names made of their words.
        examples: how many triplets to show.
    """

    dataset: Path | None = None
    models: Sequence[Path] = ()
    evaluations: Sequence[Path] = ()
    experiments: Path | None = None
    texts: bool = True
    examples: int = 4


@dataclass(frozen=True)
class Coverage:
    """The shares of retrievals and turns with evidence, and the latency and size of the store.

    Attributes:
        shares: name and share, in the order of the page.
        median_ms, slow_ms: of retrievals: median and 95th percentile; None without any.
        store_bytes: of the database with its journal.
    """

    shares: tuple[tuple[str, float], ...]
    median_ms: float | None
    slow_ms: float | None
    store_bytes: int


@dataclass(frozen=True)
class ReportInputs:
    """The inputs of all sections; missing inputs are None or empty."""

    db: Path
    options: ReportOptions
    status: Status | None
    coverage: Coverage | None
    dataset: BuiltDataset | None
    roadmap: Roadmap | None
    models: tuple[tuple[Path, ModelFacts], ...]
    evaluations: tuple[tuple[Path, dict[str, Any]], ...]
    experiments: tuple[Experiment, ...]
    interleaving: Interleaving | None
    warnings: tuple[str, ...] = field(default=())


def read_inputs(db: str | Path, options: ReportOptions) -> ReportInputs:
    """Read the inputs. Without a store, the report only says which commands to type.

    Raises:
        StoreError: the database is there but cannot be read.
        DatasetError: a folder that was named is not what it was named as.
        ModelError: a card cannot be read.
        ExperimentError: a record cannot be read.
    """
    db, warnings = Path(db), []
    try:
        counts = status(db)
        coverage = _coverage(db) if counts.retrievals else None
    except (StoreMissing, StoreEmpty):
        counts, coverage = None, None
    dataset = _dataset(db, options) if counts or options.dataset else None
    ahead = None
    if dataset is not None and counts is not None and counts.retrievals:
        try:
            ahead = roadmap(dataset.folder, db)
        except DatasetError as exc:
            warnings.append(str(exc))
    return ReportInputs(
        db=db,
        options=options,
        status=counts,
        coverage=coverage,
        dataset=dataset,
        roadmap=ahead,
        models=_models(db, options),
        evaluations=tuple((path, _evaluation(path)) for path in options.evaluations),
        experiments=tuple(list_experiments(options.experiments)) if options.experiments else (),
        interleaving=_interleaving(db) if counts and counts.retrievals else None,
        warnings=tuple(warnings),
    )


def _dataset(db: Path, options: ReportOptions) -> BuiltDataset | None:
    if options.dataset is not None:
        return open_dataset(options.dataset)
    paths = [
        artifact.path
        for artifact in list_artifacts(db)
        if artifact.kind == "dataset" and artifact.path.is_dir()
    ]
    return open_dataset(paths[-1]) if paths else None


def _models(db: Path, options: ReportOptions) -> tuple[tuple[Path, ModelFacts], ...]:
    if options.models:
        return tuple((path, read_model_card(path)) for path in options.models)
    paths = [
        artifact.path
        for artifact in list_artifacts(db)
        if artifact.kind == "model" and (artifact.path / CARD).is_file()
    ]
    return tuple((path, read_model_card(path)) for path in paths)


def _evaluation(folder: Path) -> dict[str, Any]:
    try:
        evaluation: dict[str, Any] = json.loads((folder / _EVALUATION).read_text("utf-8"))
        if evaluation["made_by"] != "ragwheel evaluate":
            raise ValueError("another program wrote it")
        evaluation["table"], evaluation["collection"]["name"], evaluation["systems"]  # what the page needs
        return evaluation
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise DatasetError(
            f"{folder} is not a folder of results: {exc!r}. Make one: ragwheel evaluate DIR --out {folder}"
        ) from exc


def _interleaving(db: Path) -> Interleaving | None:
    try:
        return interleaving(db)
    except StoreEmpty:
        return None


def _coverage(db: Path) -> Coverage:
    with reading(db) as connection:
        retrievals = number(connection, "SELECT count(*) FROM retrievals WHERE kind = 'retrieval'")
        turns = number(connection, "SELECT count(*) FROM turns")

        def of(sql: str, whole: int) -> float:
            return number(connection, sql) / whole if whole else 0.0

        within = "SELECT count(*) FROM retrievals WHERE kind = 'retrieval' AND"
        shares = (
            ("retrievals inside a turn", of(f"{within} turn_id IS NOT NULL", retrievals)),
            ("turns with an answer", of("SELECT count(*) FROM turns WHERE answer IS NOT NULL", turns)),
            (
                "turns that say what was prompted",
                of("SELECT count(*) FROM turns WHERE prompted_given", turns),
            ),
            ("turns that say what was shown", of("SELECT count(*) FROM turns WHERE shown_given", turns)),
            (
                "turns with a citation",
                of("SELECT count(DISTINCT turn_id) FROM citations WHERE matched", turns),
            ),
            (
                "retrievals with a signal",
                of("SELECT count(DISTINCT retrieval_id) FROM signals", retrievals),
            ),
            ("retrievals of a known person", of(f"{within} user_id IS NOT NULL", retrievals)),
            ("retrievals in a session", of(f"{within} session_id IS NOT NULL", retrievals)),
        )
        times = [
            row["duration_ns"] / 1e6
            for row in rows(
                connection,
                "SELECT duration_ns FROM retrievals WHERE kind = 'retrieval' AND error IS NULL ORDER BY 1",
            )
        ]
    files = [db, *(path for path in db.parent.glob(f"{db.name}-*")), *db.parent.glob(f"{db.name}.segments/*")]
    size = sum(path.stat().st_size for path in files if path.is_file())
    middle, slow = (times[int(q * (len(times) - 1))] if times else None for q in (0.5, 0.95))
    return Coverage(shares, middle, slow, size)
