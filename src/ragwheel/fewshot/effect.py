"""A test of whether examples help: held-out questions with no, with random and with selected examples."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from ragwheel.errors import ConfigurationError, DatasetError, RagwheelError
from ragwheel.experiments import (
    Expectation,
    Experiment,
    ExperimentVerdict,
    Gap,
    Plan,
    Result,
    Variant,
    decide,
    list_experiments,
    plan_experiment,
    write_experiment,
)
from ragwheel.fewshot.asking import Answers, Pipeline
from ragwheel.fewshot.build import as_built, example_of, pool_of
from ragwheel.fewshot.embedding import checked, encoder_of
from ragwheel.fewshot.examples import Example, Library
from ragwheel.fewshot.metrics import METRICS, Metric
from ragwheel.fewshot.options import FewshotOptions
from ragwheel.fewshot.selector import Selector
from ragwheel.fewshot.trial import LEAST_QUESTIONS, RISK, EffectOptions, HeldOut, Outcome, Trial
from ragwheel.store.artifacts import list_artifacts, register_artifact
from ragwheel.typing import Progress

__all__ = ["held_out", "measure"]

NONE, RANDOM, SELECTED = "no examples", "random examples", "selected examples"
HYPOTHESIS: Final = "Answers come closer to those that people liked when the prompt holds selected examples."
MOST_FAILED: Final = 0.2
_DECIDED: Final = ("kind", "hypothesis", "change", "metric", "expect", "criterion", "variants")


def held_out(
    db: str | Path,
    library: Library,
    options: EffectOptions | None = None,
    build: FewshotOptions | None = None,
) -> HeldOut:
    """Return liked answers outside the library: some to ask about, and at least as many as random examples.

    Raises:
        DatasetError: there are too few.
        StoreError: the database cannot be read.
    """
    options = options or EffectOptions()
    pool = pool_of(db, build or as_built(library), progress=lambda *_: None)
    embed = encoder_of(library)
    mine = checked(embed, [example.question for example in library.examples])
    theirs = checked(embed, [turn.question for turn in pool.turns])
    near = (theirs @ mine.T).max(axis=1) if len(mine) and len(theirs) else np.zeros(len(theirs))
    have = {example.turn_id for example in library.examples} | {
        retirement.example.turn_id for retirement in library.retired
    }
    free = [
        turn for turn, close in zip(pool.turns, near.tolist())
        if turn.turn_id not in have and close < options.near_copy
    ]  # fmt: skip
    order = np.random.default_rng(options.seed).permutation(len(free)).tolist()
    n = min(options.questions, max(len(free) - max(options.k, len(free) // 2), 0))
    if n < LEAST_QUESTIONS:
        raise DatasetError(
            f"{n} questions can be held out, needed: {LEAST_QUESTIONS}. Got {len(pool.turns)} liked answers, "
            f"{len(free)} of them unlike every example. Next: build with fewer examples (-n), or log "
            "more signals about answers"
        )
    return HeldOut(
        asked=tuple(example_of(free[i]) for i in order[:n]),
        people=tuple(free[i].person for i in order[:n]),
        pool=tuple(example_of(free[i]) for i in order[n:]),
        db=Path(db),
    )


def measure(
    library: Library,
    questions: HeldOut,
    pipeline: Pipeline,
    options: EffectOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Trial:
    """Ask every question in the three ways and compare the answers question by question.

    Args:
        library: the library to test.
        questions: see :func:`held_out`.
        pipeline: called as ``answer(question, examples)``.
        options: see :class:`EffectOptions`.
        progress: called as ``("asking", done, total)``.

    Raises:
        ModelError: the endpoint cannot be used; the answers so far are kept.
        DatasetError: the pipeline failed on more than a fifth of the questions.
        ExperimentError: the record cannot be written, or ``expect`` is malformed.
    """
    options = options or EffectOptions()
    plan = _plan(library, options)
    planned = None if options.experiments is None else _sealed(options.experiments, plan)
    prompts = _prompts(library, questions, options)
    answers = Answers(pipeline, options.name, _kept(questions, options))
    started = time.monotonic()
    asked, scores = _asked(questions, prompts, answers, options, progress)
    people = [questions.people[at] for at in asked]
    verdict, outcomes = _compare(scores, people, Expectation.parse(options.expect))
    trial = Trial(
        verdict=verdict,
        outcomes=outcomes,
        means={arm: float(np.mean(values)) for arm, values in scores.items()},
        questions=tuple(questions.asked[at].question for at in asked),
        scores={arm: tuple(values) for arm, values in scores.items()},
        failed=len(questions.asked) - len(asked),
    )
    if planned is None or options.experiments is None:
        return trial
    facts = {
        "library": library.id,
        "answers": options.name,
        "k": options.k,
        "seed": options.seed,
        "failed": trial.failed,
    }
    done = planned.with_results(
        *_results(trial, plan.metric, facts, time.monotonic() - started), verdict=verdict
    )
    write_experiment(options.experiments, done)
    return replace(trial, experiment=done)


def _sealed(folder: str | Path, plan: Plan) -> Experiment:
    """Write the plan, or return the record of the same plan that an interrupted run left."""
    for experiment in list_experiments(folder):
        if experiment.status == "planned" and all(
            getattr(experiment, name) == getattr(plan, name) for name in _DECIDED
        ):
            return experiment
    return plan_experiment(folder, plan)


def _kept(questions: HeldOut, options: EffectOptions) -> Path | None:
    """Return the file of cached answers, registered in the database; it is emptied after an erasure."""
    if options.keep is None:
        return None
    path = Path(options.keep)
    if questions.db is not None:
        real = path.expanduser().resolve()
        if any(artifact.stale for artifact in list_artifacts(questions.db) if artifact.path == real):
            path.unlink(missing_ok=True)
        register_artifact(questions.db, "fewshot", path, subjects=len(set(questions.people)))
    return path


def _plan(library: Library, options: EffectOptions) -> Plan:
    metric = (
        options.metric if isinstance(options.metric, str) else getattr(options.metric, "__name__", "metric")
    )
    return Plan(
        hypothesis=HYPOTHESIS,
        change=f"{options.k} {'fixed' if options.fixed else 'selected'} examples of {library.id}",
        metric=metric,
        expect=options.expect,
        variants=(Variant(NONE), Variant(RANDOM), Variant(SELECTED)),
        kind="fewshot",
    )


def _asked(
    questions: HeldOut,
    prompts: dict[str, list[list[Example]]],
    answers: Answers,
    options: EffectOptions,
    progress: Progress | None,
) -> tuple[list[int], dict[str, list[float]]]:
    """Return the questions that were answered in every arm, and their metric by arm."""
    metric = METRICS[options.metric] if isinstance(options.metric, str) else options.metric
    scores: dict[str, list[float]] = {arm: [] for arm in prompts}
    used: list[int] = []
    last: Exception | None = None
    n = len(questions.asked)
    for at, question in enumerate(questions.asked):
        try:
            answers_of_arms = [answers(question.question, prompts[arm][at]) for arm in prompts]
        except RagwheelError:
            raise
        except Exception as error:  # noqa: BLE001 - the app's own code: one question is left out, and counted
            last = error
        else:
            used.append(at)
            for arm, answer in zip(prompts, answers_of_arms):
                scores[arm].append(_score(metric, answer, question.answer))
        if progress is not None:
            progress("asking", (at + 1) * len(prompts), n * len(prompts))
    failed = n - len(used)
    if last is not None and (failed > MOST_FAILED * n or len(used) < LEAST_QUESTIONS):
        raise DatasetError(
            f"The pipeline failed on {failed} of {n} questions; the last time with {type(last).__name__}: "
            f"{last}. Allowed: a fifth. Answers so far are kept."
        ) from last
    return used, scores


def _prompts(library: Library, questions: HeldOut, options: EffectOptions) -> dict[str, list[list[Example]]]:
    """Return the examples of every question, by arm."""
    draw = np.random.default_rng(options.seed)
    k = min(options.k, len(questions.pool))
    selector = Selector(library, k=options.k, fetch_k=max(20, options.k))
    return {
        NONE: [[] for _ in questions.asked],
        RANDOM: [
            [questions.pool[i] for i in draw.choice(len(questions.pool), k, replace=False).tolist()]
            for _ in questions.asked
        ],
        SELECTED: [
            list(library.examples[: options.k]) if options.fixed else selector.select(question.question)
            for question in questions.asked
        ],
    }


def _score(metric: Metric, answer: str, liked: str) -> float:
    value = float(metric(answer, liked))
    if not math.isfinite(value):
        raise ConfigurationError(f"the metric gave {value}, allowed: a finite number; larger is better")
    return value


def _compare(
    scores: dict[str, list[float]], people: Sequence[str], expected: Expectation
) -> tuple[ExperimentVerdict, tuple[Outcome, Outcome]]:
    from ragwheel.evaluate.statistics import holm, paired_difference

    pairs = ((SELECTED, NONE), (SELECTED, RANDOM))
    least = expected.required(float(np.mean(scores[NONE])))
    differences = [paired_difference(scores[a], scores[b], people) for a, b in pairs]
    beyond = paired_difference([value - least for value in scores[SELECTED]], scores[NONE], people)
    corrected = holm([beyond.p, differences[1].p])
    verdict = decide(
        Gap(beyond.mean, _known(beyond.low), _known(beyond.high)),
        beyond.queries,
        strict=expected.amount == 0,
        certain=corrected[0] <= RISK,
    )
    first, second = (
        Outcome(a, b, difference.mean, difference.low, difference.high, p)
        for (a, b), difference, p in zip(pairs, differences, corrected)
    )
    return verdict, (first, second)


def _results(trial: Trial, metric: str, facts: dict[str, object], elapsed_s: float) -> list[Result]:
    against_none, against_random = trial.outcomes
    gaps = {
        SELECTED: Gap(against_none.mean, _known(against_none.low), _known(against_none.high), against_none.p)
    }
    summary = {
        SELECTED: {
            **facts,
            "minus random": [against_random.mean, *map(_known, (against_random.low, against_random.high))],
        }
    }
    return [
        Result(
            arm,
            means={metric: mean},
            queries=len(trial.questions),
            labels="liked answers",
            gap=gaps.get(arm),
            verdict=trial.verdict if arm == SELECTED else None,
            elapsed_s=round(elapsed_s / len(trial.means), 3),
            facts=summary.get(arm, {}),
        )
        for arm, mean in trial.means.items()
    ]


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
