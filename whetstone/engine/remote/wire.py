"""The words of the OpenAI protocol: what is sent to an endpoint, and how its answers and complaints are read.

Two calls are known: `chat/completions` with messages, and `completions` with a prompt of token ids, which vLLM and
servers like it take. Everything that comes back is read as hostile: wrong types are no answer, never a crash.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from whetstone.engine.protocol import Finish, Request, SamplingParams
from whetstone.engine.remote.settings import EndpointSettings
from whetstone.errors import UsageError

# Servers know signed 64-bit seeds at most, and to some a negative one means "by chance".
SEED_MASK = 2**63 - 1
# What a server may refuse without the answer losing its meaning, and so is left out when it does.
DISPENSABLE = ("logprobs", "seed", "return_token_ids", "stop_token_ids", "n", "stream_options", "stream")
# Fields of SamplingParams that are sent under their own names where they are not at these values.
NEUTRAL: Mapping[str, object] = {
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
SURROGATES = re.compile("[\ud800-\udfff]")
FILTERED = re.compile(
    r"content[_ ](filter|policy|management)|moderation|flagged|responsible[_ ]?ai|safety", re.IGNORECASE
)
TOO_LONG = re.compile(r"context[_ ](length|window)|too long|maximum context", re.IGNORECASE)
LONGEST_COMPLAINT = 300  # characters


class Malformed(Exception):
    """A response that is not what the protocol says."""


@dataclass(frozen=True)
class Choice:
    """One answer as it came. `ids` and `logprobs` are empty where the server gives none."""

    text: str
    finish: Finish
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass
class Dialect:
    """What one server turned out not to take. `left_out` goes into the report."""

    left_out: set[str] = field(default_factory=set)
    limit_name: str = "max_tokens"

    def learn(self, body: Mapping[str, Any], complaint: Complaint) -> bool:
        """Draw a conclusion from a refused request; False: there is nothing to leave out, it is refused for good."""
        said = complaint.text
        if self.limit_name == "max_tokens" and "max_completion_tokens" in said and not TOO_LONG.search(said):
            self.limit_name = "max_completion_tokens"
            return True
        named = {name for name in DISPENSABLE if name in body and _names(complaint, name)}
        self.left_out |= named
        return bool(named)


@dataclass(frozen=True)
class Complaint:
    """An error response in short: its text, its code and the parameter it is about ("" where not said)."""

    text: str
    code: str = ""
    parameter: str = ""

    @property
    def filtered(self) -> bool:
        """Whether the request was turned away for what it says, not for its form."""
        return bool(FILTERED.search(f"{self.code} {self.text}"))

    @property
    def broke(self) -> bool:
        """Whether waiting cannot help: the account has no money left."""
        return "insufficient_quota" in self.code or "billing" in self.code


def body(
    model: str,
    request: Request,
    seed: int,
    count: int,
    params: SamplingParams,
    settings: EndpointSettings,
    dialect: Dialect,
) -> dict[str, Any]:
    """The JSON of one request for `count` answers: by messages where there are any, else by token ids."""
    content: dict[str, Any] = {"model": model, "temperature": params.temperature, "seed": seed & SEED_MASK}
    content[dialect.limit_name] = params.max_new_tokens + settings.reasoning_room
    if request.messages:
        content["messages"] = list(request.messages)
        if settings.logprobs:
            content["logprobs"] = True
    else:
        content["prompt"] = list(request.prompt_ids)
        content["return_token_ids"] = True
        if params.stop_ids:
            content["stop_token_ids"] = sorted(params.stop_ids)
        if settings.logprobs:
            content["logprobs"] = 1
    if count > 1:
        content["n"] = count
    content |= _further(params)
    left_out = dialect.left_out | set(settings.omit)
    return {name: value for name, value in (content | settings.extra).items() if name not in left_out}


def streamed(content: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """The same request for an answer that comes in pieces, with its count of tokens behind them."""
    more = {"stream": True, "stream_options": {"include_usage": True}}
    left_out = dialect.left_out | ({"stream_options"} if "stream" in dialect.left_out else set())
    kept = {name: value for name, value in content.items() if name not in ("logprobs", "return_token_ids")}
    return kept | {name: value for name, value in more.items() if name not in left_out}


def _further(params: SamplingParams) -> dict[str, Any]:
    """Truncation, penalties and bias, where they are asked for."""
    if params.constraint is not None:
        raise UsageError("structured output needs the local engine: an endpoint takes no constraint of ours")
    asked: dict[str, Any] = {name: getattr(params, name) for name in NEUTRAL}
    further = {name: value for name, value in asked.items() if value != NEUTRAL[name]}
    if params.logit_bias:
        further["logit_bias"] = {str(token): value for token, value in params.logit_bias.items()}
    return further


def choices(response: object, wanted: int) -> list[Choice]:
    """The answers of a response, at least one and at most `wanted`. Raises Malformed."""
    found = response.get("choices") if isinstance(response, Mapping) else None
    if not isinstance(found, list) or not found:
        raise Malformed("a response without choices")
    return [_choice(each) for each in found[:wanted]]


def _choice(choice: object) -> Choice:
    if not isinstance(choice, Mapping):
        raise Malformed("a choice that is no object")
    message = choice.get("message", choice)
    if not isinstance(message, Mapping):
        raise Malformed("a message that is no object")
    text = content_text(message.get("content") if message is not choice else choice.get("text"))
    refusal = message.get("refusal")
    finish: Finish = "stop"
    match choice.get("finish_reason"):
        case "length" | "max_tokens":
            finish = "length"
        case "content_filter" | "refusal":
            finish = "refused"
        case "error":
            raise Malformed("a choice that ended in an error of the server")
    if isinstance(refusal, str) and refusal:
        text, finish = text or refusal, "refused"
    ids = _ids(choice.get("token_ids"))
    logprobs = _logprobs(choice.get("logprobs"))
    return Choice(SURROGATES.sub("\ufffd", text), finish, ids, logprobs if len(logprobs) == len(ids) or not ids else ())


def content_text(content: object) -> str:
    """The text of a message or of a piece of one: a string, nothing (all of it was hidden thought), or parts. Raises
    Malformed."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
    raise Malformed("a message whose content is no text")


