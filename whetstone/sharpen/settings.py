"""What a sharpening run was asked to do: one small table, written to DIR/config.toml and read back by resume."""

from __future__ import annotations

import json
import shlex
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from whetstone.errors import UsageError
from whetstone.evals.controls import CONTROLS, Control
from whetstone.files import atomic_write_text
from whetstone.tasks.keys import DEFAULT_SEED
from whetstone.training.objectives import OBJECTIVES

# Peak learning rates found by the trials in docs/log.md; low-rank adapters want about ten times more.
LEARNING_RATE = {"full": 2e-5, "lora": 2e-4}
DEFAULT_MINUTES = 14.0
# Options that only Python has: `whet sharpen` shows what a first-time user may want to turn.
WITHOUT_FLAG = frozenset({"oversample", "lora_rank", "pool_problems", "pool_samples", "vote_samples", "save_every"})


def _known_objective(name: str) -> str:
    if name not in OBJECTIVES:
        raise ValueError(f"unknown objective {name!r}; choose one of {', '.join(OBJECTIVES)}")
    return name


class Settings(BaseModel):
    """One dial, `minutes` (or `steps`); everything else has a default that was measured."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    model: str = "smollm2-135m"
    task: str = "addition"
    level: int | None = None
    method: Literal["full", "lora"] = "full"
    minutes: float | None = Field(default=None, gt=0)  # where `steps` is absent: DEFAULT_MINUTES
    steps: int | None = Field(default=None, ge=1)
    seed: int = Field(default=DEFAULT_SEED, ge=0, lt=2**63)
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    learning_rate: float | None = Field(default=None, gt=0)
    prompts: int = Field(default=16, ge=1)
    group_size: int = Field(default=8, ge=2)
    oversample: float = Field(default=2.0, ge=1)
    temperature: float = Field(default=0.8, ge=1e-4, le=100)
    objective: Annotated[str, AfterValidator(_known_objective)] = "trust_region"
    lora_rank: int = Field(default=32, ge=1)
    style: str = "only"
    problems: int = Field(default=500, ge=8)
    pool_problems: int = Field(default=64, ge=4)
    pool_samples: int = Field(default=16, ge=2)
    vote_samples: int = Field(default=8, ge=2)
    twin: bool = True  # the control that costs least to doubt: trained on coin flips
    controls: tuple[Literal["format", "inverted"], ...] = ()  # further twins (evals/controls.py)
    keep_twins: bool = False
    save_every: int = Field(default=5, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _one_length(cls, values: dict[str, Any]) -> dict[str, Any]:
        minutes, steps = values.get("minutes"), values.get("steps")
        if minutes is not None and steps is not None:
            raise ValueError("give minutes or steps, not both")
        return values if steps is not None or minutes is not None else {**values, "minutes": DEFAULT_MINUTES}

    @property
    def rate(self) -> float:
        """Peak learning rate."""
        return self.learning_rate or LEARNING_RATE[self.method]

    def twins(self) -> list[Control]:
        """The controls to train, in their order."""
        return [CONTROLS[name] for name in (*(["random"] if self.twin else []), *dict.fromkeys(self.controls))]

    def anchored(self) -> Settings:
        """The same with the paths of model and task made absolute: a run is resumed from anywhere."""
        changes = {}
        if self.model and Path(self.model).expanduser().exists():
            changes["model"] = str(Path(self.model).expanduser().absolute())
        file, colon, name = self.task.rpartition(":")
        if colon and Path(file).is_file():
            changes["task"] = f"{Path(file).absolute()}:{name}"
        return self.model_copy(update=changes)

    def command(self, out: Path) -> str:
        """What asks for the same again: a shell command, or a call in Python where an option has no flag."""
        asked = {name: value for name, value in self if value != type(self).model_fields[name].default}
        if WITHOUT_FLAG & asked.keys():
            return f"whetstone.sharpen({', '.join([repr(str(out)), *(f'{k}={v!r}' for k, v in asked.items())])})"
        words = ["whet", "sharpen"]
        for name, value in asked.items():
            match name:
                case "method":
                    words.append("--lora")
                case "twin":
                    words.append("--no-twin")
                case "keep_twins":
                    words.append("--keep-twins")
                case "controls":
                    words += [word for control in value for word in ("--control", control)]
                case _:
                    words += [f"--{name.replace('_', '-')}", str(value)]
        return shlex.join([*words, "--out", str(out)])

    def save(self, path: Path) -> None:
        """Write as TOML."""
        lines = ["# what `whet sharpen` was asked to do; `whet resume` reads it back\n"]
        for name, value in self.model_dump(exclude_none=True).items():
            # JSON scalars are TOML scalars, but for the pairs of \u escapes beyond the basic plane
            lines.append(f"{name} = {json.dumps(value, ensure_ascii=False)}\n")
        atomic_write_text(path, "".join(lines))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read config.toml. Raises UsageError with the file and the key that is wrong."""
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} cannot be read: {error}") from None
        try:
            return cls.checked(**content)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None

    @classmethod
    def checked(cls, **values: object) -> Self:
        """Build from options. Raises UsageError naming the first wrong one and what it should be."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UsageError(_explain(error)) from None


def _explain(error: ValidationError) -> str:
    """The first problem of several, in one line."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    if first["type"] == "extra_forbidden":
        return f"there is no setting {name!r}"
    if name == "device":
        return f"unknown device {first['input']!r}; choose cpu or cuda"
    message = first["msg"].removeprefix("Input ")
    return f"{name} {message}, not {first['input']!r}"
