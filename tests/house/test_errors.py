"""The tree of exceptions that errors.py draws is the tree that it defines."""

from __future__ import annotations

import re

from ragwheel import errors


def drawn_tree() -> dict[str, str | None]:
    """Class name -> name of the class above it, read off the drawing in the docstring."""
    tree: dict[str, str | None] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"    ((?:[│├└─]|\s)*)([A-Z]\w+)", line):
            depth = len(found[1]) // 4
            del above[depth:]
            tree[found[2]] = above[-1] if above else None
            above.append(found[2])
    return tree


def test_drawn_tree_is_the_real_one():
    real = {name: getattr(errors, name).__bases__[0].__name__ for name in errors.__all__}
    real["RagwheelError"] = None
    assert drawn_tree() == real


def test_docstring_names_the_builtin_bases():
    for name in errors.__all__:
        for base in getattr(errors, name).__bases__[1:]:
            line = next(line for line in errors.__doc__.splitlines() if re.search(rf"\b{name}\b", line))
            assert base.__name__ in line, f"{name} is also a {base.__name__}: the drawing does not say so"
