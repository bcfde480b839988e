"""`whet eval` and `whet generate` ask a server as they ask weights: real processes, a real server on the loopback."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import whetstone as wh
from tests.cli.process import start, whet
from tests.engine.remote.loopback import NAME, Loopback, Reply, error, loopback
from tests.tiny import digit_task, tiny_folder, tiny_model

SECRET = "sk-very-secret-0123456789"
HANGING = """
import whetstone as wh


class Silent(wh.Task):
    max_new_tokens = 4

    def sample(self, seed, level):
        return wh.Problem(seed.hex(), {"seed": seed.hex()})

    def check(self, problem, text):
        raise ValueError("it is asked about an answer that never came")
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    tiny_folder(folder / "tiny", seed=3)
    digit_task(folder)
    (folder / "key").write_text(SECRET)
    (folder / "quick.toml").write_text("backoff = 0.01\nretries = 1\n")
    (folder / "silent.py").write_text(HANGING)
    return folder


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback(model=tiny_model(seed=3)) as running:
        yield running


def test_eval_of_an_endpoint(desk: Path, server: Loopback) -> None:
    command = ("eval", server.address, "--model", NAME, "--task", "addition", "--n", 20, "--json")
    done = whet(*command, "--api-key-file", "key", cwd=desk)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["model"] == server.address and found["accuracy"]["n"] == 20 and sum(found["verdicts"].values()) == 20
    backend = found["backend"]
    assert backend["model"] == NAME and backend["usage"]["answered"] == 20 and backend["failures"] == {}
    assert backend["usage"]["completion"] == round(20 * found["tokens_per_answer"])
    assert len(server.asked) == 20 and "answers: 20/20" in done.err
    assert SECRET not in done.out + done.err
    assert {asked.headers["authorization"] for asked in server.asked} == {f"Bearer {SECRET}"}


def test_an_endpoint_of_the_same_weights_scores_the_same(desk: Path, server: Loopback) -> None:
    """Interchangeable: the same problems, and the same greedy answers, whoever runs the model."""
    options = ("--task", "digits", "--n", 30, "--json", "--samples", 3)
    here = json.loads(whet("eval", "tiny", *options, cwd=desk).out)
    there = json.loads(whet("eval", server.address, "--model", NAME, *options, cwd=desk).out)
    # a seed loses its highest bit on the way, so half of the samples are others
    assert here.keys() | {"backend"} == there.keys() and here["key"] == there["key"]
    assert sum(there["verdicts"].values()) == 90 and len(here["pass_at_k"]) == len(there["pass_at_k"])
    greedy = ("--task", "digits", "--n", 30, "--json")
    here = json.loads(whet("eval", "tiny", *greedy, cwd=desk).out)
    there = json.loads(whet("eval", server.address, "--model", NAME, *greedy, cwd=desk).out)
    del there["backend"], there["looks"], here["looks"]
    assert here == there | {"model": "tiny"}


def test_eval_in_words(desk: Path, server: Loopback) -> None:
    (desk / "priced.toml").write_text(
        "[prices]\ninput = 1e6\noutput = 0\ndate = 2026-02-03\nsource = 'https://example.org/prices'\n"
    )
    server.trouble = lambda _asked, before: error(500, "no") if before == 3 else None
    command = ("eval", server.address, "--model", NAME, "--task", "digits", "--n", 10)
    done = whet(*command, "--endpoint-settings", "priced.toml", cwd=desk)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[3].startswith(f"{NAME} at {server.address}: 11 requests, ")
    prompt_tokens = int(lines[3].split(" requests, ")[1].split()[0])
    assert lines[4] == (
        f"cost: at least {prompt_tokens:.4f} USD at the prices of 2026-02-03 (https://example.org/prices)"
    ), "one was asked twice"


def test_answers_that_never_come_are_verdicts(desk: Path, server: Loopback) -> None:
    """The check is not asked about them."""

    def trouble(_asked: object, before: int) -> Reply | None:
        kinds = {1: Reply(raw=b"?"), 2: error(400, "filtered", code="content_filter"), 3: error(418, "teapot")}
        return kinds.get(before)

    server.trouble = trouble
    (desk / "once.toml").write_text("retries = 0\nconcurrency = 1\n")
    command = ("eval", server.address, "--model", NAME, "--n", 12, "--endpoint-settings", "once.toml")
    found = json.loads(whet(*command, "--task", "digits", "--json", cwd=desk).out)
    assert found["verdicts"]["no_answer"] == 3 and found["verdicts"]["error"] == 0
    assert found["backend"]["failures"] == {"error": 2, "refused": 1} and "teapot" in found["backend"]["last_failure"]

    server.asked.clear()
    words = whet(*command, "--task", "digits", cwd=desk).out
    assert "2 answers never came and count as not right; the last: http://127.0.0.1" in words
    assert "1 answers were refusals" in words


