"""Any model as a reward model: it is asked whether an answer is right, and its "yes" is read as a probability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from whetstone.engine.backends import Backend
from whetstone.engine.protocol import Completion, SamplingParams
from whetstone.engine.remote.endpoint import Endpoint
from whetstone.engine.strategies.spending import prompt_flops
from whetstone.engine.strategies.strategy import Candidate, Scores
from whetstone.errors import UsageError
from whetstone.models.config import ModelConfig
from whetstone.models.packing import Trie
from whetstone.tasks.task import Message

ASKED = 'Question: {question}\n\nProposed answer: {answer}\n\nIs the proposed answer right? Reply "Yes" or "No" only.'
TOP = 20
UNKNOWN = 0.5  # neither word is among the likeliest


@dataclass(frozen=True)
class Judge:
    """P(yes) / (P(yes) + P(no)) for the first token of the reply to `asked` (a template with {question}, the chat's
    last user turn, and {answer}).

    backend: the judge's own model, the one that answered or another; config: its sizes where they are known, for FLOPs.
    An endpoint that reports only the token it chose gives P(yes) or 1 - P(no) of that one. Nobody trained it for this:
    how much it knows is to be measured, and its numbers are not calibrated.
    """

    backend: Backend
    config: ModelConfig | None = None
    asked: str = ASKED
    name: str = "judge"
    process: bool = False
    params_needed: Mapping[str, Any] = field(default_factory=dict)

    def score(self, candidates: Sequence[Candidate]) -> Scores:
        """Raises UsageError for candidates whose question is not known in words, and what the backend raises."""
        requests = [self.backend.request(self._messages(candidate), (0,)) for candidate in candidates]
        params = SamplingParams(1, 0.0, self.backend.stop_ids, top_logprobs=TOP)
        sampler = self.backend.sampler
        before = sampler.usage.prompt if isinstance(sampler, Endpoint) else 0
        completions = [group[0] for group in sampler.sample(requests, params)]
        values = tuple(self._yes(completion) for completion in completions)
        if isinstance(sampler, Endpoint):  # its bill is the truth
            return Scores(values, sampler.usage.prompt - before)
        trie, cost = Trie(), 0.0
        for request in requests:
            new = trie.missing(request.prompt_ids)
            trie.insert(request.prompt_ids)
            cost += prompt_flops(self.config, new, len(request.prompt_ids) - new) if self.config else 0.0
        return Scores(values, len(trie), cost)

    def _messages(self, candidate: Candidate) -> list[Message]:
        turns = [message["content"] for message in candidate.request.messages if message["role"] == "user"]
        if not turns:
            raise UsageError("a judge needs the question in words, and this request holds token ids only")
        return [{"role": "user", "content": self.asked.format(question=turns[-1], answer=candidate.text)}]

    def _yes(self, completion: Completion) -> float:
        decode = self.backend.tokenizer
        mass = {"yes": 0.0, "no": 0.0}
        if completion.top and decode is not None:
            top = completion.top[0]
            for token, logprob in zip(top.ids, top.logprobs, strict=True):
                word = _word(decode.decode([token]))
                if word in mass:
                    mass[word] += math.exp(logprob)
        elif completion.logprobs:
            word = _word(completion.text if decode is None else decode.decode(list(completion.ids[:1])))
            if word in mass:
                chosen = min(1.0, math.exp(completion.logprobs[0]))
                mass = {word: chosen, "no" if word == "yes" else "yes": 1 - chosen}
        total = mass["yes"] + mass["no"]
        return mass["yes"] / total if total > 0 else UNKNOWN


def _word(text: str | None) -> str:
    return (text or "").strip().strip("\"'.,:;!*").casefold()
