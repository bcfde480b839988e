"""Stages of a long job, each done once: it leaves a file when it is over, and a later process reads that instead."""

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
        """Call it only while holding the run's lock: it removes what a killed process left half-written."""
        self.folder = folder
        self.seconds: dict[str, float] = {}
        self.earlier = 0.0  # seconds of the stages that an earlier process did
        for left_over in folder.glob(".*.part"):
            left_over.unlink()

    def once(self, name: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The stage's result: from its file, or computed now and written there in one step."""
        path = self.folder / f"{name}.json"
        if path.is_file():
            saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if name not in self.seconds:
                self.seconds[name] = saved["seconds"]
                self.earlier += saved["seconds"]
            result: dict[str, Any] = saved["result"]
            return result
        started = time.monotonic()
        result = compute()
        self.seconds[name] = time.monotonic() - started
        atomic_write_json(path, {"seconds": self.seconds[name], "result": result})
        return result

    def forget(self) -> None:
        """Remove every stage: what they measured is not what the run is about any more."""
        for path in self.folder.glob("*.json"):
            path.unlink()
        self.seconds, self.earlier = {}, 0.0

    def done(self, name: str) -> bool:
        """Whether the stage was over before or is now."""
        return (self.folder / f"{name}.json").is_file()
