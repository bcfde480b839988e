"""Ask a model and get texts: the function behind `whet generate` and `whetstone.sample`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from whetstone.engine.backends import Backend, Source, local
from whetstone.engine.protocol import Finish, Request, SamplingParams
from whetstone.engine.rollout import completion_text
from whetstone.errors import UsageError
from whetstone.models.loading import Loaded
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
) -> list[list[Answer]]:
    """`n` answers to each prompt, in the prompts' order; one list per prompt, also for a single one.

    Args:
        model: what `load` takes, or what it or `Source.open` returned (then `device` is not looked at).
        prompts: texts, or chats as OpenAI messages ({"role", "content"}); a single text may stand alone.
        temperature: 0 is greedy.
        system: a system message in front of every text.
        seed: other seeds, other samples; the same seed, the same ones.

    Raises:
        UsageError: an unknown model, a negative temperature, no room in the model for a prompt and one token.
    """
    if n < 1 or max_new_tokens < 1 or not 0 <= temperature <= 100:
        raise UsageError("n and max_new_tokens are at least 1, and the temperature goes from 0 to 100")
    chats = [_chat(prompt, system) for prompt in ([prompts] if isinstance(prompts, str) else prompts)]
    backend = _backend(model, device)
    requests = [
        backend.request(chat, tuple(_seed(seed, place, i) for i in range(n))) for place, chat in enumerate(chats)
    ]
    limited = [replace(request, room=_room(backend, request, max_new_tokens)) for request in requests]
    params = SamplingParams(max_new_tokens, temperature, backend.stop_ids)
    return [
        [Answer(completion_text(c, backend.tokenizer), c.finish, c.ids, c.logprobs) for c in completions]
        for completions in backend.sampler.sample(limited, params)
    ]


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
