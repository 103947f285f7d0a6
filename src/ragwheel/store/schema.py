"""The schema: inner tables (leading underscore, free to change) and the public views (stable).

A retrieval is **one packed row**: ``chunks`` is a JSON array of chunk versions in rank order and
``scores`` one of the retriever's scores, so that a merge writes one row for forty chunks and the
views still open it with ``json_each`` in plain SQL. Texts are content-addressed and uncompressed.
Span ids are stored as 8-byte blobs and shown by the views as 16 lower-case hex digits.
"""

from __future__ import annotations

__all__ = [
    "ACCOUNTS",
    "ALIASES",
    "APPLICATION_ID",
    "ARTIFACTS",
    "COMMENTS",
    "EVALSETS",
    "EVENTS",
    "REASONING",
    "TABLES",
    "VIEWS",
]

APPLICATION_ID = 0x52574C31  # "RWL1" in the file's header: tells our databases from foreign ones

TABLES = """
CREATE TABLE _source (
    source_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE _retriever (
    retriever_id INTEGER PRIMARY KEY,
    source_id INTEGER NOT NULL REFERENCES _source,
    name TEXT NOT NULL,
    version TEXT NOT NULL DEFAULT '',
    app TEXT NOT NULL DEFAULT '',
    UNIQUE (source_id, name, version, app)
);
CREATE TABLE _text (
    text_id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,             -- blake2b-128 of the UTF-8 text
    body TEXT NOT NULL
);
CREATE TABLE _chunk (                      -- a chunk version
    chunk_id INTEGER PRIMARY KEY,
    source_id INTEGER NOT NULL REFERENCES _source,
    app_id TEXT NOT NULL,
    text_id INTEGER NOT NULL REFERENCES _text,
    metadata TEXT,                         -- JSON object, as first seen; NULL when empty
    first_seen_ns INTEGER NOT NULL,
    UNIQUE (source_id, app_id, text_id)
);
CREATE TABLE _retrieval (
    id INTEGER PRIMARY KEY,
    span_id BLOB NOT NULL UNIQUE,
    trace_id BLOB NOT NULL,
    parent_id BLOB,                        -- the OpenTelemetry parent span
    turn_id BLOB,                          -- span id of the turn
    outer_id BLOB,                         -- span id of the retrieval this one ran inside
    kind INTEGER NOT NULL DEFAULT 0,       -- 0 retrieval, 1 rerank
    retriever_id INTEGER NOT NULL REFERENCES _retriever,
    query TEXT NOT NULL,
    session_id TEXT,
    user_id TEXT,
    start_ns INTEGER NOT NULL,             -- Unix time
    duration_ns INTEGER NOT NULL,
    top_k INTEGER,                         -- what the app asked for, where known
    capture_k INTEGER,
    n_returned INTEGER NOT NULL,           -- how many chunks the app got; ranks above are `logged`
    chunks TEXT NOT NULL,                  -- JSON array of chunk_id, rank order; null: lost with a damaged segment
    scores TEXT,                           -- JSON array of numbers and nulls; NULL: the retriever gave none
    extras TEXT,                           -- JSON object {rank: {key: value}}: metadata unlike the version's
    in_ranks TEXT,                         -- rerank: JSON array, rank each chunk had before (null: unknown)
    error TEXT,                            -- type of the exception the retriever raised
    flags TEXT                             -- JSON array of words: what could not be recorded as it was
);
CREATE INDEX _retrieval_turn ON _retrieval (turn_id) WHERE turn_id IS NOT NULL;
-- the ids as the views show them, so that joins and look-ups on those use an index
CREATE INDEX _retrieval_shown ON _retrieval (lower(hex(span_id)));
CREATE INDEX _retrieval_shown_turn ON _retrieval (nullif(lower(hex(turn_id)), ''));
CREATE TABLE _turn (
    id INTEGER PRIMARY KEY,
    span_id BLOB NOT NULL UNIQUE,
    trace_id BLOB NOT NULL,
    parent_id BLOB,
    revision INTEGER NOT NULL,             -- a turn may be written more than once: the highest counts
    app TEXT NOT NULL DEFAULT '',
    query TEXT,
    answer TEXT,                           -- NULL: no answer was given
    session_id TEXT,
    user_id TEXT,
    start_ns INTEGER NOT NULL,
    duration_ns INTEGER NOT NULL,
    prompted TEXT,                         -- JSON [[retrieval span id hex, rank], ...] in prompt order; NULL: not said
    shown TEXT,                            -- the same, for what a person saw
    citations TEXT,                        -- JSON array of objects, see the view `citations`
    error TEXT,
    flags TEXT
);
CREATE INDEX _turn_shown ON _turn (lower(hex(span_id)));
CREATE TABLE _signal (
    id INTEGER PRIMARY KEY,
    span_id BLOB NOT NULL UNIQUE,
    trace_id BLOB NOT NULL,
    event_id TEXT UNIQUE,
    kind TEXT NOT NULL,
    target INTEGER NOT NULL,               -- 0 retrieval, 1 turn
    target_id BLOB NOT NULL,               -- span id of the retrieval or turn
    chunk TEXT,                            -- the app's chunk id
    rank INTEGER,
    value REAL,
    query TEXT,
    other TEXT,                            -- `prefer`: the losing chunk; `reformulate`: handle of the new query
    subject TEXT,
    at_ns INTEGER NOT NULL,                -- when it happened
    received_ns INTEGER NOT NULL,
    flags TEXT
);
CREATE INDEX _signal_target ON _signal (target_id);
CREATE TABLE _judgment (
    id INTEGER PRIMARY KEY,
    query TEXT NOT NULL,
    source TEXT NOT NULL,
    chunk TEXT NOT NULL,                   -- the app's chunk id
    text_hash BLOB,                        -- the version that was judged, where known
    grade REAL NOT NULL,                   -- 0-5
    judge TEXT NOT NULL,
    judge_kind TEXT NOT NULL,              -- human, llm
    note TEXT,
    at_ns INTEGER NOT NULL,
    UNIQUE (query, source, chunk, judge)
);
CREATE TABLE _segment (                    -- how far each journal segment has been merged
    name TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    records INTEGER NOT NULL,
    damaged INTEGER NOT NULL DEFAULT 0,    -- bytes stepped over
    unreadable INTEGER NOT NULL DEFAULT 0, -- whole records that could not be taken in
    finished INTEGER NOT NULL DEFAULT 0,   -- 1: all of it is in here and the file may be gone
    updated_ns INTEGER NOT NULL
);
CREATE TABLE _merge (                      -- the latest merges: whose cached row ids still hold
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    token BLOB NOT NULL UNIQUE
);
CREATE TABLE _drop (                       -- what processes could not write
    reason TEXT PRIMARY KEY,
    n INTEGER NOT NULL
);
"""

