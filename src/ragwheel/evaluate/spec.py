"""``NAME=SPEC`` of the command line to systems."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ragwheel.deploy.fusing import Fusion
from ragwheel.errors import ConfigurationError
from ragwheel.evaluate.models import adapter, embedder, reranked
from ragwheel.evaluate.systems import (
    System,
    bm25,
    captured,
    from_callable,
    from_run,
    hybrid,
    tuned_hybrid,
)

if TYPE_CHECKING:
    from ragwheel.models.loading import Prompts

__all__ = ["SPECS", "parse_system"]

#: What can be named, and what it is.
SPECS: Final = {
    "bm25": "BM25 over the corpus",
    "embedder:MODEL": "a folder, a hub id, or minilm",
    "adapter:FOLDER": "what ragwheel train adapter wrote, on the vectors of its base model",
    "hybrid:A+B": "two systems by reciprocal rank fusion, for example hybrid:bm25+embedder:minilm",
    "fusion:FOLDER": "what ragwheel train fusion wrote: two systems by tuned weights",
    "reranker:MODEL over SYSTEM": "a re-ranker over the first 40 of another system",
    "captured[:VERSION]": "the rankings in the traces: the app's own retriever",
    "run:FILE": "a TREC run file",
    "python:MODULE:FUNCTION": "function(query, k) giving ids, in rank order",
}

_OVER: Final = re.compile(r"\s+over\s+")


def parse_system(text: str, base: str | None = None, *, prompts: Prompts | None = None) -> System:
    """A system from ``NAME=SPEC``, or from ``SPEC`` alone, which then is its own name.

    Args:
        text: see :data:`SPECS`.
        base: the embedder (``embedder:…``) that adapters work on which do not say so themselves.
        prompts: what embedders put before texts, by role, instead of their own.

    Raises:
        ConfigurationError: there is no such kind of system, or it cannot be found.
    """
    name, equals, spec = text.partition("=")
    if not equals or not re.fullmatch(r"[\w .+-]+", name.strip()):
        name, spec = "", text
    return _system(spec.strip(), name.strip() or _short(spec.strip()), base, prompts)


def _system(spec: str, name: str, base: str | None, prompts: Prompts | None) -> System:
    kind, _, rest = spec.partition(":")
    if kind == "reranker" and rest:
        model, *over = _OVER.split(rest, maxsplit=1)
        if over:
            return reranked(model, _system(over[0], over[0], base, prompts), name)
    elif kind == "hybrid" and "+" in rest:
        first, second = rest.split("+", 1)
        parts = (_system(part, part, base, prompts) for part in (first, second))
        return hybrid(next(parts), next(parts), name)
    elif spec == "bm25":
        return bm25(name)
    elif kind == "captured":
        return captured(rest, name)
    elif rest:
        return _of_one_part(kind, rest, name, base, prompts)
    raise _unknown(spec)


def _of_one_part(kind: str, rest: str, name: str, base: str | None, prompts: Prompts | None) -> System:
    if kind == "embedder":
        return embedder(rest, name, prompts=prompts)
    if kind == "adapter":
        return adapter(rest, name, _base_model(base), prompts=prompts)
    if kind == "fusion":
        return _fusion(rest, name, base, prompts)
    if kind == "run":
        return from_run(rest, name)
    if kind == "python":
        return _function(rest, name)
    raise _unknown(f"{kind}:{rest}")


def _fusion(folder: str, name: str, base: str | None, prompts: Prompts | None) -> System:
    fusion = Fusion.load(folder)
    if len(fusion.retrievers) != 2:
        raise ConfigurationError(f"fusion:{folder} names {len(fusion.retrievers)} systems; allowed: two.")
    first, second = (_system(spec, spec, base, prompts) for spec in fusion.retrievers)
    return tuned_hybrid(fusion, first, second, name, f"fusion:{folder}")


def _base_model(base: str | None) -> str | None:
    return base.partition(":")[2] if base and base.startswith("embedder:") else None


def _unknown(spec: str) -> ConfigurationError:
    return ConfigurationError(f"There is no system {spec!r}; allowed: {'; '.join(SPECS)}.")


def _function(place: str, name: str) -> System:
    module, _, attribute = place.partition(":")
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as exc:
        raise ConfigurationError(
            f"python:{place} cannot be found: {exc}. Expected python:MODULE:FUNCTION, importable from "
            f"{Path.cwd()}."
        ) from exc
    finally:
        sys.path.remove(str(Path.cwd()))
    if not callable(function):
        raise ConfigurationError(f"python:{place} is {type(function).__name__}; expected function(query, k).")
    return from_callable(function, name, f"python:{place}")


def _short(spec: str) -> str:
    """``embedder:models/mine`` → ``mine``: the last part of a path, with what it stands over."""
    parts = [Path(part.partition(":")[2] or part).name for part in _OVER.split(spec)]
    return " over ".join(parts)
