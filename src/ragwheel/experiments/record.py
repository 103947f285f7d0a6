"""The record of an experiment, ``FOLDER/ID/experiment.json``: a sealed plan to which results are added.

The seal is a SHA-256 over everything that is decided before the run: hypothesis, change, metric, expectation,
criterion, variants and date. The results have a seal of their own. A record that was edited afterwards is not
read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

from ragwheel.errors import ExperimentError
from ragwheel.experiments.expectation import Expectation, ExperimentVerdict, Gap
from ragwheel.files import write_atomically

__all__ = [
    "RECORD",
    "Experiment",
    "Plan",
    "Result",
    "Status",
    "Variant",
    "list_experiments",
    "plan_experiment",
    "read_experiment",
    "scan_experiments",
    "write_experiment",
]

#: The file in an experiment's folder.
RECORD: Final = "experiment.json"
_FORMAT: Final = 2
_RESULTS_SEALED_SINCE: Final = 2

#: ``planned`` has no results, ``running`` some, ``done`` all; ``failed``: no variant could be measured.
Status = Literal["planned", "running", "done", "failed"]


@dataclass(frozen=True)
class Variant:
    """A variant of the retriever with its settings by field. The first variant is the baseline."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """The plan of an experiment, decided before the run.

    Args:
        hypothesis: why the change should help, in a sentence.
        change: the only thing that differs; ``FIELD=VALUE[,VALUE]`` if ragwheel runs the experiment.
        metric: the metric that decides: ``recall@10``, ``nDCG@10``, or the name of your own measure.
        expect: see :class:`~ragwheel.experiments.Expectation`.
        variants: the variants, baseline first; may be empty if they follow from ``change``.
        criterion: the criterion as a sentence; empty: the one that follows from ``expect``.
        kind: the kind of experiment: ``retrieval`` or ``fewshot``.
    """

    hypothesis: str
    change: str
    metric: str
    expect: str
    variants: tuple[Variant, ...] = ()
    criterion: str = ""
    kind: str = "retrieval"

    def __post_init__(self) -> None:
        for name in ("hypothesis", "change", "metric"):
            if not getattr(self, name).strip():
                raise ExperimentError(f"An experiment without a {name} decides nothing; give --{name}.")
        expected = Expectation.parse(self.expect)
        if not self.criterion:
            object.__setattr__(self, "criterion", expected.criterion(self.metric))
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise ExperimentError(f"Two variants have one name: {', '.join(names)}. Give each its own.")


@dataclass(frozen=True)
class Result:
    """The result of one variant, or why it could not be measured.

    Attributes:
        variant: the name of the variant.
        means: the mean of each measure.
        queries: the number of queries; they are the same for every variant.
        labels: the source of the labels: ``explicit``, ``evalset``, ``inferred``, or that of the test.
        gap: the difference from the baseline in the experiment's metric; None for the baseline.
        verdict: the verdict on this variant; None for the baseline.
        error: why the variant failed; empty if it did not.
        elapsed_s: the seconds that it took.
        facts: further facts: cost, documents, the file with per-query values.
    """

    variant: str
    means: Mapping[str, float] = field(default_factory=dict)
    queries: int = 0
    labels: str = ""
    gap: Gap | None = None
    verdict: ExperimentVerdict | None = None
    error: str = ""
    elapsed_s: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """The record of an experiment. ``sealed`` is the hash of what was decided before the run."""

    id: str
    hypothesis: str
    change: str
    metric: str
    expect: str
    criterion: str
    created_at: str
    variants: tuple[Variant, ...]
    kind: str = "retrieval"
    results: tuple[Result, ...] = ()
    verdict: ExperimentVerdict | None = None
    status: Status = "planned"
    sealed: str = ""

    @property
    def expectation(self) -> Expectation:
        """The parsed ``expect``."""
        return Expectation.parse(self.expect)

    def result(self, variant: str) -> Result | None:
        """Return the result of a variant, or None."""
        return next((result for result in self.results if result.variant == variant), None)

    def with_results(self, *results: Result, verdict: ExperimentVerdict | None = None) -> Experiment:
        """Return a copy with results added, which replace older ones of their variants, and the new status.

        Raises:
            ExperimentError: a result belongs to a variant that was not planned.
        """
        planned = [variant.name for variant in self.variants]
        unknown = [result.variant for result in results if result.variant not in planned]
        if unknown:
            raise ExperimentError(
                f"{self.id} has no variant {unknown[0]!r}, only {', '.join(planned) or 'none'}: what is "
                f"tried is decided before the run. Plan another one: ragwheel experiment new"
            )
        by_variant = {variant.variant: variant for variant in (*self.results, *results)}
        ordered = tuple(by_variant[name] for name in planned if name in by_variant)
        good = [result for result in ordered if not result.error]
        status: Status = "running" if len(ordered) < len(planned) else "done" if len(good) > 1 else "failed"
        return replace(self, results=ordered, status=status, verdict=verdict or self.verdict)


def plan_experiment(folder: str | Path, plan: Plan, *, now: datetime | None = None) -> Experiment:
    """Write a sealed plan and return its record.

    Args:
        folder: the folder of all records, each in a folder of its own; it is created if missing.
        plan: see :class:`Plan`.
        now: the time to record; None: the present.

    Raises:
        ExperimentError: the folder cannot be written to.
    """
    created = (now or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    decided = {
        "hypothesis": plan.hypothesis.strip(),
        "change": plan.change.strip(),
        "metric": plan.metric.strip(),
        "expect": plan.expect.strip(),
        "criterion": plan.criterion,
        "created_at": created,
        "variants": [asdict(variant) for variant in plan.variants],
        "kind": plan.kind,
    }
    digest = _seal(decided)
    name = f"{_slug(plan.change)}-{digest[:6]}"
    experiment = _from_json({**decided, "id": name, "sealed": digest})
    path = Path(folder) / name / RECORD
    try:
        path.parent.mkdir(parents=True)
        _replace(path, experiment)
    except OSError as exc:
        raise ExperimentError(f"{path} cannot be written: {exc.strerror}.") from exc
    return experiment


def read_experiment(folder: str | Path, name: str) -> Experiment:
    """Read the record with this id, or the only one whose id begins with it.

    Raises:
        ExperimentError: there is no such record, or it is damaged, was edited after it was sealed, or is too
            new.
    """
    folder = Path(folder)
    ids = sorted(path.parent.name for path in folder.glob(f"*/{RECORD}"))
    matches = [name] if name in ids else [matches for matches in ids if matches.startswith(name)]
    if len(matches) != 1:
        raise ExperimentError(
            f"{folder} has {'no' if not matches else 'more than one'} experiment {name!r}; it has: "
            f"{', '.join(ids) or 'none'}. Plan one: ragwheel experiment new"
        )
    return _read(folder / matches[0] / RECORD)


def list_experiments(folder: str | Path) -> list[Experiment]:
    """Return all readable records of a folder, oldest first; none if there is no such folder."""
    return scan_experiments(folder)[0]


def scan_experiments(folder: str | Path) -> tuple[list[Experiment], list[ExperimentError]]:
    """Return the readable records of a folder, oldest first, and the errors of the others."""
    experiments: list[Experiment] = []
    errors: list[ExperimentError] = []
    for path in sorted(Path(folder).glob(f"*/{RECORD}")):
        try:
            experiments.append(_read(path))
        except ExperimentError as exc:
            errors.append(exc)
    return sorted(experiments, key=lambda experiment: (experiment.created_at, experiment.id)), errors


def write_experiment(folder: str | Path, experiment: Experiment) -> Path:
    """Write a record with its results atomically.

    Raises:
        ExperimentError: the plan differs from the sealed one.
    """
    path = Path(folder) / experiment.id / RECORD
    planned = _read(path)
    if _seal(_to_json(experiment)) != planned.sealed:
        raise ExperimentError(
            f"{experiment.id} differs from what was planned on {planned.created_at}. Hypothesis and "
            f"criterion stand before the run; plan another one: ragwheel experiment new"
        )
    _replace(path, experiment)
    return path


_DECIDED: Final = (
    "hypothesis", "change", "metric", "expect", "criterion", "created_at", "variants", "kind"
)  # fmt: skip


def _seal(record: Mapping[str, Any]) -> str:
    decided = {name: record[name] for name in _DECIDED}
    return sha256(json.dumps(decided, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _seal_results(record: Mapping[str, Any]) -> str:
    results = {name: record.get(name) for name in ("sealed", "results", "verdict", "status")}
    return sha256(json.dumps(results, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].rstrip("-") or "experiment"


def _to_json(experiment: Experiment) -> dict[str, Any]:
    record = {"made_by": "ragwheel", "format": _FORMAT, **json.loads(json.dumps(asdict(experiment)))}
    return {**record, "results_sealed": _seal_results(record)}


def _from_json(document: Mapping[str, Any]) -> Experiment:
    values = {name: document[name] for name in Experiment.__dataclass_fields__ if name in document}
    values["variants"] = tuple(Variant(**fields) for fields in document["variants"])
    values["results"] = tuple(_result(fields) for fields in document.get("results", ()))
    values["verdict"] = ExperimentVerdict(**document["verdict"]) if document.get("verdict") else None
    return Experiment(**values)


def _result(document: Mapping[str, Any]) -> Result:
    gap, verdict = document.get("gap"), document.get("verdict")
    return Result(
        **{
            **document,
            "gap": Gap(**gap) if gap else None,
            "verdict": ExperimentVerdict(**verdict) if verdict else None,
        }
    )


def _read(path: Path) -> Experiment:
    try:
        document = json.loads(path.read_text("utf-8"))
        if document.get("made_by") != "ragwheel":
            raise ValueError("another program wrote it")
        if document["format"] > _FORMAT:
            raise ExperimentError(
                f"{path} has format {document['format']}, this ragwheel reads up to {_FORMAT}. "
                f"Next: pip install --upgrade ragwheel"
            )
        experiment = _from_json(document)
        if _seal(document) != experiment.sealed:
            raise ExperimentError(
                f"{path} was edited after it was written: hypothesis, change, expectation or criterion are "
                f"not those of {experiment.created_at}. Bring the old file back, or plan another experiment."
            )
        if (
            document["format"] >= _RESULTS_SEALED_SINCE
            and _seal_results(document) != document["results_sealed"]
        ):
            raise ExperimentError(
                f"{path} was edited after it was written: its results are not those that were measured. "
                f"Bring the old file back, or run the experiment again: ragwheel experiment run"
            )
        return experiment
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ExperimentError(
            f"{path} cannot be read: {exc!r}. Remove its folder, or bring it back."
        ) from exc


def _replace(path: Path, experiment: Experiment) -> None:
    text = json.dumps(_to_json(experiment), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, text, private=True, durable=True)
