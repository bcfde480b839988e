"""From a chat request to the ids of its prompt, and what its answer must look like."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from whetstone.engine.protocol import Constraint
from whetstone.serving.limits import Limits
from whetstone.serving.message import Assistant
from whetstone.serving.models import Served
from whetstone.serving.schemas import ChatRequest, Message


@dataclass(frozen=True)
class Prompt:
    """`assistant` makes a reader for each answer; `kept`: special tokens that it needs to see."""

    ids: tuple[int, ...]
    assistant: Callable[[], Assistant]
    constraint: Constraint | None = None
    kept: Collection[str] = ()


def chat_prompt(served: Served, request: ChatRequest, limits: Limits) -> Prompt:
    """Raises UsageError where the chat template refuses, ApiError for a schema beyond the limits."""
    messages = [as_dict(message) for message in request.messages]
    ids = served.loaded.tokenizer.chat_ids(messages, **(request.chat_template_kwargs or {}))
    return Prompt(tuple(ids), Assistant)


def as_dict(message: Message) -> dict[str, Any]:
    """A message as chat templates read it."""
    role = "system" if message.role == "developer" else message.role
    out: dict[str, Any] = {"role": role, "content": message.text}
    for name in ("name", "tool_call_id", "reasoning_content"):
        if (value := getattr(message, name)) is not None:
            out[name] = value
    if message.tool_calls:
        out["tool_calls"] = [call.model_dump(exclude_none=True) for call in message.tool_calls]
    return out
