"""A linear adapter of query vectors: ``q -> |q| * (q + qD) / |q + qD|``, one matrix per segment of queries.

Document vectors do not change, so the index stays valid. The length of a query vector is kept, so cosine and
inner product still rank alike. A query that fits no segment keeps the vector of the base model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragwheel.deploy import files
from ragwheel.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

__all__ = ["Adapter", "Router"]


@dataclass(frozen=True, eq=False)
class Router:
    """Assigns a query to the segment of the nearest centroid, if it is near enough.

    Attributes:
        centroids: (c, d) unit vectors.
        segment: (c,) the number of each centroid's segment.
        floor: (c,) the least cosine of a query in the segment.
    """

    centroids: Floats
    segment: Ints
    floor: Floats

    def segments(self, vectors: Floats) -> Ints:
        """Return the segment numbers (n,) of `vectors` (n, d); -1 for none."""
        import numpy as np

        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        cosine = (vectors / np.maximum(length, 1e-12)) @ self.centroids.T
        nearest = cosine.argmax(axis=1)
        near_enough = cosine[np.arange(len(vectors)), nearest] >= self.floor[nearest]
        numbers: Ints = np.where(near_enough, self.segment[nearest], -1)
        return numbers


@dataclass(frozen=True, eq=False)
class Adapter:
    """An immutable adapter; see :func:`ragwheel.train.train_adapter` and :func:`~ragwheel.train.fit_adapter`.

    Attributes:
        maps: (m, d, d) the matrices D; zero matrices leave vectors unchanged.
        segments: names of the segments, in the router's numbering; empty: one map for all queries.
        map_of: the number of each segment's map; -1: the base model's vector.
        router: assigns queries to segments; None with one map for all queries.
        base: name of the embedding model of the vectors.
        facts: further facts (figures, dataset), stored as JSON beside the tensors.
    """

    maps: Floats
    segments: tuple[str, ...] = ()
    map_of: tuple[int, ...] = ()
    router: Router | None = None
    base: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dimension(self) -> int:
        """The dimension of the vectors."""
        return int(self.maps.shape[-1])

    @property
    def is_identity(self) -> bool:
        """Whether the adapter changes no vector, because nothing better than the base model was found."""
        return not self.maps.any()

    @cached_property
    def id(self) -> str:
        """Twelve hex digits, derived from the matrices."""
        return hashlib.sha256(b"".join(a.tobytes() for a in self._tensors().values())).hexdigest()[:12]

    @property
    def version(self) -> str:
        """The suffix for the version of a retriever with the adapter, such as ``adapter-0f3a91c2d4e5``."""
        return f"adapter-{self.id}"

    def query(self, vectors: ArrayLike, *, segment: str | None = None) -> Floats:
        """Return adapted query vectors in the shape of `vectors`.

        Args:
            vectors: (d,) or (n, d), query vectors of the base model. A vector that is not finite is returned
                unchanged.
            segment: the name of the segment, if the app knows it; by default the router decides.

        Raises:
            ModelError: the vectors have another dimension, or the adapter has no such segment.
        """
        import numpy as np

        batch = np.asarray(vectors, dtype=np.float32)
        if batch.ndim not in {1, 2} or batch.shape[-1] != self.dimension:
            raise ModelError(
                f"adapter {self.id}: got vectors of shape {batch.shape}, allowed: ({self.dimension},) or "
                f"(n, {self.dimension}), as {self.base or 'its base model'} gives them. Use the adapter with "
                "the model that it was trained for, or train another: ragwheel train adapter"
            )
        rows = np.atleast_2d(batch)
        out = rows.copy()
        for number in range(len(self.maps)):
            chosen = np.flatnonzero(self._maps_for(rows, segment) == number)
            if chosen.size:
                out[chosen] = _moved(rows[chosen], self.maps[number])
        return out.reshape(batch.shape)

    def documents(self, vectors: ArrayLike) -> Floats:
        """Return document vectors unchanged: only queries are adapted."""
        import numpy as np

        return np.asarray(vectors, dtype=np.float32)

    def segment_of(self, vectors: ArrayLike) -> list[str | None]:
        """Return the names of the segments of query vectors (n, d); None for unadapted vectors."""
        import numpy as np

        rows = np.atleast_2d(np.asarray(vectors, dtype=np.float32))
        if self.router is None:
            return [None] * len(rows)
        return [None if n < 0 else self.segments[n] for n in self.router.segments(rows)]

    def _maps_for(self, rows: Floats, segment: str | None) -> Ints:
        """Return the number of each row's map, (n,); -1 for none."""
        import numpy as np

        if segment is not None:
            if segment not in self.segments:
                raise ModelError(
                    f"adapter {self.id}: segment={segment!r}, allowed: {', '.join(self.segments) or 'none'}"
                )
            return np.full(len(rows), self.map_of[self.segments.index(segment)])
        if self.router is None:
            return np.zeros(len(rows), dtype=np.int64)
        numbers: Ints = np.array([*self.map_of, -1])[
            self.router.segments(rows)
        ]  # index -1 reads the last entry, which is -1 (none)
        return numbers

    def save(self, folder: str | Path) -> None:
        """Write ``adapter.safetensors`` and ``adapter.json`` into `folder`, each atomically.

        Raises:
            ModelError: the folder cannot be written.
            MissingExtra: safetensors is not installed.
        """
        about = {
            "id": self.id,
            "base": self.base,
            "dimension": self.dimension,
            "segments": list(self.segments),
            "map_of": list(self.map_of),
            "facts": dict(self.facts),
        }
        files.write(Path(folder), self._tensors(), about)

    @classmethod
    def load(cls, folder: str | Path) -> Adapter:
        """Load an adapter that :meth:`save` wrote: tensors and JSON, no executable code.

        Raises:
            ModelError: there is no adapter, it is damaged, or was written by a newer ragwheel.
            MissingExtra: numpy or safetensors is not installed.
        """
        tensors, about = files.read(Path(folder))
        try:
            router = None
            if "centroids" in tensors:
                router = Router(tensors["centroids"], tensors["centroid_segment"], tensors["centroid_floor"])
            adapter = cls(
                tensors["maps"], tuple(about["segments"]), tuple(about["map_of"]), router,
                about["base"], about["facts"],
            )  # fmt: skip
            whole = adapter.id == about["id"] and adapter.dimension == about["dimension"]
        except (KeyError, TypeError, IndexError) as error:
            raise files.damaged(Path(folder), f"{type(error).__name__}: {error}") from error
        if not whole:
            raise files.damaged(Path(folder), "its tensors are not those that adapter.json names")
        return adapter

    def _tensors(self) -> dict[str, Any]:
        import numpy as np

        tensors: dict[str, Any] = {"maps": self.maps}
        if self.router is not None:
            tensors |= {
                "centroids": self.router.centroids,
                "centroid_segment": self.router.segment,
                "centroid_floor": self.router.floor,
            }
        return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


def _moved(rows: Floats, change: Floats) -> Floats:
    """Return ``q + qD`` for rows (n, d), scaled to the old lengths; rows that would not be finite stay."""
    import numpy as np

    with np.errstate(all="ignore"):
        new = rows + rows @ change
        before, after = (np.linalg.norm(each, axis=1, keepdims=True) for each in (rows, new))
        new *= before / after
    moved: Floats = np.where(np.isfinite(new).all(axis=1, keepdims=True), new, rows).astype(np.float32)
    return moved
