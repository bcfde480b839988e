"""A server whose model is drafted for: the answers of the engine alone, and figures about the guesses."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx
import pytest

import whetstone as wh
from tests.serving.live import alone, byte_folder, byte_tokenizer, leaks, post, text_of, until
from tests.serving.test_metrics import read
from tests.tiny import tiny_folder
from whetstone.engine.backends import DraftSource
from whetstone.engine.draft import Draft
from whetstone.models.loading import add_lora, load, save_weights
from whetstone.serving.server import Background, Server, Settings
from whetstone.serving.start import engine_maker


def draft_of(running: Background, name: str) -> Draft:
    draft = running.server.state.models.get(name).engine.proposers[0]
    assert isinstance(draft, Draft)
    return draft


def test_answers_and_figures_with_a_draft_model(tmp_path: Path) -> None:
    """The model drafts for itself, and for an adapter on it that changes nothing."""
    folder = byte_folder(tmp_path / "tiny")
    adapted = load(str(folder))
    add_lora(adapted, rank=2, alpha=2, seed=0)
    (tmp_path / "same").mkdir()
    save_weights(adapted, tmp_path / "same")
    make = engine_maker(cache_gib=0.05, draft=DraftSource(str(folder)))
    server = Server([f"tiny={folder}"], {"same": str(tmp_path / "same")}, Settings(port=0), make_engine=make)
    with Background(server) as running:
        drafts = [draft_of(running, name) for name in ("tiny", "same")]
        assert all(draft.stepper.model is server.state.models.get("tiny").loaded.model for draft in drafts)
        for draft in drafts:
            draft.guesses = 3  # however the machine's times turn out
        for name in ("tiny", "same"):
            for temperature in (0.0, 0.8):
                asked = {"model": name, "prompt": "count", "max_tokens": 40, "seed": 5, "temperature": temperature}
                prompt = byte_tokenizer().encode("count")
                said = post(running, "/v1/completions", asked).json()["choices"][0]["text"]
                assert said == text_of(alone(prompt, 40, 5, temperature))
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
        chat = {"model": "tiny", "messages": [{"role": "user", "content": "n?"}], "response_format": form, "seed": 1}
        answers = []
        for guesses in (3, 1):
            drafts[0].guesses = guesses
            answers.append(post(running, "/v1/chat/completions", chat).json()["choices"][0]["message"]["content"])
        assert answers[0] == answers[1] and answers[0].startswith("{")
        found = read(httpx.get(running.url + "/metrics").text)
        for name in ("tiny", "same"):
            of = f'{{model="{name}",proposer="draft"}}'
            accepted = found["whetstone_accepted_tokens_total" + of]
            assert 20 < accepted <= found["whetstone_proposed_tokens_total" + of]
            assert found[f'whetstone_proposed_tokens_total{{model="{name}",proposer="lookup"}}'] >= 0
    assert leaks(running) == []


def test_a_client_that_leaves_frees_what_was_drafted_for_it(tmp_path: Path) -> None:
    folder = byte_folder(tmp_path / "tiny")
    make = engine_maker(cache_gib=0.05, draft=DraftSource(str(folder)))
    with Background(Server([f"tiny={folder}"], None, Settings(port=0), make_engine=make)) as running:
        draft = draft_of(running, "tiny")
        draft.guesses = 2
        asked = {"model": "tiny", "prompt": "count", "max_tokens": 1900, "ignore_eos": True, "stream": True}
        with httpx.Client(timeout=60) as http:
            with http.stream("POST", running.url + "/v1/completions", json=asked) as response:
                lines = response.iter_lines()
                while not draft.stepper.pool.used:
                    next(lines)
            until(lambda: not draft.stepper.pool.used)
        assert draft.stepper.scheduler.idle and not draft._shadows
    assert leaks(running) == [] and threading.active_count() < 50


def test_a_draft_model_with_other_tokens_is_refused(tmp_path: Path) -> None:
    target, other = byte_folder(tmp_path / "tiny"), tiny_folder(tmp_path / "other")
    with pytest.raises(wh.UsageError, match=r"other cannot draft for .*tiny: \d+ of their tokens are not the same"):
        wh.serve(str(target), port=0, draft=str(other))
    with pytest.raises(wh.UsageError, match="name one by --draft"):
        wh.serve(str(target), port=0, draft_weights="int8")
    with pytest.raises(wh.UsageError, match="no storage 'int7'"):
        wh.serve(str(target), port=0, draft=str(target), draft_weights="int7")
