"""What can be asked of a build, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ragwheel.datasets.formats import BUILD_FORMATS
from ragwheel.errors import ConfigurationError

__all__ = ["FORMATS", "SPLITS", "BuildOptions", "BuildReport"]

SPLITS: Final = ("train", "dev", "test")
#: ``st-triplet``, ``st-positive``, ``st-pair`` and ``st-list`` are always written: they are the four configs
#: that every folder has.
#: ``st-ntuple`` and ``jsonl`` are written beside them, the rest into the folder ``exports``.
FORMATS: Final = BUILD_FORMATS


@dataclass(frozen=True)
class BuildOptions:
    """How to build.

    Args:
        formats: of :data:`FORMATS`; what the four basic ones leave out is added by naming it.
        negatives: how many ``negative_n`` columns ``st-ntuple`` has.
        seed: decides the order of rows, and which of equally good negatives are taken.
        dev, test: shares of the query families that are evaluated on, newest first.
        policy: a TOML file of the label policy; None: the packaged one.
        sticky_from: the folder of an earlier build whose splits stay; None: ``out`` itself, if it is one.
        engine: ``duckdb``, in this process, or ``spark``.
        memory_limit, threads: for the engine, as DuckDB reads them.

    Raises:
        ConfigurationError: a value that cannot be used.
    """

    formats: tuple[str, ...] = ("st-triplet",)
    negatives: int = 4
    seed: int = 0
    dev: float = 0.1
    test: float = 0.1
    policy: str | Path | None = None
    sticky_from: str | Path | None = None
    engine: str = "duckdb"
    memory_limit: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in self.formats:
            if name not in FORMATS:
                raise ConfigurationError(f"There is no format {name!r}; allowed: {', '.join(FORMATS)}.")
        if not 1 <= self.negatives <= 64:
            raise ConfigurationError(f"negatives is {self.negatives}; allowed: 1 to 64.")
        if min(self.dev, self.test) < 0 or self.dev + self.test > 0.9:
            raise ConfigurationError(
                f"dev={self.dev} and test={self.test}; allowed: shares that leave at least 0.1 for train."
            )


@dataclass(frozen=True)
class BuildReport:
    """What a build did.

    Attributes:
        out: the folder.
        rows: dataset rows by config and split.
        groups: query groups by split.
        examples: questions with at least one positive, by split.
        evidence: pieces of evidence by kind.
        grades: pairs by status.
        negatives: usable negatives by strategy.
        dropped: what was left out, by rule.
        warnings: sentences for people, each with what to do.
        elapsed_s: how long the build took; ``stages_s`` each of its stages.
        sticky_from: the folder whose splits were kept; None: there was none.
        trust: by instrument, what was learned: ``readings``, ``informed`` (about how many of them other
            evidence knew something), ``learned_share`` (0-1: how far the traces rather than the policy
            decide), ``log_likelihood_ratio`` of the event and ``prior_log_likelihood_ratio`` (what the policy
            says), and ``repeat`` (correlation of two readings of one pair). An instrument that is not in it
            was not observed; nothing is in it where learning is switched off.
        examination: how much people look at each rank, as
            :meth:`ragwheel.labels.position.Examination.as_dict` says it.
        reliability: beliefs from traces alone beside people's judgments, where at least 50 pairs have both:
            ``judged``, ``calibration_error`` and ``bins``, as
            :func:`ragwheel.labels.calibration.reliability_of` returns them; else only ``judged``.
    """

    out: Path
    rows: Mapping[str, Mapping[str, int]]
    groups: Mapping[str, int]
    evidence: Mapping[str, int]
    grades: Mapping[str, int]
    negatives: Mapping[str, int]
    dropped: Mapping[str, int]
    warnings: tuple[str, ...]
    elapsed_s: float
    sticky_from: Path | None = None
    stages_s: Mapping[str, float] = field(default_factory=dict)
    trust: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    examples: Mapping[str, int] = field(default_factory=dict)
    examination: Mapping[str, Any] = field(default_factory=dict)
    reliability: Mapping[str, Any] = field(default_factory=dict)
