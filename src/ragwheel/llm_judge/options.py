"""The options of a run of a judge, and its report."""

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
    """The options of a run of a judge.

    Args:
        mode: ``"grade"`` grades every passage 0-5; ``"pairwise"`` compares passages of a question, in both
            orders, and needs an endpoint.
        limit: the largest number of (question, chunk) pairs to judge, the most informative first.
        calibrate: the number of additional pairs that people graded, from which kappa is computed.
        offline: judge without an endpoint: ``"auto"``, ``"overlap"``, ``"minilm"``, or a model folder.
        budget_tokens, budget_usd: the budget of the run; ``budget_usd`` needs ``prices``.
        prices: US dollars per million tokens.
        limits: the limits of requests to the endpoint.
        max_flip_rate: no grades are written if more than this share of the canaries misled the judge. The
            run stops as soon as that is certain.
        policy: the label policy, as for a build.
        retry_failed: ask questions again that an earlier, paid reply did not answer.

    Raises:
        ConfigurationError: a value cannot be used.
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
    """An upper bound of what a run would send and cost; ``usd`` is None without prices."""

    requests: int
    cached: int
    tokens_in: int
    tokens_out: int
    usd: float | None


@dataclass(frozen=True)
class Preference:
    """A comparison in both orders: the preferred chunk (None: a tie), and whether both orders agreed."""

    query: str
    first: str
    second: str
    preferred: str | None
    consistent: bool


@dataclass(frozen=True)
class JudgeReport:
    """The result of a run.

    Args:
        judge: the name under which the grades are stored.
        judged: number of (question, chunk) pairs that this run answered.
        written: number of grades that are new in the store.
        refused: number of grades that the store refused, by reason.
        counts: requests sent, cached, retried, unreadable, refused, empty, truncated, over budget, usage
            doubted.
        tokens_in, tokens_out, usd: what this run used; ``usd`` is None without prices.
        canaries, flip_rate: the number of canaries, and the share of them that misled the judge.
        agreement: the agreement with people before mapping; None if no pair was graded by both.
        mapping: the mapping to people's grades; the identity until people graded 30 of the same pairs.
        preferences: the comparisons of pairwise mode.
        left_out: number of pairs that were not judged because they belong to test questions.
        warnings: sentences for the user.
        stopped: why the run ended early, else empty.
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
