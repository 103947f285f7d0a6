from __future__ import annotations

import dataclasses
import enum
import json
import math
import uuid
from collections import OrderedDict
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from types import MappingProxyType

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragwheel.host import safe


class Hostile:
    """Everything a naive reader might call raises."""

    def _raise(self, *args):
        raise RuntimeError("the host's own")

    __str__ = __repr__ = __eq__ = __hash__ = __bool__ = __len__ = __iter__ = __getattr__ = _raise  # type: ignore[assignment]


class LoudStr(str):
    __slots__ = ()

    def _raise(self, *args):
        raise RuntimeError("overridden")

    __str__ = __repr__ = __eq__ = __len__ = __contains__ = encode = isascii = replace = __getitem__ = _raise  # type: ignore[assignment]
    __hash__ = str.__hash__


@pytest.mark.parametrize("value", ["plain", "naïve – 検索 🛞", ""])
def test_a_clean_text_is_the_very_same_object(value):
    out, flags = safe.text(value)
    assert out is value
    assert flags == ()


def test_what_cannot_be_stored_is_replaced_and_named():
    assert safe.text("a\ud800b") == ("a\ufffdb", ("surrogate",))
    assert safe.text("\ud83d\ude00") == ("\ufffd\ufffd", ("surrogate",))
    assert safe.text("a\0b") == ("a\ufffdb", ("nul",))
    assert safe.text("abcdef", max_chars=3) == ("abc", ("truncated",))
    assert safe.text(b"ab\xff") == ("ab\ufffd", ("bytes",))
    assert safe.text(None) == ("", ("no_text",))
    assert safe.text(7) == ("", ("not_text",))
    assert safe.text(Hostile()) == ("", ("not_text",))


def test_a_subclass_becomes_an_exact_str_without_its_overrides():
    out, flags = safe.text(LoudStr("x\0"))
    assert type(out) is str
    assert (out, flags) == ("x\ufffd", ("nul",))


def test_a_lying_class_attribute_is_not_believed():
    class Liar:
        @property
        def __class__(self):
            return str

    assert safe.text(Liar()) == ("", ("not_text",))


def test_ten_megabytes_are_cut():
    out, flags = safe.text("ü" * 10_000_000)
    assert len(out) == safe.MAX_CHARS
    assert flags == ("truncated",)
    out, flags = safe.text(("ü" * 10_000_000).encode())
    assert out == "ü" * safe.MAX_CHARS
    assert flags == ("bytes", "truncated")


def test_a_clean_list_comes_back_itself():
    values = ["a", "ü", ""]
    out, flags = safe.texts(values)
    assert out is values
    assert flags == ()
    assert safe.texts([]) == ([], ())


def test_a_list_is_cleaned_text_by_text():
    assert safe.texts(["a", "b\0", None, LoudStr("c")]) == (["a", "b\ufffd", "", "c"], ("nul", "no_text"))
    assert safe.texts(["aaa", "b"], max_chars=2) == (["aa", "b"], ("truncated",))
    # two halves of a pair in two texts do not make one character
    assert safe.texts(["a\ud83d", "\ude00b"]) == (["a\ufffd", "\ufffdb"], ("surrogate",))


@given(st.lists(st.text(alphabet=st.characters() | st.sampled_from("\0\ud800\udfff"))))
def test_a_list_gives_what_its_texts_give(values):
    out, flags = safe.texts(list(values), max_chars=5)
    assert out == [safe.text(value, 5)[0] for value in values]
    assert set(flags) == {flag for value in values for flag in safe.text(value, 5)[1]}
    "".join(out).encode()


class Tensor:
    """A 0-dimensional torch.Tensor, as far as it is looked at (importing torch takes half a minute)."""

    dtype, shape = "float32", ()

    def item(self):
        return 0.5


def test_numbers():
    numpy = pytest.importorskip("numpy")
    assert safe.number(3) == 3.0
    assert safe.number(Decimal("0.25")) == 0.25
    assert safe.number(numpy.float32(0.5)) == 0.5
    assert safe.number(numpy.int64(4)) == 4.0
    assert safe.number(Tensor()) == 0.5
    assert type(safe.number(numpy.float64(1.5))) is float


@pytest.mark.parametrize(
    "value",
    [None, True, "0.5", math.nan, math.inf, 10**400, Decimal("sNaN"), Decimal("1e999"), [1.0]],
)
def test_what_is_no_finite_number_is_none(value):
    assert safe.number(value) is None


def test_a_hostile_object_is_no_number():
    assert safe.number(Hostile()) is None


