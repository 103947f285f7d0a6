"""The room of the training set: triplets with the reasons for them, and striking one out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from ragwheel.datasets import TripletExplanation, explain
from ragwheel.errors import DatasetError, JudgmentError
from ragwheel.review.desk import ReviewDesk, rater_of
from ragwheel.review.pages import link, page
from ragwheel.store.artifacts import list_artifacts
from ragwheel.store.reviews import ReviewRow, reading_rows, review_rows, writing_reviews
from ragwheel.words import query_key

__all__ = ["strike", "training_page"]

_PAGE: Final = 20
_MOST: Final = 2_000
_VALUES: Final = ("row", "positive", "negative")
_FIELDS: Final = ("query", "source", "chunk", "other_source", "other")


def training_page(desk: ReviewDesk, request: Request) -> Response:
    """Return a page of triplets of the training split, every strategy in turn."""
    rater = rater_of(desk, request)
    folder = _folder(desk)
    triplets: list[TripletExplanation] = []
    problem = ""
    if folder is not None:
        try:
            triplets = desk.remembered("triplets") or desk.remember("triplets", explain(folder, _MOST))
        except DatasetError as exc:
            problem = str(exc)
    asked = request.query_params.get("page", "1")
    strategy = request.query_params.get("strategy", "")
    strategies = sorted({triplet.strategy for triplet in triplets})
    chosen = [triplet for triplet in triplets if not strategy or triplet.strategy == strategy]
    pages = max(1, -(-len(chosen) // _PAGE))
    number = min(max(int(asked), 1), pages) if asked.isdigit() and len(asked) < 9 else 1
    with reading_rows(desk.options.db) as connection:
        struck = {_key(row): row for row in review_rows(connection, "strike")}
    shown = [
        (triplet, struck.get(_key_of(triplet))) for triplet in chosen[(number - 1) * _PAGE : number * _PAGE]
    ]

    def at(n: int) -> str | None:
        return (
            link("/training", page=n, strategy=strategy or None, **{"as": rater}) if 1 <= n <= pages else None
        )

    return page(
        "training.html",
        room="training",
        rater=rater,
        folder=folder,
        problem=problem,
        triplets=shown,
        strategies=strategies,
        strategy=strategy,
        number=number,
        pages=pages,
        whole=len(chosen),
        n_struck=len(struck),
        before=at(number - 1),
        after=at(number + 1),
    )


def strike(desk: ReviewDesk, body: dict[str, Any]) -> dict[str, Any]:
    """Strike a triplet out (value row, positive or negative), or take that back (value null)."""
    texts = {name: body.get(name) for name in (*_FIELDS, "rater")}
    if not all(isinstance(text, str) and len(text) < 100_000 for text in texts.values()):
        raise JudgmentError(f"expected texts: {', '.join(texts)}")
    value = body.get("value")
    if value is not None and value not in _VALUES:
        raise JudgmentError(f"value: got {value!r}, allowed: {', '.join(_VALUES)}, or null to take it back")
    fields = {name: str(texts[name]) for name in _FIELDS}
    rater = str(texts["rater"]).strip()[:100]
    if not rater or not fields["query"].strip():
        raise JudgmentError("rater, query: expected texts that are not blank")
    with reading_rows(desk.options.db) as connection:
        others = [row for row in review_rows(connection, "strike") if _key(row) == _key_in(fields)]
    with writing_reviews(desk.options.db) as writer:
        for row in others:  # one word on a row: whoever said it, the last counts
            writer.remove(ReviewRow("strike", row.rater, time.time_ns(), **_fields(row)))
        if value is not None:
            writer.note(ReviewRow("strike", rater, time.time_ns(), value=value, **fields))
    return {"struck": value}


def _folder(desk: ReviewDesk) -> Path | None:
    if desk.options.dataset is not None:
        return desk.options.dataset
    folders = [
        artifact.path
        for artifact in list_artifacts(desk.options.db)
        if artifact.kind == "dataset" and artifact.path.is_dir()
    ]
    return folders[-1] if folders else None


def _fields(row: ReviewRow) -> dict[str, str]:
    return {name: getattr(row, name) for name in _FIELDS}


def _key(row: ReviewRow) -> tuple[str, ...]:
    return _key_in(_fields(row))


def _key_in(fields: dict[str, str]) -> tuple[str, ...]:
    return (query_key(fields["query"]), *(fields[name] for name in _FIELDS[1:]))


def _key_of(triplet: TripletExplanation) -> tuple[str, ...]:
    return (query_key(triplet.anchor), *triplet.positive_id, *triplet.negative_id)
