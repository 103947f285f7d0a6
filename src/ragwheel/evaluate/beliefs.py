"""What the label model believes about every exposed chunk: the criterion needs it, labels are not enough."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pydantic import ValidationError

from ragwheel.datasets import BuiltDataset
from ragwheel.datasets.document_ids import document_id
from ragwheel.labels import graded
from ragwheel.labels.policy import Policy

__all__ = ["beliefs_by_document", "policy_of"]

Beliefs = dict[str, dict[str, float]]


def beliefs_by_document(db: str | Path, queries: Collection[str], *, policy: Policy | None = None) -> Beliefs:
    """Fit the label model to a store; P(relevant) of each exposed chunk by query key and document id.

    Args:
        db: the database.
        queries: keys of the queries (:func:`ragwheel.labels.traces.text.query_key`).
        policy: the label policy that the dataset was built with; None: the packaged one.

    Raises:
        StoreError: the database cannot be read.
    """
    beliefs: Beliefs = {}
    for row in _rows(db, queries, policy):  # by version, ascending: the newest stays
        beliefs.setdefault(row[0], {})[document_id(row[1], row[2])] = row[4]
    return beliefs


def _rows(
    db: str | Path, queries: Collection[str], policy: Policy | None
) -> list[tuple[str, str, str, int, float]]:
    """Query key, source, chunk id, version and belief of the queries' exposed chunks."""
    wanted = frozenset(queries)
    table = graded(db, policy=policy)
    names = ("query_key", "source", "chunk_id", "chunk_version", "belief")
    rows = zip(*(table[name].to_pylist() for name in names))
    return [row for row in rows if row[0] in wanted and row[4] is not None]


def policy_of(dataset: BuiltDataset) -> Policy | None:
    """The label policy that a dataset was built with, from its manifest.

    None where it does not say, or where it is of a version whose policies had other keys.
    """
    written = dataset.manifest.get("configuration", {}).get("policy")
    try:
        return Policy.model_validate(written) if written else None
    except ValidationError:
        return None
