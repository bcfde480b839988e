"""What an entrant commits to before the problems exist: weights, tokenizer, template, what it trained on."""

from __future__ import annotations

import json
import re
import secrets
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from whetstone.errors import UsageError
from whetstone.evals.rounds.hashing import canonical, digest, file_root, merkle_root
from whetstone.models.files import read_json
from whetstone.models.hub import is_endpoint, resolve
from whetstone.models.loading import base_name
from whetstone.tasks.ledger import Ledger

WEIGHTS = (".safetensors", ".gguf")
DECIDING = (
    *WEIGHTS,
    ".json",
    ".jinja",
    ".model",
    ".txt",
)  # weights, shape, tokenizer, template, whatever they are called
# lies beside a checkpoint's weights and answers nothing, as long as no index calls it weights
TRAINER_STATE = {"optimizer.safetensors", "state.json", "ledger.json"}
INDEX = "model.safetensors.index.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True)
class Entrant:
    """An entrant's commitment, entrants/NAME.json.

    `files`: Merkle root of each file that decides an answer (weights, shape, tokenizer, template), for an adapter those
    of its base too (under "base/"). `weights` is the root over all of them; empty for a hosted model, of which nothing
    can be proven. `trained_on`: task -> levels, as declared, or as found in the run that made the checkpoint. `ledger`
    is the root of the list of problems it trained on. `nonce` is its share of the round's key.
    """

    name: str
    model: str
    hosted: bool
    weights: str
    files: dict[str, str]
    trained_on: dict[str, list[int]] | None
    control: str
    ledger: str
    trained_problems: int
    looks: int
    nonce: str
    base: str = ""
    backend: dict[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The file's contents."""
        return (json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n").encode()

    def commitment(self) -> str:
        """What enters the round's key."""
        return digest(canonical(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Entrant:
        """Raises UsageError for a damaged file."""
        try:
            data = path.read_bytes()
            entrant = cls(**json.loads(data))
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(f"{path} cannot be read as an entrant ({error})") from error
        if entrant.to_bytes() != data:
            raise UsageError(f"{path} is not in the form in which it was written")
        return entrant


def commit_entrant(
    name: str, model: str, *, declared: dict[str, list[int]] | None, control: str, served: str | None
) -> tuple[Entrant, Ledger]:
    """Read what the model is made of; its `looks` are counted by its weights, which only then are known.

    Raises UsageError for a model that is not there or cannot be hashed."""
    about: dict[str, Any] = {
        "name": name,
        "model": model
        if is_endpoint(model) or model.startswith("hf:") or not Path(model).exists()
        else Path(model).as_posix(),
        "control": control,
        "looks": 0,
        "nonce": secrets.token_hex(32),
    }
    if is_endpoint(model):
        if not served:
            raise UsageError("an endpoint may serve several models: name the one that enters by --served")
        nothing: dict[str, Any] = {"hosted": True, "weights": "", "files": {}, "ledger": "", "trained_problems": 0}
        return Entrant(**about, **nothing, trained_on=declared, backend={"served": served}), Ledger()
    files, base = model_files(model)
    ledger = _ledger(resolve(model))
    return Entrant(
        **about,
        hosted=False,
        weights=weights_root(files),
        files=files,
        base=base,
        trained_on=declared if declared is not None else _found_training(resolve(model)),
        ledger=ledger.root() if len(ledger) else "",
        trained_problems=len(ledger),
    ), ledger


def model_files(model: str) -> tuple[dict[str, str], str]:
    """(name -> Merkle root) of every file that decides an answer, and an adapter's base ("" without one)."""
    folder = resolve(model)
    if folder.is_file():
        return {folder.name: file_root(folder)}, ""
    aside = set() if (folder / INDEX).is_file() else TRAINER_STATE
    chosen = [p for p in sorted(folder.iterdir()) if p.is_file() and p.suffix in DECIDING and p.name not in aside]
    if (folder / INDEX).is_file():
        named = set(read_json(folder / INDEX).get("weight_map", {}).values())
        if elsewhere := sorted(named - {path.name for path in chosen}):
            raise UsageError(f"{folder / INDEX} names weights that do not lie beside it: {', '.join(elsewhere)}")
    if not any(path.suffix in WEIGHTS for path in chosen):
        raise UsageError(f"{folder} holds no weights (*.safetensors or *.gguf)")
    files = {path.name: file_root(path) for path in chosen}
    base = ""
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        base = base_name(str(read_json(folder / "adapter_config.json").get("base_model_name_or_path") or ""), folder)
        below, _ = model_files(base)
        files |= {f"base/{name}": root for name, root in below.items()}
    return files, base


def weights_root(files: dict[str, str]) -> str:
    """One hash for all files of a model."""
    return merkle_root([canonical([name, root]) for name, root in sorted(files.items())])


def parse_declared(texts: Sequence[str]) -> dict[str, list[int]] | None:
    """["addition:1-2", "gcd:3"] as {"addition": [1, 2], "gcd": [3]}; None for nothing; "none" for no training.

    Raises UsageError for what cannot be read so.
    """
    if not texts:
        return None
    declared: dict[str, list[int]] = {}
    for text in texts:
        if text == "none":
            continue
        task, colon, levels = text.rpartition(":")
        first, _, last = levels.partition("-")
        if not colon or not first.isdigit() or not (last or first).isdigit() or int(last or first) < int(first):
            raise UsageError(f"cannot read {text!r}: write TASK:LEVEL, TASK:FIRST-LAST, or none")
        declared.setdefault(task, []).extend(range(int(first), int(last or first) + 1))
    return {task: sorted(set(levels)) for task, levels in declared.items()}


def require_name(name: str) -> str:
    """The name, if files can be called by it and by no other. Raises UsageError."""
    if not NAME.fullmatch(name) or name.endswith(".ledger"):
        raise UsageError(f"{name!r} is no name for an entrant: letters, digits, . _ - (40 at most); give --name")
    return name


def name_for(model: str) -> str:
    """runs/first/checkpoint is called "first"; a folder or a file goes by its name."""
    parts = [part for part in re.split(r"[/:]", model.removesuffix(".gguf")) if part]
    if len(parts) > 1 and parts[-1] == "checkpoint":
        parts.pop()
    return re.sub(r"[^A-Za-z0-9._-]", "-", parts[-1] if parts else "model")[:40]


def _ledger(folder: Path) -> Ledger:
    path = folder / "ledger.json"
    return Ledger.load(path) if path.is_file() else Ledger()


def _found_training(folder: Path) -> dict[str, list[int]] | None:
    """What the run that made this checkpoint trained on, by its config.toml; None where there is no run."""
    for config in (folder.parent / "config.toml", folder.parent.parent / "config.toml"):
        if config.is_file():
            told = tomllib.loads(config.read_text(encoding="utf-8"))
            if isinstance(told.get("task"), str):
                from whetstone.tasks.registry import load_task

                task = load_task(told["task"])
                return {task.name: [int(told.get("level", task.default_level))]}
    return None
