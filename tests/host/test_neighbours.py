"""What clients and apps return is read right in many wordings and nestings, or refused."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from tests.host.neighbours import NEIGHBOURS, QuerySet, Shape

from ragwheel.host.results import read_result

CHUNK = {"id": "a", "text": "one passage"}


def check(shape: Shape, result: Any) -> None:
    reading = read_result(result, 40)
    ids, texts, scores, _, _ = reading.columns
    if shape.refused:
        assert reading.unreadable
        assert (ids, reading.objects) == ([], [])
        return
    assert not reading.unreadable
    if shape.ids is None:
        assert ids
        assert all(key.startswith("text:") for key in ids)
        assert len(set(ids)) == len(ids)
    else:
        assert ids == shape.ids
    assert texts == (shape.texts if shape.texts is not None else [""] * len(ids))
    if shape.scores:
        assert scores == pytest.approx(shape.scores)
    else:
        assert scores is None


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_a_shape(name):
    check(NEIGHBOURS[name], NEIGHBOURS[name].make())


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_reading_changes_nothing(name):
    result = NEIGHBOURS[name].make()
    before = repr(vars(result) if hasattr(result, "__dict__") else result)
    read_result(result, 40)
    assert repr(vars(result) if hasattr(result, "__dict__") else result) == before


def test_a_shape_may_change_from_call_to_call():
    for shape in NEIGHBOURS.values():
        check(shape, shape.make())
    for shape in reversed(NEIGHBOURS.values()):
        check(shape, shape.make())


def test_a_query_that_was_not_run_is_said_to_be_one():
    assert read_result(QuerySet([]), 40).unreadable == "iterator"


def test_only_the_first_chunks_are_read_and_all_are_counted():
    class Long(list[Any]):
        read = 0

        def __getitem__(self, position: Any) -> Any:
            Long.read += 1
            return super().__getitem__(position)

        def __iter__(self) -> Any:
            raise AssertionError("all were read")

    reading = read_result(Long([CHUNK] * 10_000), 5)
    assert (len(reading.columns.ids), reading.total, Long.read) == (5, 10_000, 5)


def test_a_cyclic_body_ends():
    body: dict[str, Any] = {"took": 3}
    body["self"] = body
    body["deep"] = [body]
    assert read_result(body, 40).unreadable == "no chunks"
    body["hits"] = {"hits": [CHUNK]}
    assert read_result(body, 40).columns.ids == ["a"]


def test_a_deep_body_ends_and_a_wide_one_is_bounded():
    body: Any = [CHUNK]
    for _ in range(sys.getrecursionlimit() + 100):
        body = {"data": body}
    assert read_result(body, 40).unreadable == "no chunks"
    wide: dict[str, Any] = {f"k{n}": {"x": {"y": n}} for n in range(100_000)}
    assert read_result(wide, 40).unreadable


@pytest.mark.parametrize(
    "names", [[f"field_{n}" for n in range(20)], ["frage", "antwort"], ["links", "rechts", "mitte"]]
)
def test_many_fields_that_could_all_be_the_text_are_refused(names):
    rows = [{name: f"Some words about {name} number {n}." for name in names} for n in range(3)]
    assert read_result(rows, 40).unreadable == "ambiguous columns"


def test_of_many_fields_with_known_names_the_first_of_the_table_is_the_text():
    others = {"summary": "Short.", "body": "The whole passage.", "abstract": "A passage."}
    rows = [{**others, "text": f"Text {n}."} for n in range(3)]
    assert read_result(rows, 40).columns.texts == ["Text 0.", "Text 1.", "Text 2."]


def test_a_guess_is_flagged_with_the_fields_that_it_took():
    rows = [{"nummer": n * 7 + 3, "absatz": f"Ein Absatz, Nummer {n}.", "abstand": 0.1 * n} for n in range(4)]
    reading = read_result(rows, 40)
    assert reading.columns.flags == ("guessed: id=nummer score=abstand text=absatz",)


@pytest.mark.parametrize("failing", ["keys", "items", "value"])
def test_a_body_that_raises_is_refused_and_raises_nothing(failing):
    class Body(dict[str, Any]):
        def __iter__(self) -> Any:
            if failing == "keys":
                raise RuntimeError("closed")
            return super().__iter__()

        def __getitem__(self, name: str) -> Any:
            if failing == "value":
                raise RuntimeError("closed")
            return super().__getitem__(name)

    reading = read_result(Body(hits=[Body(CHUNK)]), 40)
    assert reading.columns.ids in ([], ["a"])
    assert reading.unreadable or failing == "items"
