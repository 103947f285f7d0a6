"""What was learned of each instrument, in words: for the report, the dataset card and warnings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

from ragwheel.labels.model.learned import ChannelSummary, LabelModel

__all__ = ["channel_name", "channel_sentence", "model_warnings", "summary_of"]

_NAMES: Final = {
    "citation": "cited",
    "opening": "opened",
    "reading": "read for long",
    "judge": "top grade of an LLM judge",
}


def channel_name(name: str) -> str:
    """Return the event that the ratio of an instrument is about: ``cited``, ``opened``, ``thumbs up``."""
    return _NAMES.get(name, name.replace("_", " "))


def summary_of(numbers: Mapping[str, float]) -> ChannelSummary:
    """Return the summary that :meth:`LabelModel.describe` wrote, read back from a manifest."""
    return ChannelSummary(
        readings=int(numbers.get("readings", 0)),
        informed=float(numbers.get("informed", 0.0)),
        trust=float(numbers.get("learned_share", 0.0)),
        ratio=float(numbers.get("log_likelihood_ratio", 0.0)),
        prior_ratio=float(numbers.get("prior_log_likelihood_ratio", 0.0)),
        repeat=float(numbers.get("repeat", 0.0)),
    )


def channel_sentence(name: str, numbers: Mapping[str, float]) -> str:
    """Return one line on an instrument: what is used, what the policy says, how far the data decide.

    Args:
        name: of the instrument, as in ``BuildReport.trust``.
        numbers: its entry there.
    """
    weak = "; found to say little" if summary_of(numbers).weak else ""
    return _ratios(name, numbers) + weak


def _ratios(name: str, numbers: Mapping[str, float]) -> str:
    summary = summary_of(numbers)
    learned = f"learned {summary.ratio:.1f} (×{_times(summary.ratio)})"
    return (
        f"{channel_name(name)}: {learned}, the policy says {summary.prior_ratio:.1f}; "
        f"{summary.trust:.0%} from your traces"
    )


def _times(ratio: float) -> str:
    times = math.exp(ratio)
    return f"{times:.0f}" if times >= 9.5 else f"{times:.1f}" if times >= 0.095 else f"{times:.2f}"


def model_warnings(model: LabelModel, asked: Mapping[str, float], command: str) -> Iterator[str]:
    """Yield a line where instruments were found weak, and one where rows are less sure than was asked for.

    Args:
        model: the fitted model with its thresholds.
        asked: the policy's precision of ``positives`` and of ``negatives``, 0-1.
        command: what to type next.
    """
    if model.weak:
        lines = "; ".join(_ratios(name, model.describe()[name]) for name in model.weak)
        yield (
            f"In these traces some evidence hardly tells relevant chunks from others ({lines}), so it counts "
            f"for little. Judgments by people would confirm that: {command}"
        )
    limits = model.thresholds
    if limits is not None and limits.short_of:
        expected = {"positives": limits.expected_positive, "negatives": limits.expected_negative}
        parts = [
            f"{name} are expected to be right in {expected[name] or 0.0:.0%} of the cases, {asked[name]:.0%} "
            f"were asked for"
            for name in limits.short_of
        ]
        text = "; ".join(parts)
        yield f"{text[0].upper()}{text[1:]}. More traffic, or judgments by people, make them surer: {command}"
