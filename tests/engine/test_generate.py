"""The front door: prompts in, texts out."""

from __future__ import annotations

from pathlib import Path

import pytest

import whetstone as wh
from tests.tiny import tiny_folder, tiny_model, tiny_tokenizer
from whetstone.models.loading import Loaded


@pytest.fixture(scope="module")
def tiny() -> Loaded:
    return Loaded(tiny_model(), tiny_tokenizer(), "tiny", Path("tiny"))


def test_one_list_per_prompt(tiny: Loaded) -> None:
    answered = wh.sample(tiny, ["Hello", "What is 2 + 2?"], n=3, temperature=1.0, max_new_tokens=7)
    assert [len(answers) for answers in answered] == [3, 3]
    for answer in [answer for answers in answered for answer in answers]:
        assert str(answer) == answer.text == tiny.tokenizer.decode(answer.ids) and len(answer.ids) <= 7
        assert len(answer.logprobs) == len(answer.ids) and answer.finish in ("stop", "length")
    assert len({answer.text for answers in answered for answer in answers}) > 1
    assert wh.sample(tiny, ["Hello", "What is 2 + 2?"], n=3, temperature=1.0, max_new_tokens=7) == answered
    other = wh.sample(tiny, "Hello", n=3, temperature=1.0, max_new_tokens=7, seed=1)
    assert not {answer.ids for answer in other[0]} & {answer.ids for answer in answered[0]}


def test_a_single_text_a_chat_and_a_folder_are_taken(tiny: Loaded, tmp_path: Path) -> None:
    [[alone]] = wh.sample(tiny, "Hello", max_new_tokens=5)
    chat = [{"role": "user", "content": "Hello"}]
    assert wh.sample(tiny, [chat], max_new_tokens=5) == [[alone]]
    assert wh.sample(str(tiny_folder(tmp_path / "tiny")), ["Hello"], max_new_tokens=5) == [[alone]]
    asked = [{"role": "system", "content": "Be wrong."}, *chat]
    with_system = wh.sample(tiny, "Hello", system="Be wrong.", max_new_tokens=5)
    assert with_system == wh.sample(tiny, [asked], max_new_tokens=5) != [[alone]]
    assert wh.sample(tiny, []) == []


def test_what_cannot_be_is_refused(tiny: Loaded) -> None:
    for wrong in ({"n": 0}, {"max_new_tokens": 0}, {"temperature": -1.0}, {"temperature": float("nan")}):
        with pytest.raises(wh.UsageError, match="at least 1, and the temperature goes from 0 to 100"):
            wh.sample(tiny, "Hello", **wrong)
    short = Loaded(tiny_model(max_positions=40), tiny_tokenizer(), "tiny", Path("tiny"))
    with pytest.raises(wh.UsageError, match="has 63 tokens and the model takes 40, its answer included"):
        wh.sample(short, ["Hello", "x" * 60])
    assert len(wh.sample(short, "Hello")[0][0].ids) <= 40 - 8


def test_a_long_prompt_shortens_its_own_answer_only() -> None:
    small = Loaded(tiny_model(max_positions=64), tiny_tokenizer(), "small", Path("small"))
    [[alone]] = wh.sample(small, "hi", max_new_tokens=30)
    [[short], [cut]] = wh.sample(small, ["hi", "y" * 50], max_new_tokens=30)
    assert short == alone and len(cut.ids) < 30
