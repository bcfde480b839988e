"""POST /v1/completions: text or token ids in, text or token ids out.

With a prompt of ids, `return_token_ids` and `logprobs` it is the door for reinforcement learning: nothing is ever
recomputed from text, each id has its log-probability, and each choice the version of the weights that made it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from whetstone.engine.protocol import Request, SamplingParams
from whetstone.engine.strategies.strategy import Strategy
from whetstone.serving import sampling
from whetstone.serving.attempt import Attempt
from whetstone.serving.bridge import Ended, Item, Token
from whetstone.serving.errors import bad
from whetstone.serving.far import Far
from whetstone.serving.generation import Generation, TextRules, Work
from whetstone.serving.logprobs import completion_logprobs, finite
from whetstone.serving.models import Served
from whetstone.serving.routed import Routed, check_routed
from whetstone.serving.schemas import CompletionRequest
from whetstone.serving.solving import Solving
from whetstone.serving.state import State
from whetstone.serving.strategies import resolve, text_asking

DEFAULT_TOKENS = 16  # as in OpenAI's API


def prepare(state: State, request: CompletionRequest) -> Completions:
    """Everything before the engine. Raises ApiError."""
    if (route := state.routes.get(request.model)) is not None:
        check_routed(request, route)
        if not isinstance(request.prompt, str):
            raise bad("a route takes one prompt of text", "prompt", "invalid_value")
        return Completions(request, Routed(state, route, partial(_attempt, state, request), request.prompt))
    served, strategy = resolve(state, request)
    if strategy is not None:
        return Completions(request, _solving(state, request, served, strategy))
    prompts, params, rules = _asking(state, request, served)
    count = sampling.choices(request, len(prompts), state.limits)
    requests = [Request(ids, sampling.seeds(request.seed, count)) for ids in prompts]
    return Completions(request, Generation(served, requests, params, rules))


def _asking(
    state: State, request: CompletionRequest, served: Served
) -> tuple[list[tuple[int, ...]], SamplingParams, TextRules]:
    prompts = prompt_ids(served, request.prompt, "prompt", state.limits.prompts)
    room = sampling.answer_tokens(served, prompts, request.max_tokens or DEFAULT_TOKENS, state.limits, "prompt")
    params = sampling.engine_params(request, served, room, request.logprobs, None, state.limits)
    return prompts, params, TextRules(request.stops, params.stop_ids)


def _solving(state: State, request: CompletionRequest, served: Served, strategy: Strategy) -> Solving:
    prompts, params, rules = _asking(state, request, served)
    sampling.choices(request, len(prompts), state.limits)
    return Solving(served, strategy, text_asking(served, request, prompts, params, rules))


def _attempt(state: State, request: CompletionRequest, model: Served | Far, strategy: Strategy) -> Attempt:
    assert isinstance(model, Served), "a text is not asked of a route with endpoints"
    return _solving(state, request, model, strategy)


def prompt_ids(served: Served, given: Any, param: str, most: int) -> list[tuple[int, ...]]:
    """The prompts of a request as ids; text gets the marks that the tokenizer puts in front of plain text."""
    if isinstance(given, str) or (given and isinstance(given[0], int)):
        given = [given]
    if not 1 <= len(given) <= most:
        raise bad(f"give 1 to {most} inputs", param, "invalid_value")
    core = served.loaded.tokenizer.core
    return [tuple(core.encode(each).ids) if isinstance(each, str) else tuple(each) for each in given]


class Completions:
    """The answer to one request. See `Dialogue`."""

    def __init__(self, request: CompletionRequest, generation: Work) -> None:
        self.generation = generation
        self._request = request
        self._id = f"cmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())
        prompts = [each.prompt_ids for each in generation.requests for _ in each.seeds]
        self._choices = [_Choice(self, index, ids) for index, ids in enumerate(prompts)]

    def opening(self) -> list[Mapping[str, Any]]:
        return []

    def chunks(self, items: Sequence[Item]) -> list[Mapping[str, Any]]:
        touched: dict[int, list[Item]] = {}
        for item in items:
            touched.setdefault(item.member, []).append(item)
        parts = [self._choices[member].take(own) for member, own in touched.items()]
        chunks = [self._object([part]) for part in parts if part is not None]
        if chunks and chunks[-1]["choices"][0]["finish_reason"] is not None:
            chunks[-1] |= self.generation.extension()
        return list(chunks)

    def closing(self) -> list[Mapping[str, Any]]:
        if not self._request.wants_usage:
            return []
        return [self._object([]) | {"usage": self._usage()}]

    def whole(self) -> Mapping[str, Any]:
        made = self._object([choice.whole() for choice in self._choices])
        return made | {"usage": self._usage()} | self.generation.extension()

    def _object(self, choices: list[Mapping[str, Any]]) -> dict[str, Any]:
        made = {
            "id": self._id,
            "object": "text_completion",
            "created": self._created,
            "model": self._request.model,
            "system_fingerprint": self.generation.fingerprint,
            "choices": choices,
        }
        return made | {"usage": None} if self._request.wants_usage else made

    def _usage(self) -> dict[str, Any]:
        return self.generation.usage(sum(choice.said for choice in self._choices), 0)


class _Choice:
    """One of the answers, as far as it has come."""

    def __init__(self, completions: Completions, index: int, prompt: tuple[int, ...]) -> None:
        self.index = index
        self.said = 0
        self._prompt = prompt
        self._request = completions._request
        self._work = completions.generation
        self._stream = bool(self._request.stream)
        self._texts: list[str] = []
        self._tokens: list[Token] = []
        self._offset = 0
        self._finish: str | None = None
        self._weight_version = 0
        self._begun = False

    def take(self, items: Sequence[Item]) -> dict[str, Any] | None:
        """An element of a chunk's `choices`; None when there is nothing to tell yet."""
        new = [item for item in items if isinstance(item, Token)]
        text = "".join(item.text for item in items if isinstance(item, Token | Ended))
        for item in items:
            if isinstance(item, Ended):
                self._finish, self._weight_version = item.finish, item.weight_version
        self.said += len(new)
        if not self._stream:
            self._texts.append(text)
            self._tokens += new
            return None
        details = self._request.return_token_ids or self._request.logprobs is not None
        if not text and self._finish is None and not (new and details):
            return None
        return self._element(text, new)

    def whole(self) -> dict[str, Any]:
        """The choice of an answer in one object."""
        return self._element("".join(self._texts), self._tokens)

    def _element(self, text: str, tokens: Sequence[Token]) -> dict[str, Any]:
        element: dict[str, Any] = {"index": self.index, "text": text, "finish_reason": self._finish, "logprobs": None}
        if self._request.logprobs is not None:
            shown = [token for token in tokens if self._request.return_token_ids or not token.end_mark]
            element["logprobs"] = completion_logprobs(self._work.tokenizer, shown, self._request.logprobs, self._offset)
            self._offset += len(text)
        if self._request.return_token_ids:
            element["token_ids"] = [token.id for token in tokens]
            element["sampled_logprobs"] = [finite(token.logprob) for token in tokens]
            if not self._begun:
                element["prompt_token_ids"] = list(self._prompt)
            if self._finish is not None:
                element["weight_version"] = self._weight_version
        self._begun = True
        return element
