"""The label policy: one readable file, checked before anything is computed."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ragwheel.errors import ConfigurationError
from ragwheel.labels.evidence.kinds import CHANNELS, KINDS
from ragwheel.labels.strategies import MINED

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Balance", "Negatives", "Policy", "load_policy"]

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)]
Factor = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Deviation = Annotated[float, Field(ge=0.01, le=5)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Signals(_Section):
    """Whose signals are evidence."""

    bots: bool


class Exposure(_Section):
    """How much assumed exposure counts."""

    assumed_factor: Share


class ExaminationSection(_Section):
    """How attention over places is estimated, and the default curve."""

    method: Literal["auto", "default", "randomised", "harvested", "pbm"]
    min_clicks: Count
    max_half_width: Annotated[float, Field(gt=0, le=1)]
    clip: Annotated[float, Field(gt=0, le=1)]
    exponent: Annotated[float, Field(ge=0, le=5)]
    floor: Annotated[float, Field(gt=0, le=1)]


class Dwell(_Section):
    """How long people read relevant and irrelevant chunks, and when a click was a bounce."""

    bounce_s: Seconds
    relevant_s: Seconds
    irrelevant_s: Seconds
    spread: Annotated[float, Field(gt=0, le=5)]


class Answer(_Section):
    """Factors on the citations of a turn."""

    liked: Factor
    converted: Factor
    abandoned: Factor
    disliked: Factor
    follow_up: Factor


class Reformulation(_Section):
    """How soon better results must come, and when two questions are one need without anybody saying so."""

    window_s: Seconds
    implicit_strength: Share
    closeness: Share
    lookahead: Annotated[int, Field(ge=1, le=20)]
    top: Count


class Prior(_Section):
    """The share of relevant chunks by mean rank, before anything is learned."""

    log_odds_first: Annotated[float, Field(ge=-5, le=5)]
    slope: Annotated[float, Field(ge=-5, le=0)]
    level_deviation: Deviation
    slope_deviation: Deviation
    rank_deviation: Deviation
    held: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    unranked: Annotated[float, Field(gt=0, lt=1)]


class Pooling(_Section):
    """How far questions that get nearly the same chunks lend each other their evidence."""

    enabled: bool
    closeness: Annotated[float, Field(ge=0.2, le=1)]
    most_questions: Count
    bound: Weight


class Grading(_Section):
    """From beliefs to statuses."""

    precision_of_positives: Annotated[float, Field(ge=0.5, lt=1)]
    precision_of_negatives: Annotated[float, Field(ge=0.5, lt=1)]
    sure_positive: Annotated[float, Field(ge=0.5, lt=1)]
    least_positive: Annotated[float, Field(ge=0.5, lt=1)]
    sure_negative: Annotated[float, Field(gt=0, le=0.5)]
    most_negative: Annotated[float, Field(gt=0, le=0.5)]
    least_against: Weight
    subject_cap: Weight
    subject_query_cap: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
    min_subjects: Count
    max_conflict: Share
    certain: Annotated[float, Field(ge=0.9, lt=1)]
    human_confidence: Annotated[float, Field(ge=0.5, le=1)]
    human_spread: Annotated[float, Field(ge=0, le=5)]


class Learning(_Section):
    """How strongly the rates of the label model are held to the policy."""

    enabled: bool
    recalibrate: bool
    rate_deviation: Deviation
    slope_deviation: Deviation
    trust_deviation: Deviation
    place_deviation: Deviation
    prior_exposures: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    place_exposures: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    informed: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    subject_medians: Annotated[float, Field(ge=1, allow_inf_nan=False)]


class Negatives(_Section):
    """The false-negative checks."""

    near_copy: Annotated[float, Field(gt=0, le=1)]
    near_query: Annotated[float, Field(gt=0, le=1)]
    score_margin: Share


class Outdated(_Section):
    """Older versions of positives as negatives."""

    enabled: bool
    edits: bool
    gone: Share


class Mining(_Section):
    """Negatives from the store's own corpus."""

    enabled: bool
    per_query: Count
    candidates: Count
    margin: Share
    floor: Share
    near: Share
    confidence: dict[str, Annotated[float, Field(ge=0.5, le=1)]]


class Balance(_Section):
    """Caps per query and per chunk."""

    positives_per_query: Count
    negatives_per_positive: Count
    docs_per_list: Annotated[int, Field(ge=2)]
    uses_per_chunk: Count


class Policy(_Section):
    """What ``policy.toml`` says, checked. Every section is documented in the packaged file."""

    version: Literal[1]
    weights: dict[str, Weight]
    channels: dict[str, Weight]
    repeats: dict[str, Share]
    learning: Learning
    signals: Signals
    exposure: Exposure
    examination: ExaminationSection
    dwell: Dwell
    answer: Answer
    reformulation: Reformulation
    prior: Prior
    pooling: Pooling
    grading: Grading
    negatives: Negatives
    outdated: Outdated
    mining: Mining
    balance: Balance

    @model_validator(mode="after")
    def _names(self) -> Policy:
        for section, got, allowed in (
            ("weights", self.weights, [kind for kind, rule in KINDS.items() if rule.channel]),
            ("channels", self.channels, list(CHANNELS)),
            ("repeats", self.repeats, list(CHANNELS)),
            ("mining.confidence", self.mining.confidence, list(MINED)),
        ):
            unknown = sorted(set(got) - set(allowed))
            if unknown:
                raise ValueError(f"[{section}] has no {unknown[0]!r}; allowed: {', '.join(allowed)}")
            missing = [name for name in allowed if name not in got]
            if missing:
                raise ValueError(f"[{section}] lacks {missing[0]!r}; needed: {', '.join(allowed)}")
        return self


_PACKAGED: Final = "policy.toml"


def load_policy(path: str | Path | None = None) -> Policy:
    """The packaged policy, with what the file at ``path`` says instead where it says something.

    Raises:
        ConfigurationError: the file cannot be read, is not TOML, has a key that does not exist or a
            value that is not allowed; the message names it.
    """
    base = tomllib.loads(files(__package__).joinpath(_PACKAGED).read_text("utf-8"))
    if path is None:
        return Policy.model_validate(base)
    try:
        changes = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise ConfigurationError(
            f"The policy file {path} cannot be read: {exc}. Expected TOML like the packaged "
            f"{files(__package__).joinpath(_PACKAGED)}; copy that one and change it."
        ) from exc
    try:
        return Policy.model_validate(_merged(base, changes))
    except ValidationError as exc:
        raise ConfigurationError(f"The policy file {path} cannot be used: {_first_error(exc)}.") from exc


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merged(base[key], value) if both else value
    return merged


def _first_error(exc: ValidationError) -> str:
    error = exc.errors(include_url=False)[0]
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        model: type[BaseModel] = Policy
        for part in error["loc"][:-1]:
            model = Policy.model_fields[str(part)].annotation  # type: ignore[assignment]
        return f"there is no {where}; allowed here: {', '.join(model.model_fields)}"
    got = "" if isinstance(error["input"], dict) else f" (got {error['input']!r})"
    return f"{where + ': ' if where else ''}{error['msg']}{got}"
