"""From a chat request to the ids of its prompt, and what its answer must look like."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whetstone.engine.protocol import Constraint
from whetstone.engine.structured import compile_json_object, compile_json_schema
from whetstone.engine.text.reasoning import ThinkingMarks, thinking_marks
from whetstone.engine.text.toolcalls import (
    FORMATS,
    MessageParser,
    ToolFormat,
    find_format,
    render_with_tools,
    template_of,
)
from whetstone.models.tokenizer import Tokenizer
from whetstone.serving.errors import bad
from whetstone.serving.limits import Limits, check_schema
from whetstone.serving.message import Assistant
from whetstone.serving.models import Served
from whetstone.serving.schemas import ChatRequest, Message, NamedTool, Tool

# What a request cannot say twice.
RESERVED = ("self", "messages", "tools", "add_generation_prompt")
# A forced call is written as one JSON object, whatever the model's own format is.
FORCED = FORMATS["llama3"]


@dataclass(frozen=True)
class Prompt:
    """`assistant` makes a reader for each answer; `kept`: special tokens that it needs to see."""

    ids: tuple[int, ...]
    assistant: Callable[[], Assistant]
    constraint: Constraint | None = None
    kept: Collection[str] = ()


def chat_prompt(served: Served, request: ChatRequest, limits: Limits) -> Prompt:
    """Raises UsageError where the chat template or the grammar refuses, ApiError for what is beyond the limits."""
    tokenizer = served.loaded.tokenizer
    tools = offered_tools(request, limits)
    forced = forced_tools(request, tools)
    form = find_format(template_of(tokenizer)) if tools else None
    text = rendered(tokenizer, request, [as_dict(message) for message in request.messages], tools, form, limits)
    marks = thinking_marks(template_of(tokenizer))
    inside = marks is not None and marks.opened_by(text)
    thinks = marks is not None and not text.rstrip().endswith(marks.close)
    after = marks.close if marks is not None and thinks else None
    schema = _schema(request, forced, limits)
    width = served.loaded.model.config.vocab_size
    constraint: Constraint | None = None
    if schema is ANY_OBJECT:
        constraint = compile_json_object(tokenizer, after, width)
    elif schema is not None:
        constraint = compile_json_schema(tokenizer, schema, after, width)
    if forced and form is not None and form.name == "hermes" and not thinks:
        text += "<tool_call>\n"  # what the model would write before its JSON
    given = [tool.model_dump(exclude_none=True) for tool in tools]
    reader = _reader(FORCED if forced else form, given, marks, inside, request)
    kept = {*(form.marks if form is not None else ()), *((marks.open, marks.close) if marks is not None else ())}
    return Prompt(tuple(tokenizer.encode(text)), reader, constraint, kept)


def _reader(
    form: ToolFormat | None,
    tools: Sequence[Mapping[str, Any]],
    marks: ThinkingMarks | None,
    inside: bool,
    request: ChatRequest,
) -> Callable[[], Assistant]:
    most = 1 if request.parallel_tool_calls is False else None
    return lambda: Assistant(MessageParser(form, tools, marks, inside), most)


def offered_tools(request: ChatRequest, limits: Limits) -> list[Tool]:
    """The tools that the model may call. Raises ApiError: too many, names that repeat, a schema beyond the limits."""
    tools = request.tools or []
    if len(tools) > limits.tools:
        raise bad(f"at most {limits.tools} tools are taken", "tools", "too_many_tools")
    if len({tool.function.name for tool in tools}) < len(tools):
        raise bad("two tools have the same name", "tools", "invalid_value")
    for place, tool in enumerate(tools):
        check_schema(tool.function.parameters, limits, f"tools.{place}.function.parameters")
    return [] if request.tool_choice == "none" else tools


def forced_tools(request: ChatRequest, tools: Sequence[Tool]) -> list[Tool]:
    """The tools one of which must be called; none where the model is free."""
    choice = request.tool_choice
    if choice in (None, "auto", "none"):
        return []
    if choice == "required":
        if not tools:
            raise bad("tool_choice is required, but there are no tools", "tool_choice", "invalid_value")
        return list(tools)
    assert isinstance(choice, NamedTool)
    named = [tool for tool in tools if tool.function.name == choice.function.name]
    if not named:
        raise bad(f"tool_choice names {choice.function.name[:64]!r}, which is no tool", "tool_choice", "invalid_value")
    return named


ANY_OBJECT: Mapping[str, Any] = {"type": "object"}


def _schema(request: ChatRequest, forced: Sequence[Tool], limits: Limits) -> Mapping[str, Any] | None:
    """The JSON schema that the answer must fit, from a forced call or from `response_format`."""
    asked = request.response_format
    if forced:
        if asked is not None and asked.type != "text":
            raise bad("a forced tool call leaves no room for a response_format", "response_format", "invalid_value")
        if len(forced) == 1:
            return _call_schema(forced[0], "#")
        return {"anyOf": [_call_schema(tool, f"#/anyOf/{place}") for place, tool in enumerate(forced)]}
    if asked is None or asked.type == "text":
        return None
    if request.tools and request.tool_choice != "none":
        raise bad(
            "a response_format leaves no room for tool calls: set tool_choice to none, or leave one of them out",
            "response_format",
            "invalid_value",
        )
    if asked.type == "json_object":
        return ANY_OBJECT
    if asked.json_schema is None:
        raise bad("missing required parameter: response_format.json_schema", "response_format.json_schema")
    check_schema(asked.json_schema.schema_, limits, "response_format.json_schema.schema")
    return asked.json_schema.schema_


def _call_schema(tool: Tool, place: str) -> dict[str, Any]:
    """One call as JSON; `place` is the JSON pointer to where this schema will stand."""
    arguments = tool.function.parameters or ANY_OBJECT
    return {
        "type": "object",
        "properties": {
            "name": {"const": tool.function.name},
            "arguments": _moved(arguments, f"{place}/properties/arguments"),
        },
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _moved(part: Any, place: str) -> Any:
    """A schema that was a document of its own, with references that still hold at `place` of another one."""
    if isinstance(part, list):
        return [_moved(each, place) for each in part]
    if not isinstance(part, dict):
        return part
    return {
        name: f"{place}{value[1:]}"
        if name == "$ref" and isinstance(value, str) and value.startswith("#")
        else _moved(value, place)
        for name, value in part.items()
    }


def rendered(
    tokenizer: Tokenizer,
    request: ChatRequest,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Tool],
    form: ToolFormat | None,
    limits: Limits,
) -> str:
    """The prompt's text for `messages`, those of the request or what a strategy made of them. Raises UsageError where
    the chat template refuses them, ApiError for what is beyond the limits."""
    variables = _variables(request, limits)
    called = any(message.get("tool_calls") or message["role"] == "tool" for message in messages)
    if form is None and called:
        form = find_format(template_of(tokenizer))
    if form is None:
        return tokenizer.render(messages, **variables)
    given = [tool.model_dump(exclude_none=True) for tool in tools]
    return render_with_tools(tokenizer, messages, given, form, **variables)


def _variables(request: ChatRequest, limits: Limits) -> dict[str, Any]:
    """What the template reads besides messages and tools."""
    given = request.chat_template_kwargs or {}
    check_schema(given, limits, "chat_template_kwargs")
    if reserved := [name for name in RESERVED if name in given]:
        raise bad(f"chat_template_kwargs may not set {reserved[0]}", "chat_template_kwargs", "invalid_value")
    effort = request.reasoning_effort
    thinking = {"enable_thinking": False} if effort == "none" else {}
    return ({} if effort is None else {"reasoning_effort": effort}) | thinking | given


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
