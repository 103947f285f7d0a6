"""Grades of one database under one defence, and what became of them when some people attacked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import ibis
from ibis import _

from ragwheel.labels import load_policy
from ragwheel.labels.engines.engine import DuckDBEngine, RelationalEngine
from ragwheel.labels.evidence.collect import collect
from ragwheel.labels.model.beliefs import prior_log_odds
from ragwheel.labels.model.learning import learn
from ragwheel.labels.model.subject_caps import MICRO
from ragwheel.labels.pipeline import grade_rows
from ragwheel.labels.traces.exposure import Facts, facts
from ragwheel.labels.traces.read import TextReader, read_store
from ragwheel.labels.traces.text import query_key
from ragwheel.store import open_store
from ragwheel.testing import World

__all__ = ["DEFENCES", "Defence", "DefendedGrades", "Effect", "effect", "grades_under"]

Pair = tuple[str, str]
HERE: Final = Path(__file__).parent


@dataclass(frozen=True)
class Defence:
    """A defence against dishonest people: a policy file, and whether signals are attributed to subjects."""

    policy: Path | None
    subjects: bool = True


DEFENCES: Final[Mapping[str, Defence]] = {
    "none": Defence(HERE / "none.toml", subjects=False),
    "packaged": Defence(None),
    "strict": Defence(HERE / "strict.toml"),
}
"""``none``: every signal counts as another person's; ``packaged``: the default; ``strict``: its file."""


@dataclass(frozen=True)
class DefendedGrades:
    """Grades and positives of a training set, by (query key, the app's chunk id).

    Pairs on which the policy abstains have no grade; they get that of no evidence, ``by_default``, by
    the rank of the chunk.
    """

    grades: Mapping[Pair, float]
    positives: frozenset[Pair]
    by_default: Mapping[Pair, float]

    def precision(self, truth: set[Pair]) -> float:
        """Return the share of the positives that are relevant."""
        return len(self.positives & truth) / max(1, len(self.positives))


class Effect(NamedTuple):
    """The effect of an attack on grades (as shares of all grades with or without it) and positives."""

    moved: float
    """The share that changed by more than one step, or from no grade."""
    silenced: float
    """The share without a grade now, because the policy abstains."""
    moved_of_target: float
    """``moved``, of the grades of the chunk that the attack is about."""
    precision: float
    precision_lost: float
    right_positives: int
    grades: int


def grades_under(db: Path, defences: Mapping[str, Defence]) -> dict[str, DefendedGrades]:
    """The label stage's grades of a database, under each defence."""
    with closing(open_store(db)) as connection, DuckDBEngine(threads=1) as engine:
        known = facts(engine, read_store(connection), TextReader(connection))
        evidence = collect(known, load_policy())
        return {name: _grades(engine, known, evidence, defence) for name, defence in defences.items()}


def _grades(engine: RelationalEngine, known: Facts, evidence: ibis.Table, defence: Defence) -> DefendedGrades:
    policy = load_policy(defence.policy)
    if not defence.subjects:
        evidence = evidence.mutate(subject=ibis.coalesce(evidence.signal_id, evidence.turn_id))
    model = learn(known, evidence, policy)
    names = known.chunks.select("chunk_version", "chunk_id")
    graded = grade_rows(known, evidence, policy, model).filter(_.status != "abstain")
    rows = engine.arrow(graded.join(names, "chunk_version")).to_pylist()
    priors = engine.arrow(prior_log_odds(known, model).join(names, "chunk_version")).to_pylist()
    by_default = {
        (row["query_key"], row["chunk_id"]): 5 / (1 + math.exp(-row["prior"] / MICRO)) for row in priors
    }
    grades = {(row["query_key"], row["chunk_id"]): row["grade"] for row in rows}
    positives = {(row["query_key"], row["chunk_id"]) for row in rows if row["status"] == "positive"}
    return DefendedGrades(grades, frozenset(positives), by_default)


def effect(clean: DefendedGrades, attacked: DefendedGrades, world: World, target: int) -> Effect:
    """Return the effect of an attack; ``target`` is the index of a chunk, or -1."""
    truth = {(query_key(query) or "", chunk) for query, chunk in world.relevant_pairs()}
    pairs = set(clean.grades) | set(attacked.grades)
    before = {**attacked.by_default, **clean.by_default, **clean.grades}
    moved = {pair for pair, grade in attacked.grades.items() if abs(grade - before.get(pair, grade)) > 1.0}
    about = {pair for pair in pairs if target >= 0 and pair[1] == world.chunks[target][0]}
    return Effect(
        moved=len(moved) / max(1, len(pairs)),
        silenced=len(set(clean.grades) - set(attacked.grades)) / max(1, len(pairs)),
        moved_of_target=len(moved & about) / max(1, len(about)),
        precision=attacked.precision(truth),
        precision_lost=clean.precision(truth) - attacked.precision(truth),
        right_positives=len(attacked.positives & truth),
        grades=len(pairs),
    )
