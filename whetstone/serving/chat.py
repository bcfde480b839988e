"""POST /v1/chat/completions: messages in, a message out, whole or in deltas."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from whetstone.engine.protocol import Request, SamplingParams
from whetstone.engine.strategies.strategy import Strategy
from whetstone.engine.text.toolcalls import MessageParser
from whetstone.errors import UsageError
from whetstone.serving import sampling
from whetstone.serving.attempt import Attempt
from whetstone.serving.bridge import Ended, Item, Token
from whetstone.serving.errors import bad
from whetstone.serving.far import Far
from whetstone.serving.generation import Generation, TextRules, Work, members
from whetstone.serving.logprobs import chat_entry, finite
from whetstone.serving.message import Assistant, Delta, joined
from whetstone.serving.models import Served
from whetstone.serving.prompts import Prompt, chat_prompt
from whetstone.serving.remote import remote
from whetstone.serving.routed import Routed, check_routed
from whetstone.serving.schemas import ChatRequest
from whetstone.serving.solving import Solving
from whetstone.serving.state import State
from whetstone.serving.strategies import chat_asking, resolve

# for answers that come as plain content, whoever wrote them
PLAIN = Prompt((), lambda: Assistant(MessageParser(None, [], None, False)))


def prepare(state: State, request: ChatRequest) -> Chat:
    """Everything before the engine: prompt ids, constraint, parameters. Raises ApiError. May take a while."""
    limits = state.limits
    if len(request.messages) > limits.messages:
        raise bad(f"at most {limits.messages} messages are taken", "messages", "too_many_messages")
    if request.top_logprobs and not request.logprobs:
        raise bad("top_logprobs needs logprobs", "top_logprobs", "invalid_value")
    if (route := state.routes.get(request.model)) is not None:
        check_routed(request, route)
        said = next((message.text for message in reversed(request.messages) if message.role == "user"), "")
        return Chat(request, PLAIN, Routed(state, route, partial(_attempt, state, request), said))
    served, strategy = resolve(state, request)
    if strategy is not None:
        sampling.choices(request, 1, limits)
        return Chat(request, *_solving(state, request, served, strategy))
    prompt, params, rules = _asking(state, request, served)
    work = Request(prompt.ids, sampling.seeds(request.seed, sampling.choices(request, 1, limits)))
    return Chat(request, prompt, Generation(served, [work], params, rules))


def _asking(state: State, request: ChatRequest, served: Served) -> tuple[Prompt, SamplingParams, TextRules]:
    limits = state.limits
    try:
        prompt = chat_prompt(served, request, limits)
    except UsageError as failure:
        raise bad(str(failure), code="invalid_value") from None
    asked = request.max_completion_tokens or request.max_tokens
    room = sampling.answer_tokens(served, [prompt.ids], asked, limits, "messages")
    alternatives = (request.top_logprobs or 0) if request.logprobs else None
    params = sampling.engine_params(request, served, room, alternatives, prompt.constraint, limits)
    return prompt, params, TextRules(request.stops, params.stop_ids, prompt.kept)


def _solving(state: State, request: ChatRequest, served: Served, strategy: Strategy) -> tuple[Prompt, Solving]:
    prompt, params, rules = _asking(state, request, served)
    asking = chat_asking(served, request, prompt, params, rules, state.limits)
    return prompt, Solving(served, strategy, asking)


def _attempt(state: State, request: ChatRequest, model: Served | Far, strategy: Strategy) -> Attempt:
    if isinstance(model, Far):
        return remote(model, strategy, request, state.limits)
    return _solving(state, request, model, strategy)[1]


class Chat:
    """The answer to one chat request. See `Dialogue`."""

    def __init__(self, request: ChatRequest, prompt: Prompt, generation: Work) -> None:
        self.generation = generation
        self._request, self._prompt = request, prompt
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())
        self._choices = [_Choice(self, index) for index in range(members(generation.requests))]

    def opening(self) -> list[Mapping[str, Any]]:
        first = {"role": "assistant", "content": ""}
        prompt_ids = {"prompt_token_ids": list(self._prompt.ids)} if self._request.return_token_ids else {}
        return [
            self._chunk([{"index": choice.index, "delta": first, "finish_reason": None}]) | prompt_ids
            for choice in self._choices
        ]

    def chunks(self, items: Sequence[Item]) -> list[Mapping[str, Any]]:
        touched: dict[int, list[Item]] = {}
        for item in items:
            touched.setdefault(item.member, []).append(item)
        parts = [part for member, own in touched.items() for part in self._choices[member].take(own)]
        chunks = [self._chunk([part]) for part in parts]
        if chunks and parts[-1]["finish_reason"] is not None:
            chunks[-1] |= self.generation.extension()
        return list(chunks)

    def closing(self) -> list[Mapping[str, Any]]:
        if not self._request.wants_usage:
            return []
        return [self._chunk([]) | {"usage": self._usage()}]

    def whole(self) -> Mapping[str, Any]:
        answer = self._head("chat.completion")
        answer["choices"] = [choice.whole() for choice in self._choices]
        if self._request.return_token_ids:
            answer["prompt_token_ids"] = list(self._prompt.ids)
        return answer | {"usage": self._usage()} | self.generation.extension()

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._request.model,
            "system_fingerprint": self.generation.fingerprint,
        }

    def _chunk(self, choices: list[Mapping[str, Any]]) -> dict[str, Any]:
        chunk = self._head("chat.completion.chunk") | {"choices": choices}
        return chunk | {"usage": None} if self._request.wants_usage else chunk

    def _usage(self) -> dict[str, Any]:
        said = sum(choice.tokens for choice in self._choices)
        thought = sum(choice.reasoning_tokens for choice in self._choices)
        return self.generation.usage(said, thought)


class _Choice:
    """One of the answers, as far as it has come."""

    def __init__(self, chat: Chat, index: int) -> None:
        self.index = index
        self.tokens = self.reasoning_tokens = 0
        self.assistant: Assistant = chat._prompt.assistant()
        self._request = chat._request
        self._work = chat.generation
        self._deltas: list[Delta] = []
        self._entries: list[dict[str, Any]] = []
        self._ids: list[int] = []
        self._sampled: list[float] = []
        self._finish: str | None = None
        self._weight_version = 0

    def take(self, items: Sequence[Item]) -> list[Mapping[str, Any]]:
        """What the items mean, as elements of a chunk's `choices`."""
        deltas: list[Delta] = []
        new: list[Token] = []
        for item in items:
            if isinstance(item, Token):
                new.append(item)
                deltas += self.assistant.feed(item.text)
                self.reasoning_tokens += self.assistant.thinking
            elif isinstance(item, Ended):
                deltas += self.assistant.feed(item.text) + self.assistant.finish()
                self._end(item)
        if not self._request.stream:
            self._deltas += deltas
        extras = self._extras(new)
        parts: list[dict[str, Any]] = [
            {"index": self.index, "delta": delta, "finish_reason": None} for delta in joined(deltas)
        ]
        if self._finish is not None or (extras and not parts):
            parts.append({"index": self.index, "delta": {}, "finish_reason": self._finish})
        if parts:
            parts[0] |= extras
            if self._finish is not None and self._request.return_token_ids:
                parts[-1]["weight_version"] = self._weight_version
        return list(parts)

    def whole(self) -> dict[str, Any]:
        """The choice of an answer in one object."""
        message: dict[str, Any] = {"role": "assistant", "content": None}
        calls: list[dict[str, Any]] = []
        for delta in joined(self._deltas):
            for name in ("content", "reasoning_content"):
                if name in delta:
                    message[name] = (message.get(name) or "") + delta[name]
            calls += [
                {name: part for name, part in call.items() if name != "index"} for call in delta.get("tool_calls", ())
            ]
        if calls:
            message["tool_calls"] = calls
        elif message["content"] is None:
            message["content"] = ""
        choice: dict[str, Any] = {"index": self.index, "message": message, "finish_reason": self._finish}
        choice["logprobs"] = {"content": self._entries, "refusal": None} if self._request.logprobs else None
        if self._request.return_token_ids:
            choice |= {
                "token_ids": self._ids,
                "sampled_logprobs": self._sampled,
                "weight_version": self._weight_version,
            }
        return choice

    def _end(self, item: Ended) -> None:
        self._weight_version = item.weight_version
        called = self.assistant.calls and item.finish == "stop"
        self._finish = "tool_calls" if called else item.finish

    def _extras(self, new: Sequence[Token]) -> dict[str, Any]:
        """Log-probabilities and ids of new tokens. With ids every token is there, without them the end mark is not."""
        self.tokens += len(new)
        extras: dict[str, Any] = {}
        if self._request.logprobs:
            shown = [token for token in new if self._request.return_token_ids or not token.end_mark]
            entries = [chat_entry(self._work.tokenizer, token, self._request.top_logprobs or 0) for token in shown]
            if not self._request.stream:
                self._entries += entries
            if entries:
                extras["logprobs"] = {"content": entries, "refusal": None}
        if self._request.return_token_ids and new:
            ids, sampled = [token.id for token in new], [finite(token.logprob) for token in new]
            if not self._request.stream:
                self._ids += ids
                self._sampled += sampled
            extras |= {"token_ids": ids, "sampled_logprobs": sampled}
        return extras
