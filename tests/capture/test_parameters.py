"""Arguments are bound as ``inspect`` binds them, and the calls that it refuses are refused."""

import inspect
import itertools

import pytest

from ragwheel.capture.parameters import CallParameters


def plain(query, k=5): ...
def keyword_only(query, *, k=5, where=None): ...
def required_keyword(query, *, k): ...
def open_ended(query, k=5, **options): ...
def positional_only(query, k=5, /): ...
def variadic(*queries, k=5): ...
def nothing(): ...


ARGS = [(), ("q",), ("q", 3), ("q", 3, "more")]
KWARGS = [
    dict(chosen)
    for n in range(4)
    for chosen in itertools.combinations([("query", "q"), ("k", 7), ("where", {}), ("other", 1)], n)
]


@pytest.mark.parametrize(
    "function", [plain, keyword_only, required_keyword, open_ended, positional_only, variadic, nothing]
)
def test_every_call_is_bound_as_by_inspect(function):
    signature = inspect.signature(function)
    parameters = CallParameters(signature)
    outcomes = set()
    for args, kwargs in itertools.product(ARGS, KWARGS):
        try:
            expected = dict(signature.bind(*args, **kwargs).arguments)
        except TypeError:
            with pytest.raises(TypeError):
                parameters.bind(args, kwargs)
            outcomes.add("refused")
        else:
            assert dict(parameters.bind(args, kwargs)) == expected
            outcomes.add("bound")
    assert outcomes == {"bound", "refused"}
