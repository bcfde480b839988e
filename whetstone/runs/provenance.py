"""Where a result comes from: versions, commit, hardware, hashes, the command that reproduces it."""

import hashlib
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from whetstone.runs import machine

_PACKAGES = ("whetstone-lab", "torch", "numpy", "scipy", "tokenizers", "safetensors")


def collect() -> dict[str, Any]:
    """What a reader needs to repeat a run: software, machine, command. Plain JSON."""
    hardware = machine.describe()
    return {
        "command": command_line(),
        "versions": versions(),
        "commit": git_commit(),
        "system": platform.platform(),
        "hardware": hardware.to_dict(),
        "machine": str(hardware),
        "threads": _threads(),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the result; absent ones are left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def command_line(arguments: Sequence[str] | None = None) -> str:
    """The command as one would type it: `whet sharpen --out runs/first`. arguments: sys.argv unless given."""
    program, *rest = sys.argv if arguments is None else arguments
    name = Path(program).name
    return shlex.join(["whet" if name in {"whet", "__main__.py"} else name, *rest])


def clone_root() -> Path | None:
    """Root of the repository this package is run from; None if it was installed from a wheel."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").exists() and (root / "whetstone").is_dir() else None


def git_commit() -> str | None:
    """Commit of the clone, with `+changes` if tracked files differ from it; None outside a clone."""
    root = clone_root()
    if root is None or not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}+changes" if changed else commit


def sha256_file(path: Path) -> str:
    """Hex digest of a file's bytes, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_folder(path: Path) -> str:
    """Hex digest of a folder: of the list of its files' relative paths and digests, sorted by path.

    Hidden files and folders (locks, caches) do not count. Raises FileNotFoundError if there is no folder.
    """
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is not a folder")
    names = sorted(
        entry.relative_to(path).as_posix()
        for entry in path.rglob("*")
        if entry.is_file() and not any(part.startswith(".") for part in entry.relative_to(path).parts)
    )
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{len(name.encode())}:{name}:{sha256_file(path / name)}\n".encode())
    return digest.hexdigest()


def weights_sha256(folder: Path) -> str:
    """The digest by which a run names the model in a folder: of its one file of weights, else of the whole folder."""
    weights = folder / "model.safetensors"
    return sha256_file(weights) if weights.is_file() else sha256_folder(folder)


def _git(root: Path, *arguments: str) -> str:
    answer = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return answer.stdout.strip()


def _threads() -> int:
    import torch

    return torch.get_num_threads()
