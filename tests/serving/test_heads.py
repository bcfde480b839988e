"""Learned verifiers behind the API, asked by the official client, against their own scores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from tests.serving.live import alone, byte_folder, byte_tokenizer, client, post, refused, text_of, tiny_server
from whetstone.engine.protocol import Request
from whetstone.engine.selection import select
from whetstone.engine.strategies.names import DEFAULT_TEMPERATURE
from whetstone.engine.strategies.strategy import Candidate
from whetstone.engine.verifiers import head as heads
from whetstone.engine.verifiers.head import Calibration, Head, HeadVerifier
from whetstone.engine.verifiers.states import SAID
from whetstone.errors import UsageError
from whetstone.models.loading import load
from whetstone.serving import attempt
from whetstone.serving.offers import Offers
from whetstone.serving.sampling import seeds
from whetstone.serving.server import Background
from whetstone.tasks.answers import read_general

ASK: list[Any] = [{"role": "user", "content": "12+34?"}]
COUNT, TOKENS = 9, 4


def saved(model: Path, folder: Path, seed: int = 3) -> HeadVerifier:
    """A head of random weights for the model in a folder."""
    loaded = load(str(model))
    weight_F = np.random.default_rng(seed).normal(size=loaded.model.config.width + SAID)
    verifier = HeadVerifier(loaded, Head(weight_F, 0.1, 1, "mean", Calibration(1.0, 0.0), Calibration(0.5, 0.0)))
    verifier.save(folder)
    return verifier


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("heads")
    byte_folder(made / "tiny")
    byte_folder(made / "other", seed=7)
    return made


@pytest.fixture(scope="module")
def verifier(folder: Path) -> HeadVerifier:
    return saved(folder / "tiny", folder / "head")


@pytest.fixture(scope="module")
def server(folder: Path, verifier: HeadVerifier) -> Iterator[Background]:
    offers = Offers({"judged": "tiny@best-9:by=head"}, heads=(folder / "head",))
    with tiny_server(folder, f"other={folder / 'other'}", offers=offers) as running:
        yield running


@pytest.fixture
def ask(server: Background) -> openai.OpenAI:
    return client(server)


def by_hand(verifier: HeadVerifier, how: Any, warmth: float, seed: int = 5) -> tuple[str, int]:
    """What is selected of the samples that the server draws, each judged alone; and the tokens of all of them."""
    prompt = tuple(byte_tokenizer().chat_ids(ASK))
    completions = [alone("12+34?", TOKENS, each, warmth) for each in seeds(seed, COUNT)]
    texts = [text_of(each) for each in completions]
    candidates = [Candidate(Request(prompt, (0,)), each, "", None) for each in completions]
    scores = [verifier.score([each]).values[0] for each in candidates]
    place = select(how, [read_general(text) for text in texts], scores)
    assert place is not None
    return texts[place], sum(len(each.ids) for each in candidates)


def test_the_list_of_models_says_which_have_one(ask: openai.OpenAI) -> None:
    free = ["certainty", "confidence", "likelihood"]
    found = {each.id: (each.model_extra or {}).get("verifiers") for each in ask.models.list()}
    assert found == {"tiny": sorted([*free, "head"]), "other": free, "judged": None}


@pytest.mark.parametrize("seed", [5, 6, 7])
@pytest.mark.parametrize("how", ["best", "weighted"])
def test_a_head_chooses_as_it_scores(ask: openai.OpenAI, verifier: HeadVerifier, how: str, seed: int) -> None:
    asked: Any = dict(messages=ASK, max_tokens=TOKENS, seed=seed)
    expected, most = by_hand(verifier, how, DEFAULT_TEMPERATURE, seed)
    answer = ask.chat.completions.create(model=f"tiny@{how}-{COUNT}:by=head", **asked)
    assert answer.choices[0].message.content == expected
    told = answer.model_dump()["whetstone"]
    assert told["strategy"] == f"{how}-{COUNT}:by=head" and 0 < told["verifier_tokens"] <= most
    expected, _ = by_hand(verifier, how, 1.0, seed)
    answer = ask.chat.completions.create(model="tiny", n=COUNT, extra_body={"select": f"{how}:by=head"}, **asked)
    assert answer.choices[0].message.content == expected and len(answer.choices) == 1
    assert answer.model_dump()["whetstone"]["strategy"] == f"select-{how}-{COUNT}:by=head"


def test_a_name_of_its_own_and_a_stream(ask: openai.OpenAI, verifier: HeadVerifier) -> None:
    expected, _ = by_hand(verifier, "best", DEFAULT_TEMPERATURE)
    chunks = ask.chat.completions.create(model="judged", messages=ASK, max_tokens=TOKENS, seed=5, stream=True)
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == expected
    text = ask.completions.create(model="tiny@beam-2:by=head", prompt="12+34=", max_tokens=TOKENS, seed=5)
    assert text.model_dump()["whetstone"]["verifier_tokens"] > 0


def test_many_samples_are_judged_piece_by_piece(
    server: Background, ask: openai.OpenAI, verifier: HeadVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the streams of others go on meanwhile; the scores are the same."""
    sizes: list[int] = []
    plain = HeadVerifier.score

    def counted(self: HeadVerifier, candidates: Any) -> Any:
        sizes.append(len(candidates))
        return plain(self, candidates)

    expected, _ = by_hand(verifier, "best", DEFAULT_TEMPERATURE)
    monkeypatch.setattr(HeadVerifier, "score", counted)
    monkeypatch.setattr(attempt, "SCORED_TOKENS", 2 * TOKENS)
    answer = ask.chat.completions.create(model="judged", messages=ASK, max_tokens=TOKENS, seed=5)
    assert answer.choices[0].message.content == expected
    assert len(sizes) >= COUNT // 2 and sum(sizes) == COUNT


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"model": "other@best-3:by=head"}, "no such verifier; known: certainty, confidence, likelihood"),
        ({"model": "other", "n": 2, "select": "best:by=head"}, "no such verifier"),
        ({"model": "tiny", "n": 2, "select": "majority:by=head"}, "the last two also as best:by=VERIFIER"),
        ({"model": "tiny", "n": 2, "select": "best:by="}, "the last two also as best:by=VERIFIER"),
        ({"model": "tiny@best-3:by=HEAD"}, "no such verifier; known: certainty, confidence, head, likelihood"),
    ],
)
def test_where_there_is_no_head(server: Background, asked: dict[str, Any], complaint: str) -> None:
    response = post(server, "/v1/chat/completions", {"messages": ASK, "max_tokens": 2} | asked)
    assert response.status_code == 400 and complaint in response.json()["error"]["message"]


