"""`whet bench`: run a benchmark of the repository beside its peer."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from whetstone.errors import UsageError, WorkFailed
from whetstone.runs.provenance import clone_root

# Modules in bench/ that the benchmarks import.
_SHARED = {"report", "peer", "ours", "roofline", "gguf_writer", "processes"}


def bench(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A file of bench/ without its ending, e.g. rlvr.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Run bench/NAME.py; further options go to it.

    Example: `whet bench generate --json`
    """
    root = clone_root()
    if root is None or not (root / "bench").is_dir():
        raise UsageError(
            "benchmarks live in the repository, not in the package: clone it and run `make bench-setup` there"
        )
    available = names(root / "bench")
    if name not in available:
        raise UsageError(f"no benchmark {name!r}: there are {', '.join(available) or 'none yet'}")
    command = [
        sys.executable,
        str(root / "bench" / f"{name}.py"),
        *(["--json"] if json else []),
        *context.args,
    ]
    code = subprocess.run(command, cwd=root, check=False).returncode
    if code == 2:
        raise typer.Exit(2)
    if code != 0:
        raise WorkFailed(f"bench/{name}.py ended with exit code {code}; its own message stands above")


def names(folder: Path) -> list[str]:
    """The benchmarks in the folder, sorted."""
    return sorted(file.stem for file in folder.glob("*.py") if file.stem not in _SHARED)
