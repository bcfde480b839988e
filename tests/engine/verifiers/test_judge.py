"""A model that is asked yes or no: against the softmax written out, and by what an endpoint tells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch

from tests.engine.strategies.asking import tiny_backend, tiny_loaded
from whetstone.engine.backends import Backend
from whetstone.engine.protocol import Completion, Progress, Request, SamplingParams
from whetstone.engine.strategies.strategy import Candidate
from whetstone.engine.verifiers.judge import ASKED, UNKNOWN, Judge
from whetstone.errors import UsageError
from whetstone.models.packing import TokenTrie


def candidate(text: str, question: str = "What is 2 + 2?") -> Candidate:
    request = Request((1,), (0,), ({"role": "user", "content": question},))
    return Candidate(request, Completion((2,), (-1.0,), "stop", 0), text, text)


@dataclass
class Replies:
    """A backend without a tokenizer: what it says, with the chosen token's log-probability."""

    said: list[tuple[str, tuple[float, ...]]]
    asked: list[str] = field(default_factory=list)

    def sample(
        self, requests: Sequence[Request], params: SamplingParams, progress: Progress | None = None
    ) -> list[list[Completion]]:
        self.asked += [request.messages[-1]["content"] for request in requests]
        assert params.greedy and params.max_new_tokens == 1
        return [[Completion((), logprobs, "stop", 0, text=text, token_count=1)] for text, logprobs in self.said]


def test_it_is_the_share_of_yes_among_yes_and_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model's tokens are single characters, so "y" and "n" stand for the words."""
    monkeypatch.setattr("whetstone.engine.verifiers.judge.TOP", 200)
    monkeypatch.setattr("whetstone.engine.verifiers.judge._word", lambda text: {"y": "yes", "n": "no"}.get(text, text))
    loaded, backend = tiny_loaded(), tiny_backend()
    asked = [candidate("4"), candidate("5")]
    scores = Judge(backend, loaded.model.config).score(asked)
    prompts = []
    for each, value in zip(asked, scores.values, strict=True):
        content = ASKED.format(question="What is 2 + 2?", answer=each.text)
        ids = loaded.tokenizer.chat_ids([{"role": "user", "content": content}])
        prompts.append(tuple(ids))
        tree = TokenTrie([ids])
        with torch.no_grad():
            p = loaded.model.logits(loaded.model(tree.ids_N, tree.positions_N, tree))[-1].softmax(-1)
        yes, no = (float(p[loaded.tokenizer.encode(letter)[0]]) for letter in "yn")
        assert value == pytest.approx(yes / (yes + no), rel=1e-4)
    assert scores.tokens == len({ids[: end + 1] for ids in prompts for end in range(len(ids))}) and scores.flops > 0


def test_an_endpoint_tells_the_chosen_word_only() -> None:
    replies = Replies(
        [("Yes", (math.log(0.8),)), (" no.", (math.log(0.7),)), ("Maybe", (-0.1,)), ("", ()), ("yes", (0.01,))]
    )
    scores = Judge(Backend(replies)).score([candidate(str(n)) for n in range(5)])
    assert scores.values == pytest.approx((0.8, 0.3, UNKNOWN, UNKNOWN, 1.0))
    assert "Proposed answer: 3" in replies.asked[3] and "What is 2 + 2?" in replies.asked[3]


def test_braces_in_an_answer_are_text() -> None:
    replies = Replies([("Yes", (0.0,))])
    Judge(Backend(replies)).score([candidate("{question} {0}", "Is {x} a set?")])
    assert "Proposed answer: {question} {0}" in replies.asked[0] and "Is {x} a set?" in replies.asked[0]


def test_a_question_without_words_is_refused() -> None:
    bare = Candidate(Request((1,), (0,)), Completion((2,), (-1.0,), "stop", 0), "4", "4")
    with pytest.raises(UsageError, match="needs the question in words"):
        Judge(tiny_backend()).score([bare])
