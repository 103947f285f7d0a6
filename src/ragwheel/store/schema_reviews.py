"""The inner table of what raters say on the review page; its view is among those of the schema."""

from __future__ import annotations

__all__ = ["REVIEWS"]

REVIEWS = """
CREATE TABLE _review (                     -- what raters say that is no grade
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,                    -- see ReviewKind
    rater TEXT NOT NULL,
    query TEXT NOT NULL DEFAULT '',
    source TEXT NOT NULL DEFAULT '',       -- of the chunk; prefer: the first system
    chunk TEXT NOT NULL DEFAULT '',        -- the app's chunk id; strike: of the positive
    other_source TEXT NOT NULL DEFAULT '', -- strike: of the negative; prefer: the second system
    other TEXT NOT NULL DEFAULT '',        -- strike: chunk id of the negative
    value TEXT,                            -- prefer: first, second, tie
    note TEXT,                             -- the rater's own words; guideline: its text
    at_ns INTEGER NOT NULL,
    UNIQUE (kind, rater, query, source, chunk, other_source, other)
);
"""
