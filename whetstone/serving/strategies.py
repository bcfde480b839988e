"""Which strategy a request asks for, and the request as that strategy sees it.

Three ways lead to one: a model's name with a strategy behind it (`smollm2-135m@consistency-8`, or a name that the
server was given for that), `n` with `select`, and `reasoning_effort` for a model that thinks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from whetstone.engine.backends import Backend
from whetstone.engine.protocol import Request, SamplingParams
from whetstone.engine.selection import known_selection
from whetstone.engine.strategies.names import METHODS, Tools, strategy_of
from whetstone.engine.strategies.parallel import Parallel
from whetstone.engine.strategies.strategy import Question, Strategy
from whetstone.engine.text.reasoning import thinking_marks
from whetstone.engine.text.toolcalls import template_of
from whetstone.errors import UsageError
from whetstone.serving.errors import bad
from whetstone.serving.generation import TextRules
from whetstone.serving.limits import Limits
from whetstone.serving.models import Models, Served
from whetstone.serving.offers import AT, Offers
from whetstone.serving.prompts import Prompt, as_dict, rendered
from whetstone.serving.sampling import COLDEST, seed_of
from whetstone.serving.schemas import ChatRequest, CompletionRequest, Sampled
from whetstone.serving.solving import Asking
from whetstone.serving.state import State
from whetstone.tasks.answers import read_general
from whetstone.tasks.task import Message

SHARE = 4  # without max_tokens an answer may fill one part in so many of the context
THINKING = "think"  # the method that keeps to a thinking budget


def resolve(state: State, request: Sampled) -> tuple[Served, Strategy | None]:
    """The model, and the strategy that answers with it; None: it answers by itself. Raises ApiError: 404 for a model
    that is not served, 400 for a strategy that is unknown or does not go with the rest of the request."""
    model, at, spec = state.offers.named.get(request.model, request.model).partition(AT)
    if at and (model in state.offers.named or model in state.routes):
        raise bad(f"{model} says by itself how it answers: leave out {AT}{spec}", "model", "invalid_strategy")
    served = state.models.get(model)
    tools = Tools(state.offers.verifiers(served), samples=state.limits.samples)
    try:
        if at:
            strategy: Strategy | None = _named(spec, request, tools)
        else:
            strategy = _selecting(request, tools) or _thinking(state, served, request, tools)
    except UsageError as failure:
        raise bad(str(failure), "model" if at else "select", "invalid_strategy") from None
    if strategy is not None:
        _check(request, strategy, bool(at))
    return served, strategy


def check_offers(offers: Offers, models: Models) -> None:
    """Raises UsageError for a strategy's name that is a model's, or one of a model or strategy that there is not."""
    table = {served.name: served for served in models.all}
    for name, full in offers.named.items():
        model, _, spec = full.partition(AT)
        if name in table or name in offers.routes:
            raise UsageError(f"a strategy and a model or route cannot both be called {name!r}")
        if model not in table:
            raise UsageError(f"the strategy {name} needs the model {model!r}, which is not served: {', '.join(table)}")
        strategy_of(spec, Tools(offers.verifiers(table[model])))


def _named(spec: str, request: Sampled, tools: Tools) -> Strategy:
    """The strategy of this name at the request's temperature. Raises UsageError for a name that is none, ApiError for
    a temperature that it does not take."""
    named, warmed = strategy_of(spec, tools), _with_temperature(spec, request)
    try:
        return named if warmed == spec else strategy_of(warmed, tools)
    except UsageError as failure:
        message = f"{spec} does not go with this temperature: leave it out ({failure})"
        raise bad(message, "temperature", "invalid_strategy") from None


def _with_temperature(spec: str, request: Sampled) -> str:
    """A strategy has a temperature of its own (its option t); a request's takes its place, unless the name says t."""
    if request.temperature is None or (spec == "greedy" and request.temperature < COLDEST):
        return spec
    method, colon, options = spec.partition(":")
    if any(option.startswith("t=") for option in options.split(",")):
        return spec
    return f"{method}:{options}{',' if colon else ''}t={request.temperature!r}"


def _selecting(request: Sampled, tools: Tools) -> Strategy | None:
    """`n` answers, of which `select` says which one is sent."""
    if request.select is None:
        return None
    name, _, by = request.select.partition(":by=")
    how = known_selection(name)
    verifier = tools.verifier(by or "certainty", f"select {how}") if how in ("weighted", "best") else None
    temperature = 1.0 if request.temperature is None else request.temperature
    full = f"select-{how}-{request.n or 1}{f':by={by}' if by else ''}"
    return Parallel(full, request.n or 1, how, temperature, verifier)


