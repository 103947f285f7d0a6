"""A run of a judge over a store: select pairs, ask, compare with people, write grades."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ragwheel.endpoints import Endpoint, run_sync
from ragwheel.errors import JudgeError
from ragwheel.evaluate.cache import cache_folder
from ragwheel.judgments.people import Judgment, judge_many
from ragwheel.labels.traces.text import query_key
from ragwheel.llm_judge.agreement import MIN_PEOPLE, Agreement, GradeMapping, agreement, fit_mapping
from ragwheel.llm_judge.budget import Budget, Cost
from ragwheel.llm_judge.canaries import Canaries, mixed
from ragwheel.llm_judge.choosing import JudgeItem, JudgeSelection, People, select
from ragwheel.llm_judge.client import JudgeClient, estimate
from ragwheel.llm_judge.offline import scorer
from ragwheel.llm_judge.options import Estimate, JudgeOptions, JudgeReport, Preference
from ragwheel.llm_judge.pairwise import asks_of, compare, pairs_of
from ragwheel.llm_judge.prompts import PROMPT_VERSION, Ask, Reply
from ragwheel.llm_judge.replies import Replies
from ragwheel.store import open_store

if TYPE_CHECKING:
    from ragwheel.typing import Progress

__all__ = ["dry_run", "judge", "replies_path"]

_SAID: Final = re.compile(r"said (\d(?:\.\d+)?)\b")
_FLIPS_WARNED: Final = 0.1
_NO_ANSWER: Final = ("unreadable", "truncated", "refused", "empty")


@dataclass
class _JudgeOutcome:
    """The grades by index of the item, and counts, cost and canaries of the run."""

    grades: dict[int, float] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    cost: Cost = field(default_factory=Cost)
    canaries: Canaries = field(default_factory=Canaries)
    preferences: list[Preference] = field(default_factory=list)
    failure: JudgeError | KeyboardInterrupt | None = None


def judge(
    db: str | Path,
    *,
    endpoint: Endpoint | None = None,
    options: JudgeOptions | None = None,
    progress: Progress | None = None,
) -> JudgeReport:
    """Have an LLM or an offline judge grade the most informative pairs, and store the grades as an LLM's.

    An interrupted run can be repeated; questions with a stored reply are not asked again.

    Args:
        db: the database.
        endpoint: the endpoint; None: that of ``RAGWHEEL_JUDGE_URL``, ``_MODEL`` and ``_KEY``. An offline
            judge does not use it.
        options: see :class:`JudgeOptions`.
        progress: called as ``("judge", done, total)``.

    Raises:
        StoreError: the database cannot be read or written.
        ConfigurationError: the endpoint or an option cannot be used; nothing was sent.
        JudgeError: the endpoint stopped answering; the grades so far are written.
        MissingExtra, ModelError: the model of an offline judge is missing.
    """
    options = options or JudgeOptions()
    if options.offline is not None:
        by = scorer(options.offline)
        chosen = select(db, by.name, options)
        asks = [Ask(item.query, (item.text,)) for item in chosen.items]
        grades = by.grades(asks, progress) if asks else []
        outcome = _JudgeOutcome(dict(enumerate(map(float, grades))))
        return _finish(db, by.name, options, chosen, outcome)
    endpoint = endpoint or Endpoint.from_environment()
    name = _name(endpoint, options)
    chosen = select(db, name, options)
    outcome = _ask(chosen.items, endpoint, options, progress)
    report = _finish(db, name, options, chosen, outcome)
    if isinstance(outcome.failure, JudgeError):
        raise JudgeError(f"{outcome.failure} {report.written} grades were written.") from None
    if outcome.failure is not None:
        raise outcome.failure
    return report


def dry_run(
    db: str | Path, *, endpoint: Endpoint | None = None, options: JudgeOptions | None = None
) -> Estimate:
    """Estimate what :func:`judge` would send and cost at most, without any use of the network.

    Raises:
        StoreError: the database cannot be read.
        ConfigurationError: the endpoint or an option cannot be used.
    """
    options, endpoint = options or JudgeOptions(), endpoint or Endpoint.from_environment()
    items = select(db, _name(endpoint, options), options).items
    with Replies(replies_path()) as replies:
        figures = estimate(
            _asks(items, options)[0],
            replies,
            endpoint.model,
            options.limits,
            retry_failed=options.retry_failed,
        )
    usd = options.prices.of(*figures[2:])
    return Estimate(*figures, usd=round(usd, 6) if options.prices.of(1, 1) else None)


def replies_path() -> Path:
    """Return the path of the paid replies: ``judge.db`` in ``RAGWHEEL_CACHE`` or the user's cache folder."""
    return cache_folder() / "judge.db"


def _name(endpoint: Endpoint, options: JudgeOptions) -> str:
    return f"llm:{endpoint.model}" + (":pairwise" if options.mode == "pairwise" else "")


def _asks(items: Sequence[JudgeItem], options: JudgeOptions) -> tuple[list[Ask], frozenset[Ask]]:
    """Return the distinct questions with canaries mixed in, and the set of the canaries."""
    if options.mode == "grade":
        asks = [Ask(item.query, (item.text,)) for item in items]
    else:
        asks = [ask for pair in pairs_of(items) for ask in asks_of(pair, items)]
    return mixed(list(dict.fromkeys(asks)))


