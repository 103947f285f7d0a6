"""How many queries can become training rows.

An example is a query with at least one positive: a matched citation, a positive signal about a
chunk, or a grade of 3 or more by a person or a judge. The label stage weighs the same evidence (and
may still set a query aside, for example when people contradict each other), so this is the number
of examples that ``ragwheel build`` starts from.
"""

from __future__ import annotations

import sqlite3

from ragwheel.offline.reading import number

__all__ = ["count_examples"]

# Queries are the same when they differ in case and surrounding blanks only.
EXAMPLES = """
WITH positive (retrieval_id) AS (
    SELECT retrieval_id FROM citations WHERE matched
    UNION
    SELECT retrieval_id FROM signals
     WHERE chunk_version IS NOT NULL
       AND (kind IN ('click', 'copy', 'expand', 'bookmark', 'thumbs_up', 'prefer', 'more_like_this')
            OR kind = 'rating' AND value >= 4)
), example (query) AS (
    SELECT lower(trim(query)) FROM retrievals WHERE retrieval_id IN (SELECT retrieval_id FROM positive)
    UNION
    SELECT lower(trim(query)) FROM judgments WHERE grade >= 3
)
SELECT count(*) FROM example WHERE query <> ''
"""


def count_examples(connection: sqlite3.Connection) -> int:
    """The number of distinct queries with a positive."""
    return number(connection, EXAMPLES)
