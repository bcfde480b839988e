"""Stages of a long job that are done once: each leaves a file when it is over, and a later process reads that instead."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from whetstone.files import atomic_write_json


class Stages:
    """The finished stages of a run, in DIR/stages/NAME.json, with the seconds that each took."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds: dict[str, float] = {}

    def once(self, name: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The stage's result: from its file, or computed now and written there in one step."""
        path = self.folder / f"{name}.json"
        if path.is_file():
            saved: dict[str, Any] = json.loads(path.read_text())
            self.seconds[name] = saved["seconds"]
            result: dict[str, Any] = saved["result"]
            return result
        started = time.monotonic()
        result = compute()
        self.seconds[name] = time.monotonic() - started
        atomic_write_json(path, {"seconds": self.seconds[name], "result": result})
        return result

    def done(self, name: str) -> bool:
        return (self.folder / f"{name}.json").is_file()
