"""Forking a process that has threads is what these tests are about; Python 3.12 and later warn of it."""

import pytest

FORKS = "ignore:.*multi-threaded.*fork:DeprecationWarning"


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/torture/" in item.path.as_posix():
            item.add_marker(pytest.mark.filterwarnings(FORKS))
