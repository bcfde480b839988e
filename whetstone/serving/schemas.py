"""The requests that are understood. Types are strict, as in OpenAI's API: "5" is no number.

`None` stands for what was not given, and a client may write null for it. Fields that only matter to a company's own
platform are taken and ignored; a field that nobody knows is an error, and so is one that would change the answer and
is not supported here.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from whetstone.serving.errors import bad, from_validation

INT64 = 2**63
SELECT = re.compile(r"first|majority|(weighted|best)(:by=[a-z]{1,20})?")


class Strict(BaseModel):
    """Unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Lenient(BaseModel):
    """Unknown fields are ignored: clients send back messages that other servers decorated."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class StreamOptions(Lenient):
    include_usage: bool | None = None


class TextPart(Lenient):
    type: Literal["text"]
    text: str


class CalledFunction(Lenient):
    name: str
    arguments: str = "{}"


class ToolCall(Lenient):
    id: str | None = None
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(Lenient):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None

    @property
    def text(self) -> str:
        """The content, its parts joined."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class Function(Lenient):
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Lenient):
    type: Literal["function"]
    function: Function


class NamedFunction(Lenient):
    name: str


class NamedTool(Lenient):
    type: Literal["function"]
    function: NamedFunction


class JsonSchema(Lenient):
    name: str | None = None
    description: str | None = None
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None


class ResponseFormat(Lenient):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class Sampled(Strict):
    """What chat and completions have in common."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1, lt=INT64)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, lt=INT64)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.01, le=100)] | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    seed: Annotated[int, Field(ge=-INT64, lt=2 * INT64)] | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool | None = None
    return_token_ids: bool | None = None
    select: str | None = None  # ours: of n answers, the one selected
    # taken and ignored
    user: Any = None
    store: Any = None
    metadata: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    prompt_cache_retention: Any = None
    verbosity: Any = None

    @field_validator("stop")
    @classmethod
    def _no_empty_stop(cls, stop: str | list[str] | None) -> str | list[str] | None:
        if stop is not None and not all(stop if isinstance(stop, list) else [stop]):
            raise ValueError("a stop string may not be empty")
        return stop

    @field_validator("select")
    @classmethod
    def _known_selection(cls, select: str | None) -> str | None:
        if select is not None and not SELECT.fullmatch(select):
            raise ValueError("first, majority, weighted and best are known, the last two also as best:by=VERIFIER")
        return select

    @property
    def stops(self) -> list[str]:
        """The stop strings as a list."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with a chunk of token counts."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class ChatRequest(Sampled):
    """POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1, lt=INT64)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    modalities: list[str] | None = None
    # known, and refused where they ask for something
    audio: Any = None
    functions: Any = None
    function_call: Any = None
    prediction: Any = None
    web_search_options: Any = None


class CompletionRequest(Sampled):
    """POST /v1/completions: text or token ids, one prompt or several."""

    prompt: str | list[str] | list[int] | list[list[int]]
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    best_of: int | None = None
    # known, and refused where they ask for something
    echo: Any = None
    suffix: Any = None


class EmbeddingRequest(Strict):
    """POST /v1/embeddings."""

    model: str
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    user: Any = None


class LoadAdapter(Strict):
    """POST /v1/load_lora_adapter. An adapter of that name is replaced only with `load_inplace`."""

    lora_name: Annotated[str, Field(min_length=1, max_length=200)]
    lora_path: Annotated[str, Field(min_length=1, max_length=4096)]
    base_model: str | None = None
    load_inplace: bool = False


class UnloadAdapter(Strict):
    """POST /v1/unload_lora_adapter."""

    lora_name: str


R = TypeVar("R", bound=Strict)
UNSUPPORTED = ("audio", "functions", "function_call", "prediction", "web_search_options", "echo", "suffix")


def parse(kind: type[R], body: bytes) -> R:
    """The request in a body. Raises ApiError 400: no JSON, not UTF-8, a wrong type, an unsupported field."""
    try:
        request = kind.model_validate_json(body)
    except ValidationError as failure:
        raise from_validation(failure) from None
    for name in UNSUPPORTED:
        if getattr(request, name, None) not in (None, False, "", [], {}):
            raise bad(f"{name} is not supported by this server", name, "unsupported_parameter")
    if isinstance(request, ChatRequest) and request.modalities not in (None, ["text"]):
        raise bad("only text comes from this server", "modalities", "unsupported_parameter")
    if isinstance(request, CompletionRequest) and request.best_of not in (None, 1, request.n):
        raise bad("best_of is not supported by this server: ask for n", "best_of", "unsupported_parameter")
    return request