def test_nothing_answered_is_no_measurement(desk: Path, server: Loopback) -> None:
    server.trouble = lambda _asked, _before: error(500, "the model is gone")
    command = ("eval", server.address, "--model", NAME, "--n", 5, "--endpoint-settings", "quick.toml")
    failed = whet(*command, "--task", "silent.py:Silent", cwd=desk)
    assert failed.code == 1 and failed.out == ""
    assert failed.complaint.startswith("not one of 5 requests was answered, the last for this: http://127.0.0.1")
    assert failed.complaint.endswith("it answered 500: the model is gone (2 attempts)")


def test_one_line_for_what_is_typed_wrong(desk: Path, server: Loopback) -> None:
    for wrong, complaint in {
        ("--task", "digits"): "an endpoint may serve several models: name one by --model",
        ("--model", "gpt-0", "--task", "digits"): "knows no model 'gpt-0', or the address is wrong",
        ("--model", NAME, "--task", "nope"): "unknown task 'nope'",
        ("--model", NAME, "--backend", "vllm"): "an endpoint brings its own engine",
        ("--model", NAME, "--api-key-file", "none"): "the API key file none cannot be read",
        ("--model", NAME, "--endpoint-settings", "none"): "none cannot be read: No such file",
    }.items():
        refused = whet("eval", server.address, *wrong, "--n", 3, cwd=desk)
        assert refused.code == 2 and refused.out == "" and complaint in refused.complaint, refused
    server.trouble = lambda _asked, _before: error(401, f"wrong key {SECRET}")
    for verb in (("eval", server.address, "--task", "digits"), ("generate", server.address, "Hi")):
        for env in ({"WHETSTONE_TRACEBACK": "0"}, {"WHETSTONE_TRACEBACK": "1"}):
            refused = whet(*verb, "--model", NAME, "--api-key-file", "key", cwd=desk, env=env)
            assert refused.code != 0 and SECRET not in refused.out + refused.err
            assert "does not accept the API key (401)" in refused.err


def test_generate(desk: Path, server: Loopback) -> None:
    command = ("generate", server.address, "What is 2 + 2?", "--model", NAME, "--max-tokens", 5)
    said = whet(*command, cwd=desk)
    assert said.code == 0 and said.err == ""
    assert said.out == whet("generate", "tiny", "What is 2 + 2?", "--max-tokens", 5, cwd=desk).out
    rows = whet(*command, "--n", 3, "--temperature", 1, "--system", "Be brief.", "--json", cwd=desk).out.splitlines()
    assert len(rows) == 3 and len({json.loads(row)["text"] for row in rows}) == 3
    assert server.asked[-1].body["messages"][0] == {"role": "system", "content": "Be brief."}


def test_generate_without_an_answer(desk: Path, server: Loopback) -> None:
    server.trouble = lambda _asked, _before: error(503, "later")
    settings = ("--endpoint-settings", "quick.toml")
    failed = whet("generate", server.address, "Hi", "--model", NAME, *settings, cwd=desk)
    assert failed.code == 1
    assert failed.complaint.endswith("/v1: it answered 503: later (2 attempts)")
    assert failed.complaint.startswith("1 of 1 answers did not come: http://127.0.0.1:")


def test_training_needs_weights(desk: Path, server: Loopback) -> None:
    refused = whet("sharpen", "--model", server.address, "--task", "digits", "--out", "new", cwd=desk)
    assert refused.code == 2 and not (desk / "new").exists()
    assert "is an endpoint: `whet eval` and `whet generate` can ask it, but this needs the weights" in refused.complaint


def test_ctrl_c_while_a_server_hangs(desk: Path, server: Loopback) -> None:
    server.trouble = lambda _asked, before: Reply(hang=120) if before >= 2 else None
    running = start("eval", server.address, "--model", NAME, "--task", "digits", "--n", 50, cwd=desk)
    running.until(lambda: len(server.asked) >= 4)
    running.send(signal.SIGINT)
    stopped = running.finish(seconds=30)
    assert stopped.code == 130 and "Traceback" not in stopped.err
    assert len(server.asked) <= 1 + 1 + 8


def test_from_python(server: Loopback, desk: Path) -> None:
    found = wh.evaluate(wh.Source(server.address, NAME), "addition", n=8, samples=2)
    assert found["accuracy"]["n"] == 8 and found["backend"]["usage"]["answered"] == 16
    quiet = replace(wh.Source(server.address, NAME), settings=desk / "quick.toml")
    assert wh.evaluate(quiet, "addition", n=8)["verdicts"].keys() == found["verdicts"].keys()