ARTIFACTS = """
CREATE TABLE _artifact (                   -- what was built from this database
    path TEXT PRIMARY KEY,                 -- absolute
    kind TEXT NOT NULL,                    -- dataset, model, fewshot
    parents TEXT NOT NULL,                 -- JSON array of the paths of what it was made from
    subjects INTEGER,                      -- how many people's behaviour is in it; NULL: not known
    made_ns INTEGER NOT NULL,
    erased_ns INTEGER                      -- when something was erased that it may hold; NULL: never since
);
"""

EVALSETS = """
CREATE TABLE _evalset (                    -- an evaluation set that was imported
    evalset_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    use TEXT NOT NULL,                     -- train, test: never both
    imported_ns INTEGER NOT NULL
);
ALTER TABLE _judgment ADD COLUMN evalset_id INTEGER REFERENCES _evalset;
"""

REASONING = """
ALTER TABLE _turn ADD COLUMN reasoning TEXT; -- what the app says the answer was thought out from; NULL: not said
"""

COMMENTS = """
ALTER TABLE _signal ADD COLUMN comment TEXT;  -- the person's own words
ALTER TABLE _signal ADD COLUMN reason TEXT;   -- a short code such as `outdated`
ALTER TABLE _judgment ADD COLUMN reason TEXT; -- likewise; the words are in `note`
CREATE INDEX _signal_retract ON _signal (target_id) WHERE kind = 'retract';
"""

# An event id is the sender's: two people, or two answers, may well have the same one. The table is copied
# and made again, not renamed: SQLite refuses to rename below a view that somebody added.
EVENTS = """
CREATE TABLE _signal_before AS SELECT * FROM _signal;
DROP TABLE _signal;
CREATE TABLE _signal (
    id INTEGER PRIMARY KEY,
    span_id BLOB NOT NULL UNIQUE,
    trace_id BLOB NOT NULL,
    event_id TEXT,                         -- the sender's; unique within its target and subject
    kind TEXT NOT NULL,
    target INTEGER NOT NULL,               -- 0 retrieval, 1 turn
    target_id BLOB NOT NULL,               -- span id of the retrieval or turn
    chunk TEXT,                            -- the app's chunk id
    rank INTEGER,
    value REAL,
    query TEXT,
    other TEXT,                            -- `prefer`: the losing chunk; `reformulate`: handle of the new query
    subject TEXT,
    at_ns INTEGER NOT NULL,                -- when it happened
    received_ns INTEGER NOT NULL,
    flags TEXT,
    comment TEXT,                          -- the person's own words
    reason TEXT                            -- a short code such as `outdated`
);
INSERT INTO _signal SELECT * FROM _signal_before;
DROP TABLE _signal_before;
CREATE INDEX _signal_target ON _signal (target_id);
CREATE INDEX _signal_retract ON _signal (target_id) WHERE kind = 'retract';
CREATE UNIQUE INDEX _signal_event ON _signal (event_id, target_id, target, coalesce(subject, ''))
    WHERE event_id IS NOT NULL;
"""

