"""Checkpoints from which a run continues exactly: weights, optimizer, position, and the sizes of the logs.

No random generator is saved because none is used: every random number is a hash of a key and a position.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from whetstone.errors import UsageError
from whetstone.files import atomic_folder
from whetstone.models.files import write_tensors
from whetstone.models.loading import Loaded, restore_weights, save_weights
from whetstone.tasks.ledger import Ledger
from whetstone.training.trainer import Trainer

OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"
LEDGER = "ledger.json"


def save(folder: Path, loaded: Loaded, trainer: Trainer, state: dict[str, Any], ledger: Ledger) -> None:
    """Write everything under a temporary name, then rename it to `folder`. Raises WorkFailed on a full disk."""
    tensors = {}
    for name, parameter in trainer.parameters.items():
        for field, value in trainer.optimizer.state.get(parameter, {}).items():
            tensors[f"{name}|{field}"] = value.detach().cpu().contiguous()
    with atomic_folder(folder) as temporary:
        save_weights(loaded, temporary)
        write_tensors(tensors, temporary / OPTIMIZER)
        ledger.save(temporary / LEDGER)
        (temporary / STATE).write_text(json.dumps({"step": trainer.steps, **state}, indent=2))


def restore(folder: Path, loaded: Loaded, trainer: Trainer) -> dict[str, Any]:
    """Put weights and optimizer back as they were; returns the saved state. Raises UsageError for a broken folder."""
    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text())
        tensors = load_file(folder / OPTIMIZER, device=str(loaded.model.device))
    except (OSError, ValueError, SafetensorError) as error:
        raise UsageError(f"the checkpoint in {folder} cannot be read ({error}); start the run again") from None
    restore_weights(loaded, folder)
    for key, value in tensors.items():
        name, field = key.rsplit("|", 1)
        trainer.optimizer.state[trainer.parameters[name]][field] = value
    trainer.steps = int(state["step"])
    return state


def exists(folder: Path) -> bool:
    """Whether `folder` holds a checkpoint (a whole one: it appears by a rename)."""
    return (folder / STATE).is_file()
