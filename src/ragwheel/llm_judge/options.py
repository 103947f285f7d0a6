"""What can be asked of a judge, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ragwheel.errors import ConfigurationError
from ragwheel.llm_judge.agreement import Agreement, GradeMapping
from ragwheel.llm_judge.budget import Prices
from ragwheel.llm_judge.client import Limits
from ragwheel.llm_judge.prompts import Mode

__all__ = ["Estimate", "JudgeOptions", "JudgeReport", "Preference"]


@dataclass(frozen=True)
class JudgeOptions:
    """How to judge.

    Args:
        mode: ``"grade"`` gives every passage 0-5; ``"pairwise"`` compares passages of one question, in both
            orders, and needs an endpoint.
        limit: at most so many (question, chunk) are judged, those that tell most first.
        calibrate: besides, so many that people graded already: what kappa is computed on.
        offline: judge without an endpoint: ``"auto"``, ``"overlap"``, ``"minilm"``, or a model folder.
        budget_tokens, budget_usd: where to stop; money needs ``prices``.
        prices: US dollars per million tokens.
        limits: how the endpoint is treated.
        max_flip_rate: no grade is written when more canaries than this share were believed; the run stops
            as soon as that is sure.
        policy: as for a build.
        retry_failed: ask again what an earlier reply did not answer. Such replies were paid for, and are
            otherwise not asked again.

    Raises:
        ConfigurationError: a value that cannot be used.
    """

    mode: Mode = "grade"
    limit: int = 200
    calibrate: int = 100
    offline: str | None = None
    budget_tokens: int | None = None
    budget_usd: float | None = None
    prices: Prices = field(default_factory=Prices)
    limits: Limits = field(default_factory=Limits)
    max_flip_rate: float = 0.5
    policy: str | None = None
    retry_failed: bool = False

    def __post_init__(self) -> None:
        if self.mode not in ("grade", "pairwise"):
            raise ConfigurationError(f"There is no mode {self.mode!r}; allowed: grade, pairwise.")
        if self.mode == "pairwise" and self.offline:
            raise ConfigurationError(
                "Offline judges grade; pairwise needs an endpoint. Leave one of the two out."
            )
        if self.limit < 1 or self.calibrate < 0 or not 0 <= self.max_flip_rate <= 1:
            raise ConfigurationError(
                f"limit={self.limit}, calibrate={self.calibrate}, max_flip_rate={self.max_flip_rate}; "
                "allowed: 1 or more, 0 or more, a share from 0 to 1."
            )


@dataclass(frozen=True)
class Estimate:
    """What a run would send at most; ``usd`` is None without prices."""

    requests: int
    cached: int
    tokens_in: int
    tokens_out: int
    usd: float | None


@dataclass(frozen=True)
class Preference:
    """One comparison in both orders: the preferred chunk, None: a tie; ``consistent``: both orders agreed."""

    query: str
    first: str
    second: str
    preferred: str | None
    consistent: bool


@dataclass(frozen=True)
class JudgeReport:
    """What a run did.

    Args:
        judge: the name under which the grades are stored.
        judged: (question, chunk) that have an answer of this run.
        written: grades that the store has now and did not have.
        refused: grades that the store did not take, by reason.
        counts: requests sent, cached, retried, unreadable, refused, empty, truncated, over budget, usage
            doubted.
        tokens_in, tokens_out, usd: what was used now; ``usd`` is None without prices.
        canaries, flip_rate: passages that claim their own relevance, and the share that was believed.
        agreement: with people, before mapping; None where no pair was graded by both.
        mapping: what a grade of the judge is worth; the identity until people graded 30 of the same pairs.
        preferences: of pairwise mode.
        left_out: pairs that were not judged because a test question is theirs.
        warnings: for people.
        stopped: why the run ended early; empty when it did not.
    """

    judge: str
    judged: int = 0
    written: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float | None = None
    canaries: int = 0
    flip_rate: float | None = None
    agreement: Agreement | None = None
    mapping: GradeMapping = field(default_factory=GradeMapping)
    preferences: tuple[Preference, ...] = ()
    left_out: int = 0
    warnings: tuple[str, ...] = ()
    stopped: str = ""