ACCOUNTS = """
ALTER TABLE _segment ADD COLUMN repeated INTEGER NOT NULL DEFAULT 0; -- of `records`: no row, it was there already
CREATE TABLE _account (                    -- rows of retrievals, turns and signals that no segment explains
    name TEXT PRIMARY KEY,                 -- before: there when counting began; removed: erased or pruned since
    n INTEGER NOT NULL
);
INSERT INTO _account
SELECT 'before', (SELECT count(*) FROM _retrieval) + (SELECT count(*) FROM _turn) + (SELECT count(*) FROM _signal)
               - (SELECT coalesce(sum(records), 0) FROM _segment);
CREATE TABLE _secret (value BLOB NOT NULL); -- one row: the key of ids that are made from redacted texts
"""

ALIASES = """
CREATE TABLE _alias (                      -- other spans of imported traces: feedback that names one joins the turn
    span_id BLOB PRIMARY KEY,
    turn_id BLOB NOT NULL,
    trace_id BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX _alias_turn ON _alias (turn_id);
CREATE TRIGGER _turn_gone AFTER DELETE ON _turn BEGIN DELETE FROM _alias WHERE turn_id = OLD.span_id; END;
CREATE INDEX _retrieval_alone ON _retrieval (trace_id) WHERE turn_id IS NULL;
"""