def test_a_head_of_other_weights_is_refused(folder: Path, verifier: HeadVerifier, tmp_path: Path) -> None:
    saved(folder / "other", tmp_path / "others")
    with (
        pytest.raises(UsageError, match=r"made for the weights of .*other, and tiny has others"),
        tiny_server(folder, offers=Offers(heads=(tmp_path / "others",))),
    ):
        pass
    saved(folder / "tiny", tmp_path / "second", seed=4)
    with (
        pytest.raises(UsageError, match="tiny has a verifier already"),
        tiny_server(folder, offers=Offers(heads=(folder / "head", tmp_path / "second"))),
    ):
        pass
    (tmp_path / "second" / heads.WEIGHTS).write_bytes(b"no tensors")
    with (
        pytest.raises(UsageError, match="is damaged"),
        tiny_server(folder, offers=Offers(heads=(tmp_path / "second",))),
    ):
        pass


def test_an_adapter_that_comes_later_has_no_head_of_its_base(folder: Path, server: Background) -> None:
    """The head is found by the model that was hashed, not by a name that another one may take."""
    models = server.server.state.models
    twin = models.add(f"twin={folder / 'tiny'}")
    try:
        response = post(server, "/v1/chat/completions", {"model": "twin@best-2:by=head", "messages": ASK})
        assert response.status_code == 400 and "no such verifier" in response.text
    finally:
        models._table.pop("twin")
        models._retire(twin)


def test_from_the_command_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds no verifier" in refused(capsys, folder / "tiny", "--verifier", tmp_path)
