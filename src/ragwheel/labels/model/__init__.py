"""The generative label model: how often relevant and irrelevant chunks are cited, opened, read and voted on.

``cells`` numbers what can be observed, ``response`` estimates who reacts at all, ``statistics`` counts in the
relational engine, ``channels`` holds the rates of each instrument, ``fit`` learns them by
expectation-maximisation, ``learned`` is the result, and ``beliefs`` applies it to every pair in the engine.
"""

from __future__ import annotations

__all__: list[str] = []
