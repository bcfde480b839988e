"""One more turn of a chat behind an answer, ids behind ids: what the model wrote is not encoded again."""

from __future__ import annotations

from whetstone.engine.backends import Backend
from whetstone.engine.protocol import Request
from whetstone.engine.strategies.strategy import Candidate
from whetstone.errors import UsageError
from whetstone.models.tokenizer import Tokenizer

_PLACE = "PLACEHOLDEROFANANSWER"  # no template has it, and none changes its letters


def further_turn(backend: Backend, answer: Candidate, content: str, seeds: tuple[int, ...]) -> Request:
    """The request that asks `content` behind what was answered.

    Raises UsageError for a chat template that does not show an answer followed by a question.
    """
    asked = {"role": "user", "content": content}
    messages = (*answer.request.messages, {"role": "assistant", "content": answer.text}, asked)
    if backend.tokenizer is None:
        return Request((), seeds, messages)
    completion = answer.completion
    written = completion.ids[:-1] if completion.finish == "stop" else completion.ids
    behind = _behind(backend.tokenizer, [*answer.request.messages], asked)
    return Request(answer.request.prompt_ids + written + behind, seeds, messages)


def _behind(tokenizer: Tokenizer, messages: list[dict[str, str]], asked: dict[str, str]) -> tuple[int, ...]:
    """Ids of what the template writes between an answer and the next one: its end mark, the question, the opening."""
    whole = tokenizer.render([*messages, {"role": "assistant", "content": _PLACE}, asked])
    _, place, rest = whole.rpartition(_PLACE)
    if not place:
        raise UsageError("the model's chat template leaves earlier answers out, so it cannot be asked to revise one")
    return tuple(tokenizer.encode(rest))
