"""How much one client may ask for. Everything that a request can make large is bounded here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from whetstone.serving.errors import bad


@dataclass(frozen=True)
class Limits:
    """Beyond these a request is refused with 400 (413 for its body, 429 for the queue).

    `queue`: prompts that may run and wait together. `answer_tokens`: None is what the model has room for.
    `samples`, `hidden_tokens`: what a strategy may draw and write for one answer.
    """

    body_bytes: int = 4 << 20
    body_seconds: float = 60.0
    queue: int = 256
    answer_tokens: int | None = None
    messages: int = 2048
    tools: int = 128
    choices: int = 32
    sequences: int = 1024
    samples: int = 128
    hidden_tokens: int = 1 << 17
    prompts: int = 64
    stops: int = 16
    stop_characters: int = 1024
    biases: int = 300
    schema_depth: int = 32
    schema_nodes: int = 4096
    embeddings: int = 256
    embedding_requests: int = 16


def check_schema(schema: object, limits: Limits, param: str) -> None:
    """Raises ApiError for a schema (or any JSON) that is too deep or too large."""
    level: list[Any] = [schema]
    nodes = 0
    for _ in range(limits.schema_depth):
        nodes += len(level)
        if nodes > limits.schema_nodes:
            raise bad(f"the schema has more than {limits.schema_nodes} parts", param, "schema_too_large")
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [part for parts in inner for part in parts]
        if not level:
            return
    raise bad(f"the schema is nested deeper than {limits.schema_depth} levels", param, "schema_too_deep")
