"""Building a library of examples from the traces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ragwheel import redaction
from ragwheel.errors import ConfigurationError, DatasetError
from ragwheel.fewshot import filtering, grouping
from ragwheel.fewshot.embedding import checked, fitted
from ragwheel.fewshot.examples import Example, Library, QuestionType, example_id
from ragwheel.fewshot.options import FewshotOptions
from ragwheel.fewshot.selecting import facility_location, quotas, similarities
from ragwheel.offline.answers import AnsweredTurn, read_turns
from ragwheel.store.artifacts import register_artifact
from ragwheel.typing import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["Pool", "as_built", "build", "example_of", "pool_of", "save"]

_STEPS = 5
_KEPT = ("n", "per_group", "groups", "label_key", "max_answer_chars", "seed")


@dataclass(frozen=True)
class Pool:
    """The candidates for examples.

    Attributes:
        turns: good turns without personal data, oldest first.
        vectors: the vectors of their questions.
        population: the vectors of the questions that people ask.
        sim: similarities of shape (population, turns).
        encoder: see :class:`~ragwheel.fewshot.examples.Library`.
        counts: the number of turns read, and of those left out by each rule.
    """

    turns: list[AnsweredTurn]
    vectors: Floats
    population: Floats
    sim: Floats
    encoder: dict[str, Any]
    counts: dict[str, int]


def build(
    db: str | Path,
    options: FewshotOptions | None = None,
    *,
    kept: Sequence[Example] = (),
    without: Collection[str] = (),
    progress: Progress | None = None,
) -> Library:
    """Pick examples for prompts from the answers that people liked.

    Args:
        db: the database.
        options: see :class:`~ragwheel.fewshot.options.FewshotOptions`.
        kept: examples of the library so far; new ones are picked for the questions that these do not
            represent.
        without: ids of examples and turns that must not be picked.
        progress: called as ``(stage, done, total)``.

    Raises:
        StoreError: the database cannot be read.
        DatasetError: no answer qualifies; the message counts the reasons and says what to log.
        ModelError, MissingExtra, ConfigurationError: from the embedding and the options.
    """
    options, tell = options or FewshotOptions(), progress or _no_progress
    pool = pool_of(db, options, without=without, progress=tell)
    tell("picking", 4, _STEPS)
    groups, examples = _pick(pool, options, kept)
    tell("picking", _STEPS, _STEPS)
    people = {turn.person for turn in pool.turns if turn.turn_id in {example.turn_id for example in examples}}
    return Library(
        examples=tuple(examples),
        groups=tuple(groups),
        encoder=pool.encoder,
        counts=pool.counts,
        people=len(people),
        options={name: getattr(options, name) for name in _KEPT},
    )  # fmt: skip


def save(library: Library, path: str | Path, *, db: str | Path | None = None) -> Path:
    """Write the library. If ``db`` is given, the file is registered there for ``ragwheel erase``."""
    file = library.save(path)
    if db is not None:
        register_artifact(db, "fewshot", file, subjects=library.people)
    return file


def as_built(library: Library) -> FewshotOptions:
    """Return the options that a library was built with.

    Raises:
        ConfigurationError: the library was built with a function of the caller, which a file cannot store.
    """
    name = library.encoder.get("name", "lexical")
    if name == "function":
        raise ConfigurationError(
            "This library was built with a function of yours: give FewshotOptions(embed=...) again."
        )
    options = {name: library.options[name] for name in _KEPT if name in library.options}
    return FewshotOptions(embed=name, **options)


def example_of(turn: AnsweredTurn, group: str = "", represents: int = 0) -> Example:
    """Make an example of a turn."""
    return Example(
        id=example_id(turn.question, turn.answer),
        question=turn.question,
        answer=turn.answer,
        reasoning=turn.reasoning,
        reasoning_by="app" if turn.reasoning else None,
        group=group,
        turn_id=turn.turn_id,
        asked_ns=turn.asked_ns,
        represents=represents,
    )


def pool_of(
    db: str | Path,
    options: FewshotOptions,
    *,
    without: Collection[str] = (),
    progress: Callable[[str, int, int], None],
) -> Pool:
    """Read the turns, filter them and remove personal data; raises the same errors as :func:`build`."""
    progress("reading", 0, _STEPS)
    turns = read_turns(db, label_key=options.label_key, label_of=options.label_of)
    turns_kept, left_out = filtering.good(turns, options)
    if not turns_kept:
        raise _nothing(db, turns, left_out)
    progress("scrubbing", 1, _STEPS)
    turns_kept, changed = filtering.scrubbed(turns_kept, options.redact or redaction.standard())
    skip, since_ns = frozenset(without), options.since_ns or 0
    turns_kept = [
        turn
        for turn in turns_kept
        if turn.asked_ns >= since_ns
        and turn.turn_id not in skip
        and example_id(turn.question, turn.answer) not in skip
    ]
    asked = [turn.question for turn in turns if turn.question]
    if len(asked) > options.population:
        drawn = np.random.default_rng(options.seed).permutation(len(asked))[: options.population]
        asked = [asked[index] for index in np.sort(drawn).tolist()]
    progress("embedding", 2, _STEPS)
    embed, encoder = fitted(options.embed, asked)
    vectors, population = checked(embed, [turn.question for turn in turns_kept]), checked(embed, asked)
    progress("comparing", 3, _STEPS)
    if turns_kept:
        order = sorted(
            range(len(turns_kept)),
            key=lambda i: (-turns_kept[i].liked, -turns_kept[i].cited, -turns_kept[i].asked_ns),
        )
        copies = filtering.near_copies(vectors, order, options.near_copy)
        left_out["near-copy of a better one"] = int(copies.sum())
        turns_kept, vectors = _left(turns_kept, vectors, ~copies)
        sim = similarities(population, vectors)
        odd = filtering.unusual(sim, options.unusual_share)
        left_out["unusual"] = int(odd.sum())
        turns_kept, vectors = _left(turns_kept, vectors, ~odd)
        sim = sim[:, ~odd]
    else:
        sim = np.zeros((len(population), 0), dtype=np.float32)
    counts = {"turns": len(turns), "candidates": len(turns_kept), "scrubbed": changed}
    counts |= {reason: n for reason, n in sorted(left_out.items()) if n}
    return Pool(turns_kept, vectors, population, sim, encoder, counts)


def _left(
    turns: list[AnsweredTurn], vectors: Floats, keep: NDArray[np.bool_]
) -> tuple[list[AnsweredTurn], Floats]:
    return [turn for turn, stays in zip(turns, keep.tolist()) if stays], vectors[keep]


def _pick(
    pool: Pool, options: FewshotOptions, kept: Sequence[Example]
) -> tuple[list[QuestionType], list[Example]]:
    """Return the groups, largest share first, and the examples picked for each."""
    in_already = {example.turn_id for example in kept}
    turns = pool.turns
    if not turns:
        return [], list(kept)
    if any(turn.label for turn in turns):
        names, of, centres = grouping.by_labels(pool.vectors, [turn.label for turn in turns])
    else:
        names, of, centres = grouping.by_clusters(
            pool.vectors, [turn.question for turn in turns], groups=options.groups, seed=options.seed
        )
    asked_of = grouping.nearest(pool.population, centres)
    shares = [float((asked_of == group).mean()) for group in range(len(names))]
    available = [int((of == group).sum()) for group in range(len(names))]
    wanted = quotas(shares, available, options.n, each=options.per_group)
    groups, examples = [], []
    for group in sorted(range(len(names)), key=lambda g: (-shares[g], names[g])):
        groups.append(QuestionType(names[group], round(shares[group], 4), available[group]))
        members = np.flatnonzero(of == group)
        sim = pool.sim[np.flatnonzero(asked_of == group)][:, members]
        stays = [i for i, member in enumerate(members.tolist()) if turns[member].turn_id in in_already]
        picked = facility_location(sim, max(0, wanted[group] - len(stays)), kept=stays)
        chosen = [*stays, *picked]
        stands_for = _stands_for(sim, chosen)
        examples += [example_of(turns[int(members[i])], names[group], n) for i, n in zip(chosen, stands_for)]
    have = {example.id for example in examples}
    mine = {example.id: example for example in kept}
    examples = [
        replace(mine.get(example.id, example), group=example.group, represents=example.represents)
        for example in examples
    ]
    return groups, [*examples, *(example for example in kept if example.id not in have)]


def _stands_for(sim: Floats, chosen: Sequence[int]) -> list[int]:
    """Return the number of rows that are nearest to each chosen column."""
    if not len(sim) or not chosen:
        return [0] * len(chosen)
    nearest = np.argmax(sim[:, list(chosen)], axis=1)
    return [int(n) for n in np.bincount(nearest, minlength=len(chosen))]


def _nothing(db: str | Path, turns: Sequence[AnsweredTurn], left_out: Counter[str]) -> DatasetError:
    why = ", ".join(f"{reason} {n:,}" for reason, n in left_out.most_common()) or "no turn was recorded"
    if not any(turn.answer for turn in turns):
        what = "record answers: with ragwheel.turn(question) as turn: ... turn.answer(text)"
    elif not any(turn.liked for turn in turns):
        what = 'log what people say: ragwheel.signal(turn.handle, "thumbs_up"), "rating" or "convert"'
    elif not any(turn.cited for turn in turns):
        what = "record what is cited: turn.answer(text) reads [1] markers, or takes citations=ids"
    else:
        what = f"see one turn whole: ragwheel show --db {db} --list"
    return DatasetError(
        f"No answer in {db} can be an example. Needed: one that was liked, cites a chunk and was not asked "
        f"again. Got {len(turns):,} turns ({why}). Next: {what}"
    )


def _no_progress(_stage: str, _done: int, _total: int) -> None:
    """Ignore progress."""