def test_usual_values_become_json():
    class Colour(enum.Enum):
        RED = ("r", 1)

    class Level(enum.IntEnum):
        HIGH = 3

    @dataclasses.dataclass
    class Where:
        page: int
        tags: set[str]

    class Model(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="allow")
        a: int
        secret: str = pydantic.Field("x", exclude=True)

    value = {
        "when": datetime(2024, 2, 3, 4, 5, tzinfo=timezone.utc),
        "day": date(2024, 2, 3),
        "id": uuid.UUID(int=5),
        "price": Decimal("12.50"),
        "path": PurePosixPath("/a/b"),
        "raw": b"bytes",
        "colour": Colour.RED,
        "level": Level.HIGH,
        "where": Where(3, {"b", "a"}),
        "model": Model(a=1, more=[None, True]),  # type: ignore[call-arg]
        "proxy": MappingProxyType({1: "one", None: 0, False: 1.5}),
        "tuple": (1, 2.5),
    }
    plain, flags = safe.jsonable(OrderedDict(value))
    assert flags == ("bytes",)
    assert plain == {
        "when": "2024-02-03T04:05:00+00:00",
        "day": "2024-02-03",
        "id": "00000000-0000-0000-0000-000000000005",
        "price": "12.50",
        "path": "/a/b",
        "raw": "bytes",
        "colour": ["r", 1],
        "level": 3,
        "where": {"page": 3, "tags": ["a", "b"]},
        "model": {"a": 1, "more": [None, True]},
        "proxy": {"1": "one", "null": 0, "false": 1.5},
        "tuple": [1, 2.5],
    }


def test_numpy_scalars_are_opened_and_arrays_are_not():
    numpy = pytest.importorskip("numpy")
    plain, flags = safe.jsonable([numpy.float32(0.5), numpy.bool_(True), numpy.str_("s"), numpy.zeros(3)])
    assert plain == [0.5, True, "s", {"__type__": "numpy.ndarray"}]
    assert flags == ("opaque",)


def test_what_cannot_be_kept_is_named():
    cycle: dict[str, object] = {}
    cycle["self"] = cycle
    assert safe.jsonable(cycle) == ({"self": {"__type__": "builtins.dict"}}, ("cycle",))
    assert safe.jsonable([math.nan, -math.inf]) == ([None, None], ("nan",))
    assert safe.jsonable(2**64) == ("18446744073709551616", ("bigint",))
    assert safe.jsonable(-(2**63)) == (-(2**63), ())
    assert safe.jsonable({"1": "a", 1: "b"}) == ({"1": "a"}, ("key_clash",))
    assert safe.jsonable([[[]]], max_depth=2) == ([[{"__type__": "builtins.list"}]], ("deep",))
    assert safe.jsonable(list(range(9)), max_items=3) == ([0, 1, 2], ("items",))
    huge, flags = safe.jsonable(1 << 100_000)
    assert isinstance(huge, str)
    assert flags == ("bigint",)


def test_a_shared_member_is_no_cycle():
    shared = [1]
    assert safe.jsonable([shared, shared]) == ([[1], [1]], ())


def test_hostile_objects_are_opaque_and_untouched():
    plain, flags = safe.jsonable({"x": Hostile(), "y": [LoudStr("ok")]})
    assert plain == {"x": {"__type__": f"{__name__}.Hostile"}, "y": ["ok"]}
    assert flags == ("opaque",)


def test_a_property_that_raises_costs_that_value_only():
    @dataclasses.dataclass
    class Broken:
        x: int

        def __getattribute__(self, name):
            if name == "x":
                raise OSError("gone")
            return object.__getattribute__(self, name)

    plain, flags = safe.jsonable([1, Broken(1)])
    assert plain[0] == 1  # type: ignore[index]
    assert flags == ("opaque",)


def test_iterators_are_not_consumed():
    stream = iter([1, 2])
    plain, flags = safe.jsonable({"stream": stream})
    assert flags == ("opaque",)
    assert list(stream) == [1, 2]
    assert plain == {"stream": {"__type__": "builtins.list_iterator"}}


def test_the_characters_of_a_value_are_bounded():
    plain, flags = safe.jsonable(["x" * 700_000, "y" * 700_000])
    assert len(json.dumps(plain)) < 1_000_100
    assert flags == ("truncated",)


_LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters() | st.just("\ud800"))
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner) | st.dictionaries(_LEAVES.filter(lambda k: k == k), inner) | st.tuples(inner)
    ),
)


@given(_VALUES)
def test_the_result_is_always_strict_json(value):
    plain, _ = safe.jsonable(value)
    json.dumps(plain, allow_nan=False).encode()
    assert safe.jsonable(plain, max_depth=99) == (plain, ())
