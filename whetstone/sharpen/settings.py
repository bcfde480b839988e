"""What a sharpening run was asked to do: one small table, written to DIR/config.toml and read back by resume."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from whetstone.errors import UsageError
from whetstone.files import atomic_write_text

# Peak learning rates found by the trials in docs/log.md; low-rank adapters want about ten times more.
LEARNING_RATE = {"full": 1e-5, "lora": 2e-4}


class Settings(BaseModel):
    """One dial, `minutes` (or `steps`); everything else has a default that was measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = "smollm2-135m"
    task: str = "addition"
    level: int | None = None
    method: Literal["full", "lora"] = "full"
    minutes: float | None = Field(default=14.0, gt=0)
    steps: int | None = Field(default=None, ge=1)
    seed: int = 0
    device: str = "cpu"
    learning_rate: float | None = Field(default=None, gt=0)
    prompts: int = Field(default=16, ge=1)
    group_size: int = Field(default=8, ge=2)
    oversample: float = Field(default=2.0, ge=1)
    objective: str = "trust_region"
    lora_rank: int = Field(default=32, ge=1)
    style: str = "only"
    problems: int = Field(default=500, ge=8)
    pool_problems: int = Field(default=128, ge=4)
    pool_samples: int = Field(default=16, ge=2)
    twin: bool = True
    save_every: int = Field(default=5, ge=1)

    @property
    def rate(self) -> float:
        """Peak learning rate."""
        return self.learning_rate or LEARNING_RATE[self.method]

    def save(self, path: Path) -> None:
        """Write as TOML."""
        lines = ["# what `whet sharpen` was asked to do; `whet resume` reads it back\n"]
        for name, value in self.model_dump(exclude_none=True).items():
            lines.append(f"{name} = {json.dumps(value)}\n")  # JSON scalars are TOML scalars
        # an absent `minutes` would come back as its default
        atomic_write_text(path, "".join(lines))

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read config.toml. Raises UsageError with the key that is wrong."""
        try:
            content = tomllib.loads(path.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"{path} cannot be read: {error}") from None
        if "steps" in content:
            content.setdefault("minutes", None)
        return cls.checked(**content)

    @classmethod
    def checked(cls, **values: object) -> Settings:
        """Build from options. Raises UsageError naming the first wrong one."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "settings"
            raise UsageError(f"{where}: {first['msg']}") from None
