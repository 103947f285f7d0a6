"""What the store holds, as tables of the relational engine: reading, exposure, texts and names."""

from __future__ import annotations

__all__: list[str] = []
