"""A run's directory, read: the object behind `whetstone.Run`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from whetstone.errors import UsageError
from whetstone.models.loading import Loaded, load
from whetstone.runs.directory import RunDirectory, RunState
from whetstone.runs.metrics import read
from whetstone.sharpen.settings import Settings


class Run:
    """What `whet sharpen --out PATH` left, or is leaving, in PATH. Reading takes no lock and changes nothing."""

    def __init__(self, path: str | Path) -> None:
        """Raises UsageError if there is no run in the directory."""
        self._directory = RunDirectory.open(Path(path), writing=False)
        self.path = self._directory.path

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.state.value})"

    @property
    def state(self) -> RunState:
        """Started or finished."""
        return self._directory.state

    @property
    def config(self) -> Settings:
        """What was asked for. Raises UsageError for a config.toml that cannot be read."""
        return Settings.load(self._directory.config)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """One row per training step so far (docs/metrics.md says what each number means)."""
        return read(self._directory.metrics)

    @property
    def timing(self) -> list[dict[str, Any]]:
        """Seconds and tokens of each step so far."""
        return read(self._directory.timing)

    @property
    def samples(self) -> list[dict[str, Any]]:
        """One group of answers per step so far, with verdicts."""
        return read(self._directory.samples)

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, hardware, hashes, commitments. Raises UsageError while nothing was measured yet."""
        return self._json(self._directory.provenance, "has measured nothing yet")

    @property
    def report(self) -> dict[str, Any]:
        """report.json. Raises UsageError for a run that is not finished."""
        if self.state is not RunState.FINISHED:
            raise UsageError(f"the run in {self.path} has no report yet: `whet resume {self.path}` finishes it")
        return self._json(self._directory.report_json, "has no report yet")

    def model(self, device: str = "cpu") -> Loaded:
        """The model as it was last saved: the sharpened one, once training is over.

        Raises UsageError while there is no checkpoint, or for a device that is not there.
        """
        if not (self._directory.checkpoint / "state.json").is_file():
            raise UsageError(
                f"the run in {self.path} has saved no model yet: `whet resume {self.path}` goes on with it"
            )
        return load(str(self._directory.checkpoint.absolute()), device)

    def _json(self, path: Path, missing: str) -> dict[str, Any]:
        if not path.is_file():
            raise UsageError(f"the run in {self.path} {missing}: `whet resume {self.path}` goes on with it")
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
