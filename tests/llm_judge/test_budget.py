"""Money and tokens that a run of the judge may use, with requests in flight."""

from __future__ import annotations

import asyncio

import pytest

from ragwheel.llm_judge.budget import Budget, Prices

ASKED = (100, 50)


@pytest.mark.parametrize(
    ("budget", "fit"),
    [
        (Budget(tokens=450), 3),
        (Budget(tokens=449), 2),
        (
            Budget(usd=0.0006, prices=Prices(1.0, 2.0)),
            3,
        ),  # 0.0001 for what goes in, 0.0001 for what comes out
        (Budget(usd=0.0003, prices=Prices(0.0, 2.0)), 3),
        (Budget(usd=0.0003, prices=Prices(1.0, 0.0)), 3),
        (Budget(tokens=300, usd=1.0, prices=Prices(1.0, 1.0)), 2),
    ],
)
async def test_what_is_in_flight_counts_against_the_bound_in_and_out(budget, fit):
    for _ in range(fit):
        assert await budget.reserve(*ASKED)
    with pytest.raises(asyncio.TimeoutError):  # it waits, since those in flight may use less
        await asyncio.wait_for(budget.reserve(*ASKED), 0.05)
    for _ in range(fit):
        await budget.settle(ASKED, ASKED)
    assert not await budget.reserve(*ASKED)
    assert budget.spent.tokens == fit * sum(ASKED)
    assert budget.spent.usd == pytest.approx(budget.prices.of(fit * 100, fit * 50))


async def test_what_was_reserved_and_not_used_is_free_again():
    budget = Budget(tokens=200)
    assert await budget.reserve(*ASKED)
    waiting = asyncio.ensure_future(budget.reserve(*ASKED))
    await asyncio.sleep(0)
    assert not waiting.done()
    await budget.settle(ASKED, (10, 5))
    assert await asyncio.wait_for(waiting, 5)