def _thinking(state: State, served: Served, request: Sampled, tools: Tools) -> Strategy | None:
    """The thinking budget for a `reasoning_effort`. A request for tools or details keeps to the model's own length, as
    does a model whose template knows no thinking section."""
    if not isinstance(request, ChatRequest) or request.reasoning_effort is None or THINKING not in METHODS:
        return None
    plain = request.tools or request.logprobs or request.return_token_ids or (request.n or 1) > 1
    structured = request.response_format is not None and request.response_format.type != "text"
    if plain or structured or thinking_marks(template_of(served.loaded.tokenizer)) is None:
        return None
    budget = state.offers.efforts.get(request.reasoning_effort)
    if not budget:  # no thinking at all is the template's business (enable_thinking)
        return None
    budget = min(budget, served.engine.capacity // 2)  # so that the answer has room, too
    return strategy_of(_with_temperature(f"{THINKING}-{budget}", request), tools)


def _check(request: Sampled, strategy: Strategy, named: bool) -> None:
    """Raises ApiError for what has no meaning beside a strategy."""
    if isinstance(request, ChatRequest) and request.tools and request.tool_choice != "none":
        raise bad("tool calls cannot be voted on: ask the model itself, without a strategy", "tools", "invalid_value")
    if named and request.select is not None:
        raise bad("a strategy selects by itself: leave out select", "select", "invalid_value")
    if named and (request.n or 1) > 1:
        raise bad(f"{strategy.name} gives one answer: leave out n", "n", "invalid_value")
    if isinstance(strategy, Parallel) and strategy.wordings > 1:
        raise bad("a request has one wording: an ensemble of prompts is for tasks", "model", "invalid_strategy")


@dataclass(frozen=True, kw_only=True)
class ServedBackend(Backend):
    """A model that is served, as strategies ask it: `render` makes ids of a chat as this request's template would."""

    render: Callable[[Sequence[Message]], tuple[int, ...]]
    ends: frozenset[int]

    @property
    def stop_ids(self) -> frozenset[int]:
        return self.ends

    def request(self, messages: list[Message], seeds: tuple[int, ...]) -> Request:
        return Request(self.render(messages), seeds, tuple(messages))


def chat_asking(
    served: Served, request: ChatRequest, prompt: Prompt, params: SamplingParams, rules: TextRules, limits: Limits
) -> Asking:
    """A chat for a strategy. Votes are for equal JSON where the answer is structured, else for what `read_general`
    reads behind the thinking section."""
    tokenizer = served.loaded.tokenizer
    messages = [as_dict(message) for message in request.messages]

    def render(chat: Sequence[Message]) -> tuple[int, ...]:
        if list(chat) == messages:
            return prompt.ids
        return tuple(tokenizer.encode(rendered(tokenizer, request, chat, [], None, limits)))

    def content(text: str) -> str:
        assistant = prompt.assistant()
        deltas = [*assistant.feed(text), *assistant.finish()]
        return "".join(str(delta.get("content", "")) for delta in deltas)

    read = canonical if params.constraint is not None else read_general
    details = bool(request.logprobs or request.return_token_ids)
    limited = (request.max_completion_tokens or request.max_tokens) is not None
    return _asking(served, request, prompt.ids, messages, render, content, read, params, rules, details, limited)


def text_asking(
    served: Served,
    request: CompletionRequest,
    prompts: Sequence[tuple[int, ...]],
    params: SamplingParams,
    rules: TextRules,
) -> Asking:
    """A prompt of text or ids for a strategy. Raises ApiError for several; a strategy that wants to say more than the
    prompt is refused when it does, as there is no chat to say it in."""
    if len(prompts) > 1:
        raise bad("a strategy answers one prompt: send the others as requests of their own", "prompt", "invalid_value")
    messages = [{"role": "user", "content": ""}]  # stands for the prompt, which is no chat

    def render(chat: Sequence[Message]) -> tuple[int, ...]:
        if list(chat) != messages:
            raise UsageError("this strategy goes on with a conversation: ask /v1/chat/completions")
        return prompts[0]

    details = bool(request.logprobs is not None or request.return_token_ids)
    return _asking(served, request, prompts[0], messages, render, str, read_general, params, rules, details)


def _asking(
    served: Served,
    request: Sampled,
    ids: tuple[int, ...],
    messages: list[Message],
    render: Callable[[Sequence[Message]], tuple[int, ...]],
    content: Callable[[str], str],
    read: Callable[[str], str | None],
    params: SamplingParams,
    rules: TextRules,
    details: bool,
    limited: bool = True,
) -> Asking:
    """`limited`: the client said how long an answer may be; else it may fill a part of the context, as strategies that
    think or go on with a conversation need the rest."""
    engine = served.engine
    backend = ServedBackend(engine, served.loaded.tokenizer, engine.capacity, render=render, ends=params.stop_ids)
    seed = seed_of(request.seed)
    room = params.max_new_tokens if limited else max(1, min(params.max_new_tokens, engine.capacity // SHARE))
    question = Question((tuple(messages),), lambda text: read(content(text)), seed, room)
    return Asking(question, backend, Request(ids, (seed(0),)), params, rules, content, details)


def canonical(text: str) -> str | None:
    """JSON in one form, so that the order of properties and spacing do not count; None for what is no JSON."""
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except (ValueError, RecursionError):
        return None
