"""What real clients return is read right, and nothing is fetched to read it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pytest
from tests.clients import shapes
from tests.clients.shapes import CLIENTS, IDS, TEXTS, Client
from tests.clients.works_with import PAGE, parts_read

from ragwheel.host.results import read_result

pytestmark = pytest.mark.filterwarnings("ignore")


def made(client: Client) -> Any:
    try:
        version(client.package)
    except PackageNotFoundError:
        pytest.skip(f"{client.package} is not installed: make test-clients")
    return client.make()


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: f"{client.package}: {client.call}")
def test_a_client(client):
    reading = read_result(made(client), 40)
    assert reading.unreadable == client.unreadable
    if client.unreadable:
        assert reading.columns.ids == []
        return
    assert parts_read(reading) == (client.ids, client.texts, client.scores)
    assert len(set(reading.columns.ids)) == len(TEXTS)
    assert not [flag for flag in reading.columns.flags if flag.startswith("unread")]


def test_an_orm_row_costs_no_statement():
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="make test-clients")
    statements: list[str] = []
    session, passage = shapes.sqlalchemy_session()
    rows = session.scalars(sqlalchemy.select(passage).order_by(passage.score.desc())).all()
    sqlalchemy.event.listen(session.get_bind(), "before_cursor_execute", lambda *a: statements.append(a[2]))
    reading = read_result(rows, 40)
    assert (reading.columns.ids, reading.columns.texts) == (IDS, TEXTS)
    session.expire_all()
    assert read_result(rows, 40).unreadable
    assert statements == []


def test_a_cursor_is_left_for_the_app():
    pytest.importorskip("sqlalchemy", reason="make test-clients")
    cursor = shapes.sqlalchemy_cursor()
    read_result(cursor, 40)
    assert len(cursor.all()) == len(TEXTS)


def test_the_page_names_every_client():
    page = PAGE.read_text(encoding="utf-8")
    assert [client.call for client in CLIENTS if f"`{client.call}`" not in page] == []
