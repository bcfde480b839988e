"""Which model, which day: what a run must find again, unchanged, when it is resumed."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from whetstone.models.hub import resolve
from whetstone.models.loading import Loaded
from whetstone.runs import provenance


def first_day(noted: Path) -> datetime:
    """When the run began, as provenance.json (`noted`) says, else now.

    Some chat templates tell the model the date, and every prompt of a run must say the same one.
    """
    if noted.is_file():
        origin = json.loads(noted.read_text(encoding="utf-8"))
        if "today" in origin:
            return datetime.fromisoformat(origin["today"])
    return datetime.now().replace(microsecond=0)


def about_model(loaded: Loaded) -> dict[str, Any]:
    """{name, sha256, parameters}; of an adapter, with {name, sha256} of its base: it says nothing without that."""
    model: dict[str, Any] = {**_identity(loaded.name, loaded.folder), "parameters": loaded.parameters}
    if loaded.base != loaded.name:
        model["base"] = _identity(loaded.base, resolve(loaded.base))
    return model


def _identity(name: str, folder: Path) -> dict[str, str]:
    """A folder or file goes by its own name: the way to it says nothing."""
    return {
        "name": Path(name).name if Path(name).exists() else name,
        "sha256": provenance.weights_sha256(folder),
    }
