"""Ask a model and get texts: the function behind `whet generate` and `whetstone.sample`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from whetstone.engine.backends import Backend, Source, local
from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Completion, Finish, Request, SamplingParams, TopLogprobs
from whetstone.engine.rollout import completion_text
from whetstone.engine.text.detokenize import Detokenizer
from whetstone.errors import UsageError
from whetstone.models.loading import Loaded
from whetstone.models.tokenizer import Tokenizer
from whetstone.tasks.keys import problem_seed
from whetstone.tasks.task import Message


@dataclass(frozen=True)
class Answer:
    """One answer: its text, why it ended, and its tokens (the stop token is no part of the text).

    `logprobs` are in nats, of the distribution that was sampled, one per id. `str(answer)` is the text.
    """

    text: str
    finish: Finish
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]

    def __str__(self) -> str:
        return self.text


def sample(
    model: str | Loaded | Backend,
    prompts: str | Sequence[str | Sequence[Message]],
    *,
    n: int = 1,
    temperature: float = 0.0,
    max_new_tokens: int = 256,
    system: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    heard: Callable[[str], None] | None = None,
) -> list[list[Answer]]:
    """`n` answers to each prompt, in the prompts' order; one list per prompt, also for a single one.

    Args:
        model: what `load` takes, or what it or `Source.open` returned (then `device` is not looked at).
        prompts: texts, or chats as OpenAI messages ({"role", "content"}); a single text may stand alone.
        temperature: 0 is greedy.
        system: a system message in front of every text.
        seed: other seeds, other samples; the same seed, the same ones.
        heard: is told the text of the answer as it comes, piece by piece; for one prompt and n = 1.

    Raises:
        UsageError: an unknown model, a negative temperature, no room in the model for a prompt and one token, `heard`
            with several answers.
    """
    if n < 1 or max_new_tokens < 1 or not 0 <= temperature <= 100:
        raise UsageError("n and max_new_tokens are at least 1, and the temperature goes from 0 to 100")
    chats = [_chat(prompt, system) for prompt in ([prompts] if isinstance(prompts, str) else prompts)]
    if heard is not None and (n, len(chats)) != (1, 1):
        raise UsageError("only one answer can be heard as it comes: ask one prompt, and for one answer")
    backend = _backend(model, device)
    requests = [
        backend.request(chat, tuple(_seed(seed, place, i) for i in range(n))) for place, chat in enumerate(chats)
    ]
    limited = [replace(request, room=_room(backend, request, max_new_tokens)) for request in requests]
    params = SamplingParams(max_new_tokens, temperature, backend.stop_ids)
    return [
        [Answer(completion_text(c, backend.tokenizer), c.finish, c.ids, c.logprobs) for c in completions]
        for completions in _answered(backend, limited, params, heard)
    ]


def _answered(
    backend: Backend, requests: Sequence[Request], params: SamplingParams, heard: Callable[[str], None] | None
) -> list[list[Completion]]:
    sampler = backend.sampler
    if heard is None:
        return sampler.sample(requests, params)
    (request,) = requests
    if isinstance(sampler, Engine) and backend.tokenizer is not None:
        return [[_spoken(sampler, backend.tokenizer, request, params, heard)]]
    from whetstone.engine.remote.endpoint import Endpoint  # the engine needs no HTTP client

    if isinstance(sampler, Endpoint):
        return [[sampler.stream(request, params, heard)]]
    [[completion]] = sampler.sample(requests, params)  # a backend that gives whole answers only
    heard(completion_text(completion, backend.tokenizer))
    return [[completion]]


def _spoken(
    engine: Engine, tokenizer: Tokenizer, request: Request, params: SamplingParams, heard: Callable[[str], None]
) -> Completion:
    speaker = _Speaker(Detokenizer(tokenizer), params.stop_ids, heard)
    job = engine.add(request, params, speaker)
    try:
        while speaker.completion is None:
            engine.step()
    except BaseException:
        engine.cancel(job)
        raise
    return speaker.completion


class _Speaker:
    """Tells the text of one sequence as it becomes certain. See `Listener`."""

    def __init__(self, detokenizer: Detokenizer, stop_ids: frozenset[int], heard: Callable[[str], None]) -> None:
        self._detokenizer, self._stop_ids, self._heard = detokenizer, stop_ids, heard
        self.completion: Completion | None = None

    def token(self, member: int, token: int, logprob: float, top: TopLogprobs | None) -> bool:
        if token not in self._stop_ids and (text := self._detokenizer.feed(token)):
            self._heard(text)
        return False

    def finished(self, member: int, completion: Completion) -> None:
        if text := self._detokenizer.finish():
            self._heard(text)
        self.completion = completion


def _room(backend: Backend, request: Request, wanted: int) -> int:
    """Tokens that the answer may take. Raises UsageError for a prompt that leaves no room for one."""
    if backend.positions is None:
        return wanted
    asked = len(request.prompt_ids)
    if asked >= backend.positions:
        raise UsageError(
            f"the prompt has {asked} tokens and the model takes {backend.positions}, its answer included: "
            "shorten the prompt"
        )
    return min(wanted, backend.positions - asked)


def _backend(model: str | Loaded | Backend, device: str) -> Backend:
    if isinstance(model, str):
        return Source(model, device=device).open()
    if isinstance(model, Loaded):
        return local(model)
    return model


def _chat(prompt: str | Sequence[Message], system: str | None) -> list[Message]:
    if not isinstance(prompt, str):
        return [dict(message) for message in prompt]
    opening: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    return [*opening, {"role": "user", "content": prompt}]


def _seed(seed: int, place: int, answer: int) -> int:
    """A hash, so that neighbouring seeds and prompts share no answers."""
    return int.from_bytes(problem_seed(str(seed).encode(), "generate", str(place), "", answer)[:8], "big")
