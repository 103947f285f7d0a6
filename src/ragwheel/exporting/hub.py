"""Pushing a dataset folder to the Hugging Face hub, or to another hub with its API (``HF_ENDPOINT``)."""

from __future__ import annotations

from pathlib import Path

from ragwheel.datasets import open_dataset
from ragwheel.datasets.options import SPLITS
from ragwheel.datasets.parts import part_files
from ragwheel.errors import DatasetError, MissingExtra

__all__ = ["push_to_hub"]


def push_to_hub(dataset: str | Path, repo: str, *, private: bool = True, token: str | None = None) -> str:
    """Push every config and split with ``datasets``, then the card and the manifest.

    The repository is private by default, since the texts are those of the app's own sources.

    Args:
        dataset: a folder that ``ragwheel build`` wrote.
        repo: ``owner/name``; it is created if it does not exist.
        private: whether a new repository is private.
        token: the access token; None: that of ``hf auth login`` or ``HF_TOKEN``.

    Returns:
        The address of the dataset.

    Raises:
        DatasetError: the folder is damaged, or the hub refuses.
        MissingExtra: the package ``datasets`` is not installed.
    """
    opened = open_dataset(dataset)
    try:
        from datasets import Dataset, DatasetDict
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError as exc:
        raise MissingExtra(f"Pushing needs {exc.name}. Install it with: pip install datasets") from exc
    try:
        for config in opened.configs:
            tables = {split: opened.rows(config, split) for split in SPLITS}
            splits = {split: Dataset(table) for split, table in tables.items() if table.num_rows}
            if splits:
                DatasetDict(splits).push_to_hub(repo, config, private=private, token=token)
        api = HfApi(token=token)
        beside = [opened.folder / name for name in ("provenance.parquet", "splits.parquet")]
        for path in (
            opened.folder / "manifest.json",
            *(part for table in beside for part in part_files(table)),
        ):
            name = path.relative_to(opened.folder).as_posix()
            api.upload_file(
                path_or_fileobj=path,
                path_in_repo=f"ragwheel/{name}",
                repo_id=repo,
                repo_type="dataset",
            )
    except (HfHubHTTPError, HFValidationError, OSError) as exc:
        raise DatasetError(
            f"{repo} could not be pushed: {exc}. Check the name (owner/name) and that you may write there: "
            f"hf auth whoami"
        ) from exc
    return f"{api.endpoint}/datasets/{repo}"
