"""Files of a model: JSON in and out, tensors out, and a folder that appears in one step."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from whetstone.errors import UsageError, WorkFailed
from whetstone.files import atomic_folder, new_file_mode


def read_json(path: Path, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    """The JSON object in `path`; `missing` (when given) stands in for a file that does not exist.

    Raises:
        UsageError: no such file, or not a JSON object.
    """
    if not path.is_file() and missing is not None:
        return dict(missing)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as failure:
        raise UsageError(f"{path} does not exist: is {path.parent} a model folder?") from failure
    except (OSError, ValueError) as failure:
        raise UsageError(f"{path} cannot be read as JSON ({failure}): fetch the file again") from failure
    if not isinstance(value, dict):
        raise UsageError(f"{path} should hold a JSON object, not a {type(value).__name__}")
    return value


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object, keys in the order given."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write one safetensors file, as open to others as any new file (the library alone makes it private)."""
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as failure:
        if "os error 28" in str(failure):  # the library hides the error's number in its text
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from failure
        raise
    path.chmod(new_file_mode())


@contextmanager
def replaced_folder(path: str | Path) -> Iterator[Path]:
    """Give an empty folder to fill; when the block ends well it becomes `path`, otherwise it vanishes.

    Raises:
        UsageError: `path` exists and is neither empty nor a model folder (its files would be lost).
        WorkFailed: writing failed (full disk, no permission).
    """
    target = Path(path).absolute()
    ours = target.is_dir() and ((target / "config.json").is_file() or not any(target.iterdir()))
    if target.exists() and not ours:
        raise UsageError(f"{target} is in use and is not a model folder: choose another place")
    try:
        with atomic_folder(target) as partial:
            yield partial
    except (OSError, SafetensorError) as failure:
        raise WorkFailed(f"cannot write {target}: {failure}") from failure
