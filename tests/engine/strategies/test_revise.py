"""Revision: each turn stands behind the one before, as ids or as messages, and the right one of them counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.engine.strategies.asking import sums
from tests.engine.strategies.scripted import recorded, scripted
from tests.engine.strategies.test_thinking import ask
from whetstone.engine.backends import Backend
from whetstone.engine.protocol import Completion, Request, SamplingParams
from whetstone.engine.samples import Pool
from whetstone.engine.strategies.names import strategy_of
from whetstone.engine.strategies.revise import CHECK
from whetstone.engine.strategies.run import run
from whetstone.errors import UsageError
from whetstone.models.tokenizer import Tokenizer


@pytest.mark.parametrize("seed", range(4))
def test_what_was_written_is_never_encoded_again(seed: int) -> None:
    backend, recorder = recorded(seed)
    question = replace(sums(1)[0], seed=lambda member: 7 * seed + member)
    outcome = ask(backend, strategy_of("revise-3:t=1"), question)[0]
    assert backend.tokenizer is not None and len(outcome.choice.of) == 3
    glue = f"<|end|><|user|>{CHECK}<|end|><|assistant|>"
    for one, two in zip(outcome.choice.of, outcome.choice.of[1:], strict=False):
        written = one.completion.ids[:-1] if one.completion.finish == "stop" else one.completion.ids
        assert two.request.prompt_ids == (*one.request.prompt_ids, *written, *backend.tokenizer.encode(glue))
    first = recorder.calls[0][0]
    assert first.seeds == (question.seed(0),) and outcome.spent.rounds == 3


def test_the_first_turn_is_the_greedy_answer_of_the_pool() -> None:
    backend, _ = recorded(1)
    question = sums(1)[0]
    greedy, revised = (ask(backend, strategy_of(name), question)[0].choice for name in ("greedy", "revise-2"))
    assert revised.of[0] == greedy.of[0]


@pytest.mark.parametrize(
    ("texts", "take", "answer"),
    [
        (["12|", "Answer: 13|", "Answer: 14|"], "last", "14"),
        (["12|", "Answer: 13|", "I do not know|"], "last", "13"),
        (["12|", "Answer: 12|", "Answer: 14|"], "majority", "12"),
        (["12|", "Answer: 13|", "Answer: 14|"], "majority", "14"),
        (["12|", "Answer: 13|", "what|"], "majority", "13"),
        (["no|", "idea|", "what|"], "majority", None),
    ],
)
def test_which_turn_counts(texts: list[str], take: str, answer: str | None) -> None:
    backend, _ = scripted(*texts)
    choice = ask(backend, strategy_of(f"revise-3:take={take}"), sums(1)[0])[0].choice
    assert choice.answer == answer and len(choice.of) == 3


class Chat:
    """Takes messages and answers by text, as an endpoint does."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.asked: list[Request] = []

    def sample(
        self, requests: list[Request], params: SamplingParams, progress: object = None
    ) -> list[list[Completion]]:
        self.asked += requests
        text = self.texts.pop(0)
        finish = "stop" if text else "timeout"
        return [[Completion((), (), finish, 0, text=text, token_count=len(text.split()))]]  # type: ignore[arg-type]


def test_endpoints_are_asked_by_messages_and_a_turn_that_does_not_come_ends_it() -> None:
    chat = Chat("12", "Answer: 13", "")
    backend, question = Backend(chat), sums(1)[0]
    outcome = run(strategy_of("revise-5"), [question], backend, Pool(chat, "chat"))[0]
    assert outcome.choice.answer == "13" and outcome.spent.failed == 1 and len(chat.asked) == 3
    check = {"role": "user", "content": CHECK}
    said = [{"role": "assistant", "content": text} for text in ("12", "Answer: 13")]
    assert chat.asked[2].messages == (*question.prompts[0], said[0], check, said[1], check)
    assert not chat.asked[2].prompt_ids


def test_it_ends_where_the_model_has_no_room_and_where_its_template_forgets_answers() -> None:
    backend, script = scripted("12|", "Answer: 13|")
    assert backend.tokenizer is not None
    choice = ask(replace(backend, positions=300), strategy_of("revise-5"), sums(1)[0])[0].choice
    assert choice.answer == "12" and len(script.asked) == 1
    template = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
    forgetful = Tokenizer(backend.tokenizer.core, {**backend.tokenizer.config, "chat_template": template})
    backend, _ = scripted("12|", "Answer: 13|")
    with pytest.raises(UsageError, match="leaves earlier answers out"):
        ask(replace(backend, tokenizer=forgetful), strategy_of("revise-2"), sums(1)[0])
