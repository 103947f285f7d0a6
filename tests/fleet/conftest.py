"""Servers that are closed at the end."""

from __future__ import annotations

import pytest
from tests.fleet.servers import NOW_NS, Server


@pytest.fixture
def server(tmp_path):
    """Makes servers; each is closed at the end."""
    made = []

    def make(name, *, start_ns=NOW_NS):
        made.append(Server(tmp_path / f"{name}.db", len(made) + 1, start_ns))
        return made[-1]

    yield make
    for each in made:
        each._connection.close()
