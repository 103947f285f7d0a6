"""The parameters of a function, read once, so that binding a call's arguments costs next to nothing."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["CallParameters"]

_BY_NAME: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class CallParameters:
    """What planning a call has to know of a function's signature.

    Attributes:
        signature: as ``inspect`` gives it.
        defaults: the default values by name.
        open_name: the name of ``**kwargs``; None where the function has none.
    """

    __slots__ = ("_names", "_positional", "_required", "_simple", "defaults", "open_name", "signature")

    def __init__(self, signature: inspect.Signature) -> None:
        parameters = signature.parameters.values()
        self.signature = signature
        self.defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        self.open_name = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
        self._simple = all(p.kind in _BY_NAME for p in parameters)
        self._positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        self._names = frozenset(signature.parameters)
        self._required = self._names - self.defaults.keys()

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
        """Return the arguments of a call by name, without defaults.

        Raises:
            TypeError: the call does not match the signature.
        """
        if not self._simple:
            return self.signature.bind(*args, **kwargs).arguments
        bound = dict(zip(self._positional, args))
        if len(args) > len(bound) or not bound.keys().isdisjoint(kwargs):
            raise TypeError("too many arguments, or one of them twice")
        bound.update(kwargs)
        if not (self._required <= bound.keys() <= self._names):
            raise TypeError("an argument is missing, or unknown")
        return bound