def _ask(
    items: Sequence[JudgeItem], endpoint: Endpoint, options: JudgeOptions, progress: Progress | None
) -> _JudgeOutcome:
    asks, canaries = _asks(items, options)
    outcome = _JudgeOutcome()
    answers: dict[Ask, int | str] = {}
    done = 0

    def on_reply(ask: Ask, reply: Reply) -> None:
        nonlocal done
        done += 1
        if ask in canaries:
            outcome.canaries.record(reply)
            if outcome.canaries.surely_exceeds(options.max_flip_rate):
                client.stop()
        elif reply.answer is not None:
            answers[ask] = reply.answer
        else:
            outcome.counts[reply.verdict] += 1
        if progress is not None:
            progress("judge", done, len(asks))

    budget = Budget(options.budget_tokens, options.budget_usd, options.prices)
    if asks:
        with Replies(replies_path()) as replies:
            client = JudgeClient(endpoint, replies, budget, options.limits, options.retry_failed)
            try:
                run_sync(lambda: client.run(asks, on_reply))
            except (JudgeError, KeyboardInterrupt) as exc:
                outcome.failure = exc
        outcome.counts.update(client.counts)
    outcome.cost = budget.spent
    if options.mode == "grade":
        graded = {index: answers.get(Ask(item.query, (item.text,))) for index, item in enumerate(items)}
        outcome.grades = {index: float(grade) for index, grade in graded.items() if grade is not None}
    else:
        outcome.preferences, outcome.grades = compare(pairs_of(items), items, answers)
    return outcome


def _finish(
    db: str | Path, name: str, options: JudgeOptions, chosen: JudgeSelection, outcome: _JudgeOutcome
) -> JudgeReport:
    """Compare with people, map and write the grades. If canaries misled the judge, nothing is written."""
    earlier = _earlier_grades(db, name)
    grades = _by_key(earlier)
    for index, grade in outcome.grades.items():
        item = chosen.items[index]
        earlier[item.query, item.source, item.chunk_id] = grade
        grades[item.key] = grade
    both = sorted(key for key in grades if key in chosen.people)
    people, judged = [chosen.people[key] for key in both], [grades[key] for key in both]
    mapping = fit_mapping(people, judged)
    written, refused = 0, {}
    gullible = outcome.canaries.exceeds(options.max_flip_rate)
    if earlier and not gullible:
        kept = judge_many(db, _judgments(name, earlier, mapping))
        written, refused = kept.written, dict(kept.refused)
    priced = options.prices.of(1, 1) > 0
    return JudgeReport(
        judge=name,
        judged=len(outcome.grades),
        written=written,
        refused=refused,
        counts={what: n for what, n in sorted(outcome.counts.items()) if n},
        tokens_in=outcome.cost.tokens_in,
        tokens_out=outcome.cost.tokens_out,
        usd=round(outcome.cost.usd, 6) if priced else None,
        canaries=outcome.canaries.asked,
        flip_rate=outcome.canaries.flip_rate,
        agreement=agreement(people, judged) if both else None,
        mapping=mapping,
        preferences=tuple(outcome.preferences),
        left_out=chosen.left_out,
        warnings=tuple(_warnings(outcome, gullible, agreement(people, judged) if both else None)),
        stopped="flip rate" if gullible else "budget" if outcome.counts["over budget"] else "",
    )


def _judgments(
    name: str, judgments: Mapping[tuple[str, str, str], float], mapping: GradeMapping
) -> list[Judgment]:
    return [
        Judgment(
            query, chunk_id, mapping(grade), judge=name, source=source, kind="llm",
            note=f"said {grade:g}, prompt {PROMPT_VERSION}",
        )
        for (query, source, chunk_id), grade in sorted(judgments.items())
    ]  # fmt: skip


def _earlier_grades(db: str | Path, name: str) -> dict[tuple[str, str, str], float]:
    """Return this judge's earlier grades before mapping, by (query key, source, chunk id)."""
    with closing(open_store(db)) as connection:
        sql = "SELECT query, source, chunk_id, note FROM judgments WHERE judge = ? AND judge_kind = 'llm'"
        rows = connection.execute(sql, (name,)).fetchall()
    notes = {(query, source, chunk): _SAID.match(note or "") for query, source, chunk, note in rows}
    return {key: float(match[1]) for key, match in notes.items() if match}


def _by_key(judgments: Mapping[tuple[str, str, str], float]) -> People:
    return {(query_key(query), source, chunk): grade for (query, source, chunk), grade in judgments.items()}


def _warnings(outcome: _JudgeOutcome, gullible: bool, compared: Agreement | None) -> list[str]:
    warnings = []
    rate = outcome.canaries.flip_rate
    if gullible:
        warnings.append(
            f"{outcome.canaries.flipped} of {outcome.canaries.asked} passages that only claim to be relevant "
            "were believed, so no grade was written. Take another model; or: --max-flip-rate 1"
        )
    elif rate is not None and rate > _FLIPS_WARNED:
        warnings.append(f"{rate:.0%} of the passages that only claim to be relevant were believed.")
    if compared is None or compared.pairs < MIN_PEOPLE:
        have = 0 if compared is None else compared.pairs
        warnings.append(
            f"Only {have} of its pairs were graded by a person; from {MIN_PEOPLE} on its grades are mapped "
            "on people's: ragwheel grade"
        )
    elif compared.kappa_useful is not None and compared.kappa_useful < 0.2:
        warnings.append(f"It hardly agrees with people (kappa {compared.kappa_useful}): take another judge.")
    failures = {what: outcome.counts[what] for what in _NO_ANSWER if outcome.counts[what]}
    if sum(failures.values()) > max(5, len(outcome.grades) / 10):
        counts = ", ".join(f"{count} {what}" for what, count in failures.items())
        advice = "allow longer ones (--llm-max-tokens)" if failures.get("truncated") else "mend the server"
        warnings.append(
            f"{sum(failures.values())} replies held no answer ({counts}). Next: {advice}, then ask them "
            "again: ragwheel judge --retry-failed"
        )
    return warnings
