"""At full size (``python -m tests.torture``) forks and tests are counted, and no test begins when the
minutes are over.
"""

import os
import time

import pytest
from tests.torture.counts import COUNTS, count
from tests.torture.workload import SEED

UNTIL = os.environ.get("RAGWHEEL_TORTURE_UNTIL")  # tests run without the settings of whoever started them
LONG = ("test_sigkill_at_random_points", "test_many_forks", "test_while_processes_write", "runTest")

if COUNTS in os.environ:
    os.register_at_fork(after_in_parent=lambda: count("forks"))


def pytest_collection_modifyitems(items):
    if UNTIL:  # everything has its turn before what takes minutes; the next round begins with that
        items.sort(key=lambda item: item.name.startswith(LONG) == bool(SEED % 2))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    if UNTIL and time.time() > float(UNTIL):
        pytest.skip("the minutes are over")


def pytest_runtest_logreport(report):
    if report.when == "call" or (report.when == "setup" and report.skipped):
        count(f"tests {report.outcome}")