def _ids(ids: object) -> tuple[int, ...]:
    whole = isinstance(ids, list) and all(type(token) is int and 0 <= token < 2**31 for token in ids)
    return tuple(ids) if whole and isinstance(ids, list) else ()


def _logprobs(given: object) -> tuple[float, ...]:
    """One number per token, from either form of the protocol; none at all where one is missing."""
    if not isinstance(given, Mapping):
        return ()
    numbers: object = given.get("token_logprobs")
    if isinstance(content := given.get("content"), list):
        numbers = [entry.get("logprob") if isinstance(entry, Mapping) else None for entry in content]
    if not isinstance(numbers, list):
        return ()
    whole = all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
    return tuple(float(number) for number in numbers) if whole else ()


def complaint(response: object) -> Complaint:
    """An error in OpenAI's form, FastAPI's ("detail") or any other; text on one line and not too long."""
    error = response.get("error", response) if isinstance(response, Mapping) else response
    if isinstance(error, str):
        return Complaint(_short(error))
    if not isinstance(error, Mapping):
        return Complaint("")
    text = error.get("message") or error.get("detail") or ""
    if isinstance(text, list):  # FastAPI: one entry per field; its "input" repeats the whole request and is left out
        text = "; ".join(
            f"{'.'.join(map(str, entry.get('loc', ())))}: {entry.get('msg')}"
            for entry in text
            if isinstance(entry, dict)
        )
    code, kind, parameter = (error.get(name) for name in ("code", "type", "param"))
    return Complaint(
        _short(text if isinstance(text, str) else ""),
        " ".join(value for value in (code, kind) if isinstance(value, str)),
        parameter if isinstance(parameter, str) else "",
    )


def _short(text: str) -> str:
    line = SURROGATES.sub("\ufffd", " ".join(text.split()))
    return line if len(line) <= LONGEST_COMPLAINT else line[: LONGEST_COMPLAINT - 1] + "…"


def _names(complaint: Complaint, name: str) -> bool:
    """Whether a complaint is about this parameter. `n` is too short a word to be looked for without its quotes."""
    if complaint.parameter:
        return complaint.parameter == name
    word = re.escape(name)
    return bool(re.search(rf"['\"`]{word}['\"`]" if len(name) == 1 else rf"(?<!\w){word}(?!\w)", complaint.text))
