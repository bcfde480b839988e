"""A model that answers in JSON of a given shape: the local engine under a grammar, or any OpenAI-compatible endpoint.

What comes back is a proposal by a stranger: it is parsed as data, checked for its shape, and nothing more. An answer
that never came, or that is not what was asked for, is a `Written` without a value and with the reason.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from whetstone.engine.protocol import Completion, Request, Sampler, SamplingParams
from whetstone.engine.remote.endpoint import Endpoint
from whetstone.episodes.formats.reading import cleaned
from whetstone.errors import UsageError
from whetstone.tasks.keys import problem_seed
from whetstone.tasks.task import Message

if TYPE_CHECKING:  # they load torch, which a page without a model does not need
    from whetstone.engine.backends import Backend, Source

LETTERS_PER_TOKEN = 3.0  # of English, on the safe side, where a model's tokenizer is not known
ENDPOINT_CONTEXT = 8192  # tokens that an endpoint's model is taken to hold unless the user says otherwise

_NO_SCHEMAS = re.compile(r"response_format|json_schema|json schema|structured", re.IGNORECASE)

Shown = Callable[[int, int], None]


@dataclass(frozen=True)
class Written:
    """One answer: its JSON object, or None and why. `tokens` were written for it. `came` is false where the model was
    never heard, so that asking again later may help."""

    value: Mapping[str, Any] | None
    tokens: int
    problem: str = ""
    came: bool = True


@dataclass
class Writer:
    """A model as the pipeline sees it. `context`: tokens that prompt and answer may have together. `memory`: answers of
    an earlier, interrupted run by what was asked; new ones are added to it. `in_words`: the endpoint takes no schemas,
    so they are told in the prompt."""

    name: str
    backend: Backend
    context: int
    memory: MutableMapping[str, str] = field(default_factory=dict)
    prompt_tokens: int = 0
    answer_tokens: int = 0
    failures: list[str] = field(default_factory=list)
    in_words: bool = False

    @classmethod
    def open(cls, source: Source, context: int | None = None) -> Writer:
        """Load the model, or get ready to ask the endpoint. Raises UsageError."""
        backend = source.open()
        known = backend.positions or ENDPOINT_CONTEXT
        if context is not None and backend.positions is not None and context > backend.positions:
            raise UsageError(f"--context {context} is more than {source.model} takes ({backend.positions} tokens)")
        return cls(source.name or source.model, backend, context or known)

    def count(self, text: str) -> int:
        """Tokens of a text; an estimate on the safe side for an endpoint."""
        if self.backend.tokenizer is None:
            return math.ceil(len(text.encode()) / LETTERS_PER_TOKEN)
        return len(self.backend.tokenizer.encode(text))

    def write(
        self,
        asks: Sequence[Sequence[Message]],
        schema: Mapping[str, Any],
        room: int,
        shown: Shown | None = None,
    ) -> list[Written]:
        """One JSON object of `schema` for each chat, greedy, at most `room` tokens long, in order.

        Raises UsageError when an endpoint turns out to be unusable at the very first question, and for a local model
        without the package that grammars need.
        """
        keys = [self._key(chat, schema, room) for chat in asks]
        written: dict[str, Written] = {key: _remembered(self.memory[key]) for key in keys if key in self.memory}
        missing = {key: chat for key, chat in zip(keys, asks, strict=True) if key not in written}
        batch = max(1, self._at_once)
        if shown is not None and keys:
            shown(len(keys) - len(missing), len(keys))
        for first in range(0, len(missing), batch):
            part = list(missing.items())[first : first + batch]
            for (key, _), answer in zip(part, self._ask([chat for _, chat in part], schema, room), strict=True):
                written[key] = answer
                if answer.value is not None:
                    self.memory[key] = json.dumps([answer.value, answer.tokens])
            if shown is not None:
                shown(len(keys) - len(missing) + first + len(part), len(keys))
        return [written[key] for key in keys]

    def _ask(self, asks: Sequence[Sequence[Message]], schema: Mapping[str, Any], room: int) -> list[Written]:
        """Ask; with the schema in words, where the settings or the server say that it takes none."""
        if self._endpoint is not None and "response_format" in self._endpoint.settings.omit:
            self.in_words = True
        try:
            written = self._asked(asks, schema, room)
        except UsageError as failure:
            if self._endpoint is None or self.in_words or not _NO_SCHEMAS.search(str(failure)):
                raise
            self.in_words = True
            written = self._asked(asks, schema, room)
        self.failures += [each.problem for each in written if each.value is None]
        return written

    def _asked(self, asks: Sequence[Sequence[Message]], schema: Mapping[str, Any], room: int) -> list[Written]:
        sampler, params = self._way(schema, room)
        chats = [_told(chat, schema) if self.in_words else list(chat) for chat in asks]
        requests = [self.backend.request(chat, (_seed(chat),)) for chat in chats]
        before = self._endpoint.usage.prompt if self._endpoint else 0
        fitting = [place for place, request in enumerate(requests) if self._fits(request, room)]
        found = sampler.sample([requests[place] for place in fitting], params) if fitting else []
        if self._endpoint:
            self.prompt_tokens += self._endpoint.usage.prompt - before
        else:
            self.prompt_tokens += sum(len(requests[place].prompt_ids) for place in fitting)
        written = [Written(None, 0, "the prompt is longer than the model's context")] * len(asks)
        for place, completions in zip(fitting, found, strict=True):
            written[place] = self._read(completions[0], schema)
        self.answer_tokens += sum(each.tokens for each in written)
        return written

    @property
    def _at_once(self) -> int:
        """Questions that an interruption may cost."""
        return self._endpoint.settings.concurrency * 2 if self._endpoint else 8

    def _key(self, chat: Sequence[Message], schema: Mapping[str, Any], room: int) -> str:
        asked = json.dumps([self.name, list(chat), dict(schema), room], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(asked.encode()).hexdigest()

    @property
    def _endpoint(self) -> Endpoint | None:
        return self.backend.sampler if isinstance(self.backend.sampler, Endpoint) else None

    def _way(self, schema: Mapping[str, Any], room: int) -> tuple[Sampler, SamplingParams]:
        if self._endpoint is not None and self.in_words:
            return self._endpoint, SamplingParams(room, 0.0)
        if self._endpoint is not None:
            shape = {"name": "answer", "schema": dict(schema), "strict": True}
            asking = self._endpoint.asking(response_format={"type": "json_schema", "json_schema": shape})
            return asking, SamplingParams(room, 0.0)
        from whetstone.engine.structured import compile_json_schema

        assert self.backend.tokenizer is not None
        constraint = compile_json_schema(self.backend.tokenizer, schema)
        return self.backend.sampler, SamplingParams(room, 0.0, self.backend.stop_ids, constraint=constraint)

    def _fits(self, request: Request, room: int) -> bool:
        return len(request.prompt_ids) + room <= self.context

    def _read(self, completion: Completion, schema: Mapping[str, Any]) -> Written:
        if completion.finish in ("refused", "timeout", "error"):
            problem = f"the model's answer never came ({completion.finish})"
            return Written(None, completion.length, problem, completion.finish == "refused")
        from whetstone.engine.rollout import completion_text

        text = completion_text(completion, self.backend.tokenizer)
        try:
            value = _cleaned(json.loads(_unwrapped(text)))
        except (ValueError, RecursionError):
            cut = completion.finish == "length"
            return Written(None, completion.length, "the answer was cut off" if cut else "the answer is not JSON")
        missing = [name for name in schema.get("required", ()) if not isinstance(value, dict) or name not in value]
        if missing or not isinstance(value, dict):
            return Written(None, completion.length, f"the answer lacks {', '.join(map(str, missing)) or 'an object'}")
        return Written(value, completion.length)


def _told(chat: Sequence[Message], schema: Mapping[str, Any]) -> list[Message]:
    """The chat with the schema in its first message, for a server that takes none."""
    first = {
        **chat[0],
        "content": f"{chat[0]['content']} The JSON object must fit this JSON schema: {json.dumps(schema)}",
    }
    return [first, *chat[1:]]


def _unwrapped(text: str) -> str:
    """The JSON object in an answer that says more, or puts it between fences."""
    first, last = text.find("{"), text.rfind("}")
    return text[first : last + 1] if 0 <= first < last else text


def _cleaned(value: Any) -> Any:
    """The value, its texts without what steers a terminal, is not seen, or is half a character."""
    if isinstance(value, str):
        return cleaned(value)
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    if isinstance(value, dict):
        return {cleaned(name): _cleaned(each) for name, each in value.items()}
    return value


def _remembered(text: str) -> Written:
    value, tokens = json.loads(text)
    return Written(value, tokens)


def _seed(chat: Sequence[Message]) -> int:
    text = json.dumps(list(chat), sort_keys=True, ensure_ascii=False)
    return int.from_bytes(problem_seed(text.encode(), "episodes", "", "", 0)[:8], "big")
