"""A plugin of pytest that runs the tests in another order: ``make test ARGS="-p tools.shuffle"``.

Files are shuffled, and the tests in each file, so that fixtures of a file are still made once. The header
names the seed; ``SHUFFLE_SEED=…`` gives its order again.
"""

from __future__ import annotations

import os
import random

import pytest

SEED = os.environ.setdefault("SHUFFLE_SEED", str(random.SystemRandom().randrange(2**32)))


def pytest_report_header() -> str:
    """Name the seed of this order."""
    return f"shuffled with SHUFFLE_SEED={SEED}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files, and the tests of each, into an order that follows from the seed."""
    chance = random.Random(SEED)
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    for tests in files.values():
        chance.shuffle(tests)
    items[:] = [item for name in chance.sample(sorted(files), len(files)) for item in files[name]]