VIEWS = """
CREATE VIEW spans AS
    SELECT lower(hex(r.span_id)) AS span_id, lower(hex(r.trace_id)) AS trace_id,
           nullif(lower(hex(r.parent_id)), '') AS parent_id,
           CASE r.kind WHEN 1 THEN 'rerank' ELSE 'retrieval' END AS kind,
           r.start_ns, r.duration_ns
      FROM _retrieval r
    UNION ALL
    SELECT lower(hex(span_id)), lower(hex(trace_id)), nullif(lower(hex(parent_id)), ''), 'turn', start_ns, duration_ns FROM _turn
    UNION ALL
    SELECT lower(hex(span_id)), lower(hex(trace_id)), NULL, 'signal', at_ns, 0 FROM _signal;

CREATE VIEW retrievals AS
    SELECT lower(hex(r.span_id)) AS retrieval_id, lower(hex(r.trace_id)) AS trace_id,
           nullif(lower(hex(r.turn_id)), '') AS turn_id, nullif(lower(hex(r.outer_id)), '') AS outer_id,
           CASE r.kind WHEN 1 THEN 'rerank' ELSE 'retrieval' END AS kind,
           s.name AS source, v.name AS retriever, v.version AS version, v.app AS app,
           r.query, r.session_id, r.user_id, r.start_ns, r.duration_ns,
           r.top_k, r.capture_k, json_array_length(r.chunks) AS n_chunks, r.n_returned, r.error, r.flags
      FROM _retrieval r JOIN _retriever v USING (retriever_id) JOIN _source s USING (source_id);

CREATE VIEW chunks AS
    SELECT c.number AS chunk_version, s.name AS source, c.app_id AS chunk_id, t.body AS text,
           c.metadata, lower(hex(t.hash)) AS content_hash, c.first_seen_ns
      FROM _chunk c JOIN _source s USING (source_id) JOIN _text t USING (text_id);

CREATE VIEW turns AS
    SELECT lower(hex(span_id)) AS turn_id, lower(hex(trace_id)) AS trace_id, app, query, answer, reasoning,
           session_id, user_id, start_ns, duration_ns,
           prompted IS NOT NULL AS prompted_given, shown IS NOT NULL AS shown_given,
           coalesce(json_array_length(citations), 0) AS n_citations, error, flags
      FROM _turn;

CREATE VIEW impressions AS
    SELECT *, CASE WHEN was_shown THEN 'shown' WHEN was_prompted THEN 'prompted'
                   WHEN was_returned THEN 'returned' ELSE 'logged' END AS exposure
      FROM (
        SELECT lower(hex(r.span_id)) AS retrieval_id, nullif(lower(hex(r.turn_id)), '') AS turn_id,
               e.key + 1 AS rank, c.number AS chunk_version, s.name AS source, c.app_id AS chunk_id,
               json_extract(r.scores, '$[' || e.key || ']') AS score,
               r.outer_id IS NULL AND e.key < r.n_returned AS was_returned,
               CASE WHEN t.prompted IS NOT NULL
                    THEN instr(t.prompted, '["' || lower(hex(r.span_id)) || '",' || (e.key + 1) || ']') > 0
                    ELSE t.answer IS NOT NULL AND r.outer_id IS NULL AND e.key < r.n_returned
                         AND (r.kind = 1 OR NOT EXISTS (SELECT 1 FROM _retrieval k
                                                         WHERE k.turn_id = r.turn_id AND k.kind = 1))
               END AS was_prompted,
               coalesce(instr(t.shown, '["' || lower(hex(r.span_id)) || '",' || (e.key + 1) || ']') > 0, 0)
               OR (r.outer_id IS NULL AND e.key < r.n_returned AND EXISTS (
                     SELECT 1 FROM _signal g WHERE g.target_id IN (r.span_id, r.turn_id)
                        AND (g.chunk = c.app_id OR g.other = c.app_id AND g.kind = 'prefer'
                             OR g.chunk IS NULL AND g.rank = e.key + 1))) AS was_shown,
               t.prompted IS NULL AND t.answer IS NOT NULL AND r.outer_id IS NULL AND e.key < r.n_returned AS assumed
          FROM _retrieval r JOIN json_each(r.chunks) e
          JOIN _chunk c ON c.chunk_id = e.value JOIN _source s USING (source_id)
          LEFT JOIN _turn t ON t.span_id = r.turn_id
      );

CREATE VIEW citations AS
    SELECT lower(hex(t.span_id)) AS turn_id, e.key + 1 AS position,
           json_extract(e.value, '$.marker') AS marker,
           json_extract(e.value, '$.retrieval') AS retrieval_id, json_extract(e.value, '$.rank') AS rank,
           json_extract(e.value, '$.source') AS source, json_extract(e.value, '$.chunk') AS chunk_id,
           json_extract(e.value, '$.start') AS char_start, json_extract(e.value, '$.end') AS char_end,
           json_extract(e.value, '$.text') AS cited_text, json_extract(e.value, '$.method') AS method,
           json_extract(e.value, '$.retrieval') IS NOT NULL AS matched
      FROM _turn t JOIN json_each(t.citations) e;

CREATE VIEW _retraction AS               -- `id` is taken back by `retract_id`: same person, same turn or retrieval
    SELECT g.id, k.id AS retract_id
      FROM (SELECT k.*, k.target_id AS about FROM _signal k WHERE k.kind = 'retract'
            UNION ALL
            SELECT k.*, r.span_id FROM _signal k JOIN _retrieval r ON r.turn_id = k.target_id WHERE k.kind = 'retract'
            UNION ALL
            SELECT k.*, r.turn_id FROM _signal k JOIN _retrieval r ON r.span_id = k.target_id WHERE k.kind = 'retract'
           ) k
      JOIN _signal g ON g.target_id = k.about
     WHERE g.kind <> 'retract' AND +g.subject IS k.subject
       AND (g.event_id = k.other
            OR g.kind = k.other AND (g.at_ns, g.id) < (k.at_ns, k.id)
               AND CASE WHEN g.chunk IS NULL OR k.chunk IS NULL THEN g.chunk IS k.chunk AND g.rank IS k.rank
                        ELSE g.chunk = k.chunk END);

CREATE VIEW _standing_signal AS          -- every signal that is not taken back, without the retractions
    SELECT * FROM _signal WHERE kind <> 'retract' AND id NOT IN (SELECT id FROM _retraction);

CREATE VIEW _signal_state AS             -- `hit`: JSON [retrieval, rank, chunk] of what it is about, by row numbers
    SELECT m.*, json_extract(m.hit, '$[0]') AS retrieval, json_extract(m.hit, '$[1]') AS matched_rank,
           json_extract(m.hit, '$[2]') AS chunk_row,
           CASE WHEN m.kind = 'retract'
                THEN CASE WHEN EXISTS (SELECT 1 FROM _retraction x WHERE x.retract_id = m.id)
                          THEN 'retraction' ELSE 'nothing to take back' END
                WHEN EXISTS (SELECT 1 FROM _retraction x WHERE x.id = m.id) THEN 'retracted'
                WHEN m.chunk IS NOT NULL OR m.rank IS NOT NULL
                THEN CASE WHEN m.hit IS NOT NULL THEN 'matched'
                          WHEN EXISTS (SELECT 1 FROM _retrieval r WHERE r.span_id = m.target_id)
                            OR EXISTS (SELECT 1 FROM _retrieval r WHERE r.turn_id = m.target_id)
                          THEN 'chunk not in the retrieval' ELSE 'retrieval not stored yet' END
                WHEN m.target = 0 AND EXISTS (SELECT 1 FROM _retrieval r WHERE r.span_id = m.target_id) THEN 'matched'
                WHEN m.target = 1 AND EXISTS (SELECT 1 FROM _turn t WHERE t.span_id = m.target_id) THEN 'matched'
                ELSE 'retrieval or turn not stored yet' END AS state
      FROM (
        SELECT g.*, (
            SELECT json_array(r.id, e.key + 1, e.value)
              FROM (SELECT * FROM _retrieval WHERE span_id = g.target_id
                    UNION ALL SELECT * FROM _retrieval WHERE turn_id = g.target_id) r
              JOIN json_each(r.chunks) e JOIN _chunk c ON c.chunk_id = e.value
             WHERE coalesce(g.chunk, g.rank) IS NOT NULL
               AND (g.chunk IS NULL OR c.app_id = g.chunk) AND (g.rank IS NULL OR g.rank = e.key + 1)
             ORDER BY r.kind DESC, r.outer_id IS NOT NULL, r.start_ns, r.id, e.key LIMIT 1) AS hit
          FROM _signal g
      ) m;

CREATE VIEW signals AS
    SELECT lower(hex(g.span_id)) AS signal_id, g.event_id, g.kind,
           nullif(lower(hex(coalesce(r.span_id, CASE g.target WHEN 0 THEN g.target_id END))), '') AS retrieval_id,
           nullif(lower(hex(coalesce(CASE g.target WHEN 1 THEN g.target_id END, r.turn_id,
                     (SELECT turn_id FROM _retrieval o WHERE g.target = 0 AND o.span_id = g.target_id)))), '') AS turn_id,
           g.matched_rank AS rank, s.name AS source, c.app_id AS chunk_id, c.number AS chunk_version,
           g.other, g.value, g.query,
           coalesce(g.subject, r.user_id, (SELECT user_id FROM _turn u WHERE g.target = 1 AND u.span_id = g.target_id),
                    (SELECT user_id FROM _retrieval o WHERE g.target = 0 AND o.span_id = g.target_id))
               AS subject,
           g.at_ns, g.received_ns, g.flags, g.comment, g.reason
      FROM _signal_state g
      LEFT JOIN _retrieval r ON r.id = g.retrieval
      LEFT JOIN _chunk c ON c.chunk_id = g.chunk_row LEFT JOIN _source s USING (source_id)
     WHERE g.state = 'matched';

CREATE VIEW unmatched_signals AS
    SELECT lower(hex(span_id)) AS signal_id, event_id, kind,
           CASE target WHEN 0 THEN 'retrieval' ELSE 'turn' END AS target, lower(hex(target_id)) AS target_id,
           chunk AS chunk_id, rank, other, value, query, subject, at_ns, received_ns, state AS reason,
           comment, g.reason AS signal_reason
      FROM _signal_state g WHERE state NOT IN ('matched', 'retracted', 'retraction');

CREATE VIEW retracted_signals AS
    SELECT lower(hex(g.span_id)) AS signal_id, g.event_id, g.kind,
           CASE g.target WHEN 0 THEN 'retrieval' ELSE 'turn' END AS target, lower(hex(g.target_id)) AS target_id,
           g.chunk AS chunk_id, g.rank, g.other, g.value, g.query, g.subject, g.at_ns, g.received_ns,
           g.comment, g.reason, lower(hex(k.span_id)) AS retraction_id, k.at_ns AS retracted_ns
      FROM _signal g JOIN _signal k
        ON k.id = (SELECT x.retract_id FROM _retraction x JOIN _signal f ON f.id = x.retract_id
                    WHERE x.id = g.id ORDER BY f.at_ns, f.id LIMIT 1);

CREATE VIEW judgments AS
    SELECT id AS judgment_id, query, source, chunk AS chunk_id, nullif(lower(hex(text_hash)), '') AS content_hash,
           grade, judge, judge_kind, note, at_ns, e.name AS evalset, e.use AS evalset_use, reason
      FROM _judgment LEFT JOIN _evalset e USING (evalset_id);

CREATE VIEW reviews AS
    SELECT id AS review_id, kind, rater, query, source, chunk AS chunk_id, other_source, other AS other_chunk_id,
           value, note, at_ns
      FROM _review;
"""
