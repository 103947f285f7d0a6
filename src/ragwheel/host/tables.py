"""A ranked list as rows of id, text, score and metadata, where places and values have to say which is which.

Two kinds of lists come here: tuples, whose columns have no names, and records none of whose names is known.
A column is named by what all of its values are: the long text is the text, the key that differs from row to
row is the id, a number with a fraction is the score, an array of numbers is a vector and stays out. Where
two columns could be the text, none is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ragwheel.guard import let_interrupts_through
from ragwheel.host import clients
from ragwheel.host.certainty import AMBIGUOUS, NOTHING_READABLE, ONLY_POSITIONS, Certainty, Unreadable
from ragwheel.host.fields import fields_of
from ragwheel.host.items import HostItem, is_blank, plain_id, record_row
from ragwheel.host.names import BODIES, POSITIONS, normal, part_names
from ragwheel.host.values import Kind, is_number, kind_of, kinds_of, mean_length

__all__ = ["rows_of_records", "rows_of_tuples"]

_CLEARLY_LONGER: Final = 1.5
_NOT_IDS: Final = frozenset(
    [
        "page",
        "pagenumber",
        "pageno",
        "rank",
        "position",
        "index",
        "idx",
        "line",
        "lineno",
        "linenumber",
        "offset",
        "start",
        "end",
        "length",
        "len",
        "size",
        "count",
        "n",
        "tokens",
        "ntokens",
        "year",
        "version",
        "chunkindex",
        "total",
        "number",
    ]
)


@dataclass(slots=True)
class _Column:
    """One column of a table: its name or place, its values and what they all are (None: they differ)."""

    name: Any
    values: list[Any]
    kind: Kind | None

    def identifies(self, text: _Column | None = None) -> bool:
        """Whether the values can be ids: every row has one, and rows with the same one have the same text."""
        ids = [plain_id(value) for value in self.values]
        if None in ids:
            return False
        texts = ids if text is None else [plain_id(value) for value in text.values]
        return len(set(ids)) == len(set(zip(ids, texts)))

    @property
    def counts(self) -> bool:
        """Whether these are the numbers 0, 1, 2, … or 1, 2, 3, … in order: ranks, not ids."""
        first = self.values[0]
        return (
            self.kind == "int"
            and first in (0, 1)
            and self.values == list(range(first, first + len(self.values)))
        )


def rows_of_tuples(items: Sequence[Any], certainty: Certainty) -> list[HostItem]:
    """Name the columns of tuples of one length by what they hold.

    Raises:
        Unreadable: two columns could be the text, or none is a text, a record or an id.
    """
    columns = [_column(index, list(values)) for index, values in enumerate(zip(*items))]
    records = [column for column in columns if column.kind == "record"]
    if records:
        return _rows_around_records(records, columns, certainty)
    text = _text_column(columns)
    app_id = _id_column(columns, text)
    if text is None:
        text, app_id = _word_column(columns, app_id)
    score = _score_column(columns, text, app_id, certainty)
    if text is None and app_id is None:
        raise Unreadable(NOTHING_READABLE)
    documented = columns in ([app_id, text], [app_id, text, score], [text, score])
    for part, column in (("id", app_id), ("text", text)):
        if column is not None and (not documented or (column.kind == "word" and text is not column)):
            certainty.guess(part, column.name)  # type: ignore[arg-type]
    others = [c for c in columns if c not in (text, app_id, score) and c.kind not in ("vector", "none")]
    return [
        HostItem(
            None if app_id is None else app_id.values[n],
            None if text is None else text.values[n],
            None if score is None else score.values[n],
            {f"column_{c.name}": c.values[n] for c in others} or None,
        )
        for n in range(len(items))
    ]


def _column(name: Any, values: list[Any]) -> _Column:
    return _Column(name, values, kinds_of(values))


def _rows_around_records(
    records: list[_Column], columns: list[_Column], certainty: Certainty
) -> list[HostItem]:
    """Tuples with the chunk itself in them, beside its score, its id or something about it."""
    inner = [[record_row(value, certainty.flags) for value in column.values] for column in records]
    with_text = [rows for rows in inner if any(row.text for row in rows)]
    if len(with_text) > 1:
        raise Unreadable(AMBIGUOUS)
    texts = [column for column in columns if column.kind == "text"]
    keys = [
        column
        for column in columns
        if column.kind in ("key", "int") and column.identifies() and not column.counts
    ]
    scores = [c for c in columns if c.kind == "float"] or [
        c for c in columns if c.kind == "int" and not c.counts
    ]
    if with_text or not texts:
        rows = with_text[0] if with_text else inner[0]
    else:  # (text, metadata, score): the text stands beside a record that has none
        text = _text_column(columns)
        if text is None:
            raise Unreadable(AMBIGUOUS)
        own = records[0].values
        rows = [
            row._replace(text=t, metadata=value if issubclass(type(value), Mapping) else row.metadata)
            for row, t, value in zip(inner[0], text.values, own)
        ]
    others = (
        [more for more in inner if more is not rows and not any(row.text for row in more)]
        if with_text
        else []
    )
    for n, row in enumerate(rows):
        app_id, score = row.id, row.score
        if plain_id(app_id) is None and len(keys) == 1:
            app_id = keys[0].values[n]
        if scores:
            score = scores[0].values[n]
        elif score is None and others:
            score = others[0][n].score
        rows[n] = row._replace(id=app_id, score=score)
    return rows


def _text_column(columns: list[_Column]) -> _Column | None:
    """The column of texts; of several the one that is clearly the longest.

    Raises:
        Unreadable: two are about as long as each other.
    """
    texts = [column for column in columns if column.kind == "text"]
    if len(texts) > 1:
        varied = [c for c in texts if len(set(map(plain_id, c.values))) > 1 or len(c.values) == 1]
        texts = sorted(varied or texts, key=lambda column: mean_length(column.values), reverse=True)
        if len(texts) > 1 and mean_length(texts[0].values) < _CLEARLY_LONGER * mean_length(texts[1].values):
            raise Unreadable(AMBIGUOUS)
    return texts[0] if texts else None


def _word_column(columns: list[_Column], app_id: _Column | None) -> tuple[_Column | None, _Column | None]:
    """The text where there are only short ones: a single column of words, or words beside keys.

    Raises:
        Unreadable: two columns of words.
    """
    words = [column for column in columns if column.kind == "word" and column is not app_id]
    if len(words) > 1 or (words and app_id is not None and app_id.kind == "word"):
        raise Unreadable(AMBIGUOUS)
    return (words[0] if words else None), app_id


def _id_column(columns: list[_Column], text: _Column | None) -> _Column | None:
    """The first column of keys that differ from row to row: strings that can only be keys, then numbers."""
    keys = [
        column
        for column in columns
        if column.kind == "key" and column is not text and column.identifies(text)
    ]
    if keys:
        return keys[0]
    numbers = [column for column in columns if column.kind == "int" and column.identifies(text)]
    fractions = any(column.kind == "float" for column in columns)
    before_text = [c for c in numbers if text is None or columns.index(c) < columns.index(text)]
    numbers = before_text or [c for c in numbers if fractions and not c.counts]
    if text is None and len(numbers) > 1:
        return None
    for column in numbers[:1]:
        enumerated = column.counts and column.values[0] == 0 and len(column.values) > 1
        return None if enumerated and text is not None else column
    if text is not None and columns.index(text) == 1 and columns[0].kind == "word":
        return columns[0] if columns[0].identifies(text) else None  # (id, text, …), the documented order
    return None


def _score_column(
    columns: list[_Column], text: _Column | None, app_id: _Column | None, certainty: Certainty
) -> _Column | None:
    """The column of fractions, else of whole numbers that are no ranks; of several the sorted one."""
    free = [column for column in columns if column is not text and column is not app_id]
    scores = [c for c in free if c.kind == "float"] or [c for c in free if c.kind == "int" and not c.counts]
    if len(scores) > 1:
        scores = [column for column in scores if _is_sorted(column.values)]
        if len(scores) != 1:
            certainty.flag("ambiguous_score")
            return None
    return scores[0] if scores else None


def _is_sorted(values: Sequence[Any]) -> bool:
    numbers = [float(value) for value in values if is_number(value)]
    return len(numbers) == len(values) and numbers in (sorted(numbers), sorted(numbers, reverse=True))


def rows_of_records(items: Sequence[Any], certainty: Certainty) -> list[HostItem]:
    """Read records by their names, and by their values what no name tells.

    Raises:
        Unreadable: they have neither text nor id, or several fields could be the text.
    """
    rows = [record_row(item, certainty.flags) for item in items]
    if any(_has_text(row) for row in rows):
        return (
            rows if any(plain_id(row.id) is not None for row in rows) else _with_ids(rows, items, certainty)
        )
    fields = [_flat(item) for item in items]
    names = [name for name in (fields[0] if fields else ()) if all(name in each for each in fields)]
    columns = [_column(name, [each[name] for each in fields]) for name in names]
    if not any(plain_id(row.id) is not None for row in rows) and _only_positions(columns):
        raise Unreadable(ONLY_POSITIONS)
    return _by_values(rows, columns, certainty)


def _has_text(row: HostItem) -> bool:
    return not is_blank(row.text)


def _flat(item: Any) -> dict[str, Any]:
    """The fields of a record and of its bodies, by their names."""
    try:
        fields = fields_of(clients.opened(item, 1))
        out: dict[str, Any] = {name: fields[name] for name in fields if type(name) is str}
        for name, value in list(out.items()):
            if normal(name) in BODIES and kind_of(value) == "record":
                out.update(
                    {f"{name}.{key}": more for key, more in fields_of(value).items() if type(key) is str}
                )
    except Exception as exc:  # the host's own code
        let_interrupts_through(exc)
        return {}
    return out


def _only_positions(columns: list[_Column]) -> bool:
    others = [column for column in columns if column.kind not in ("float", "none", "flag")]
    return bool(others) and all(normal(c.name) in POSITIONS and c.kind == "int" for c in others)


def _by_values(rows: list[HostItem], columns: list[_Column], certainty: Certainty) -> list[HostItem]:
    """Records without a text by name: what is missing by the endings of names, then by values."""
    text = _similar(columns, "text", ("text",)) or _text_column(
        [column for column in columns if normal(str(column.name)) not in ("title", "name", "filename")]
    )
    app_id = None
    has_ids = any(plain_id(row.id) is not None for row in rows)
    if not has_ids:
        app_id = _similar(columns, "id", ("key", "int"), text) or _id_by_values(columns, text)
    if text is None and app_id is None and not has_ids:
        raise Unreadable(NOTHING_READABLE)
    score = None if any(row.score is not None for row in rows) else _score_by_values(columns, certainty)
    for part, column in (("id", app_id), ("text", text), ("score", score)):
        if column is not None:
            certainty.guess(part, column.name)  # type: ignore[arg-type]
    return [
        row._replace(
            id=row.id if app_id is None else app_id.values[n],
            text=row.text if text is None else text.values[n],
            score=row.score if score is None else score.values[n],
        )
        for n, row in enumerate(rows)
    ]


def _with_ids(rows: list[HostItem], items: Sequence[Any], certainty: Certainty) -> list[HostItem]:
    """Records with a text and no id by name: a field whose name ends like one, if its values are keys."""
    fields = [_flat(item) for item in items]
    names = [name for name in fields[0] if all(name in each for each in fields)]
    columns = [
        _column(name, [each[name] for each in fields])
        for name in part_names(tuple(names), "id")[1]
        if "." not in name
    ]
    app_id = _similar(columns, "id", ("key", "int"), _Column("text", [row.text for row in rows], None))
    if app_id is None:
        return rows
    certainty.guess("id", app_id.name)
    return [row._replace(id=app_id.values[n]) for n, row in enumerate(rows)]


def _similar(
    columns: list[_Column], part: Any, kinds: tuple[Kind, ...], text: _Column | None = None
) -> _Column | None:
    """The first column whose name ends like one for `part` and whose values are what that part is."""
    if part == "id" and columns and len(columns[0].values) > 1:
        kinds = (*kinds, "word")
    by_name = {str(column.name): column for column in columns}
    short = {name.rpartition(".")[2]: name for name in reversed(list(by_name))}
    for word in part_names(tuple(short), part)[1]:
        column = by_name[short[word]]
        if column.kind in kinds and (part != "id" or column.identifies(text)):
            return column
    return None


def _id_by_values(columns: list[_Column], text: _Column | None) -> _Column | None:
    keys = [c for c in columns if c.kind == "key" and c is not text and c.identifies(text)]
    numbers = [
        c
        for c in columns
        if c.kind == "int" and c.identifies(text) and not c.counts and normal(str(c.name)) not in _NOT_IDS
    ]
    return next(iter([*keys, *numbers]), None)


def _score_by_values(columns: list[_Column], certainty: Certainty) -> _Column | None:
    similar = _similar(columns, "score", ("float", "int"))
    if similar is not None:
        return similar
    scores = [column for column in columns if column.kind == "float" and _is_sorted(column.values)]
    if len(scores) > 1:
        certainty.flag("ambiguous_score")
        return None
    return scores[0] if scores else None
