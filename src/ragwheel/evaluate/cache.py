"""Vectors that were computed once are not computed again.

A folder per model, in it files of some hundred vectors each, named by content. A file appears whole or not at
all, so that an interrupted evaluation goes on where it was; the folder may be deleted at any time.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ragwheel.files import replacing

__all__ = ["VectorCache", "cache_folder"]

_BLOCK: Final = 512
_WIDTH: Final = 16

Vectors = npt.NDArray[np.float32]


def cache_folder() -> Path:
    """Where vectors are kept: ``RAGWHEEL_CACHE``, or ``ragwheel`` in the user's cache folder."""
    if named := os.environ.get("RAGWHEEL_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ragwheel"


class VectorCache:
    """The vectors of one model.

    Args:
        folder: see :func:`cache_folder`.
        model: identifies the model and how it is used; of two that give different vectors, no two are equal.
    """

    def __init__(self, folder: Path, model: str) -> None:
        self.folder = folder / "vectors" / blake2b(model.encode(), digest_size=16).hexdigest()
        self._known: dict[bytes, Vectors] | None = None

    def get(
        self,
        texts: Sequence[str],
        compute: Callable[[list[str]], Vectors],
        progress: Callable[[int, int], None] | None = None,
    ) -> Vectors:
        """The vectors of the texts, computed where they are not known yet and kept as they come.

        Args:
            texts: any number.
            compute: vectors of shape (texts, dimension) for some hundred texts at a time.
            progress: called with how many of how many distinct texts are done.

        Returns:
            float32 of shape (texts, dimension); of no texts, (0, 0).
        """
        if not texts:
            return np.zeros((0, 0), dtype=np.float32)
        known = self._load()
        keys = [_key(text) for text in texts]
        todo = {key: text for key, text in zip(keys, texts) if key not in known}
        # of like length together: less padding in a batch
        order = sorted(todo, key=lambda key: (-len(todo[key]), key))
        total = len(set(keys))
        for start in range(0, len(order), _BLOCK):
            some = order[start : start + _BLOCK]
            vectors = np.asarray(compute([todo[key] for key in some]), dtype=np.float32)
            known.update(zip(some, vectors))
            self._keep(some, vectors)
            if progress is not None:
                progress(total - len(order) + start + len(some), total)
        return np.stack([known[key] for key in keys])

    def _load(self) -> dict[bytes, Vectors]:
        if self._known is None:
            self._known = {}
            for path in sorted(self.folder.glob("*.npz")):
                try:
                    with path.open("rb") as file, np.load(file, allow_pickle=False) as part:
                        self._known.update(zip(map(bytes, part["keys"]), part["vectors"]))
                except (OSError, ValueError, KeyError, zipfile.BadZipFile):
                    path.unlink(missing_ok=True)  # damaged: what was in it is computed again
        return self._known

    def _keep(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        name = blake2b(b"".join(keys), digest_size=16).hexdigest()
        packed = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, _WIDTH)
        with replacing(self.folder / f"{name}.npz", private=True) as part, part.open("wb") as file:
            np.savez(file, keys=packed, vectors=vectors)


def _key(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_WIDTH).digest()
