"""Everything that goes wrong between us and a server, over real sockets."""

from __future__ import annotations

import _thread
import asyncio
import gzip
import json
import socket
import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.engine.remote.loopback import NAME, Asked, Reply, Trouble, error, in_turn, loopback
from whetstone.engine.protocol import Completion, Request, SamplingParams
from whetstone.engine.remote import delivery, pace
from whetstone.engine.remote.calling import GIVE_UP_AFTER
from whetstone.engine.remote.endpoint import Endpoint, is_loopback
from whetstone.engine.remote.settings import EndpointSettings
from whetstone.errors import UsageError

QUICK = EndpointSettings(backoff=0.01, retries=3)
PARAMS = SamplingParams(5, 1.0)


def request(text: str = "hello", *seeds: int) -> Request:
    return Request((), seeds or (1,), ({"role": "user", "content": text},))


def many(count: int) -> list[Request]:
    return [request(f"question {number}", number) for number in range(count)]


def finishes(found: list[list[Completion]]) -> list[str]:
    return [each.finish for group in found for each in group]


def on(text: str, reply: Reply) -> Trouble:
    """`reply` to whoever asks for `text`."""
    return lambda asked, _before: reply if text in str(asked.body.get("messages")) else None


def said(text: str = "hi", **choice: Any) -> Reply:
    message = {"role": "assistant", "content": text}
    return Reply(body={"choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}]})


TRANSIENT = {
    "429": error(429, "slow down", {"retry-after": "0.02"}),
    "500": error(500, "oops"),
    "503 without a body": Reply(503, raw=b""),
    "529": error(529, "overloaded"),
    "cut": replace(said(), cut=True),
    "half of a JSON": Reply(raw=b'{"choices": [{"mess'),
    "not UTF-8": Reply(raw=b"\xff\xfe\x00"),
    "deep": Reply(raw=b"[" * 100_000),
    "huge number": Reply(raw=b'{"choices": ' + b"9" * 5000 + b"}"),
    "no choices": Reply(body={"choices": []}),
    "an error with status 200": Reply(body={"error": {"message": "upstream is gone", "code": 502}}),
    "choices of a wrong type": Reply(body={"choices": {"0": "hi"}}),
    "a message of a wrong type": Reply(body={"choices": [{"message": ["hi"]}]}),
    "content of a wrong type": said(text=7),  # type: ignore[arg-type]
    "a choice that failed": said(finish_reason="error"),
    "html": Reply(502, raw=b"<html>Bad Gateway</html>", headers={"content-type": "text/html"}),
    "not gzip": Reply(raw=b"plain", headers={"content-encoding": "gzip"}),
}


@pytest.mark.parametrize("reply", TRANSIENT.values(), ids=TRANSIENT.keys())
def test_what_passes_is_asked_again(reply: Reply) -> None:
    with loopback(in_turn(reply, reply)) as server:
        endpoint = Endpoint(server.address, NAME, settings=QUICK)
        found = endpoint.sample([request()], PARAMS)
        assert finishes(found) in (["stop"], ["length"]) and found[0][0].text is not None
        assert len(server.asked) == 3 and endpoint.usage.retries == 2 and not endpoint.failures
        assert [asked.body for asked in server.asked] == [server.asked[0].body] * 3


@pytest.mark.parametrize("name", ["500", "cut", "half of a JSON", "429"])
def test_what_does_not_pass_costs_one_answer_only(name: str) -> None:
    with loopback(on("question 2", TRANSIENT[name])) as server:
        endpoint = Endpoint(server.address, NAME, settings=QUICK)
        found = endpoint.sample(many(5), PARAMS)
        assert [finish == "error" for finish in finishes(found)] == [False, False, True, False, False]
        assert found[2][0].text == "" and found[2][0].length == 0
        assert len(server.asked) == 4 + 1 + QUICK.retries
        assert endpoint.failures == {"error": 1} and "(4 attempts)" in endpoint.last_failure


def test_a_server_that_hangs_is_a_timeout() -> None:
    settings = EndpointSettings(backoff=0.01, retries=1, timeout=0.3)
    with loopback(on("question 1", Reply(hang=60))) as server:
        endpoint = Endpoint(server.address, NAME, settings=settings)
        assert [finish == "timeout" for finish in finishes(endpoint.sample(many(3), PARAMS))] == [False, True, False]
        assert len(server.asked) == 4 and endpoint.failures == {"timeout": 1}
        assert endpoint.last_failure.endswith("no answer within 0.3 s (2 attempts)")


def test_one_that_sends_a_byte_now_and_then_is_one_as_well() -> None:
    """Each byte in time, the whole never: the limit is for the whole."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    settings = EndpointSettings(backoff=0.01, retries=0, timeout=0.5)

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            try:
                while True:
                    connection.sendall(b" ")
                    time.sleep(0.05)
            except OSError:
                pass

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    assert finishes(Endpoint(address, NAME, settings=settings).sample([request()], PARAMS)) == ["timeout"]
    thread.join(10)
    listener.close()
    assert not thread.is_alive(), "the connection was given up"


def test_retry_after_is_honoured_by_everybody() -> None:
    def busy(_asked: Asked, before: int) -> Reply | None:
        if before == 1:
            return error(429, "wait", {"retry-after": "0.5"})
        return replace(said(), hang=0.2) if before in (2, 3) else None

    with loopback(busy) as server:
        endpoint = Endpoint(server.address, NAME, settings=QUICK.model_copy(update={"concurrency": 3}))
        assert "error" not in finishes(endpoint.sample(many(9), PARAMS))
        times = [asked.at for asked in server.asked]
        assert len(times) == 10 and times[4] - times[1] >= 0.5


def test_one_that_asks_to_wait_for_an_hour_is_not_waited_for() -> None:
    with loopback(on("question 1", error(429, "quota of the day", {"retry-after": "3600"}))) as server:
        endpoint = Endpoint(server.address, NAME, settings=QUICK)
        assert finishes(endpoint.sample(many(3), PARAMS))[1] == "error"
        assert "quota of the day, and it asks to wait 3600 s, which is too long" in endpoint.last_failure
        assert len(server.asked) == 3


@pytest.mark.parametrize("packed", [False, True])
def test_a_huge_body_is_dropped_and_not_asked_for_again(monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    monkeypatch.setattr(delivery, "LARGEST_RESPONSE", 1 << 20)
    huge = b" " * (8 << 20)
    reply = Reply(raw=gzip.compress(huge), headers={"content-encoding": "gzip"}) if packed else Reply(raw=huge)
    with loopback(on("question 1", reply)) as server:
        endpoint = Endpoint(server.address, NAME, settings=QUICK)
        assert finishes(endpoint.sample(many(3), PARAMS))[1] == "error"
        assert len(server.asked) == 3 and endpoint.last_failure.endswith("a response of more than 1 MiB")


REFUSALS = {
    "refusal": said(text=None, message={"role": "assistant", "content": None, "refusal": "I can't."}),  # type: ignore[arg-type]
    "filtered answer": said("half of", finish_reason="content_filter"),
    "filtered prompt": error(400, "The response was filtered due to our policy", code="content_filter"),
    "moderated": error(403, "Your input was flagged by moderation"),
}


@pytest.mark.parametrize("reply", REFUSALS.values(), ids=REFUSALS.keys())
@pytest.mark.parametrize("first", [False, True])
def test_a_refusal_is_an_ending_of_its_own(reply: Reply, first: bool) -> None:
    refused = 0 if first else 1
    with loopback(on(f"question {refused}", reply)) as server:
        endpoint = Endpoint(server.address, NAME, settings=QUICK)
        found = endpoint.sample(many(3), PARAMS)
        assert [finish == "refused" for finish in finishes(found)] == [place == refused for place in range(3)]
        assert endpoint.failures == {"refused": 1} and len(server.asked) == 3


HOPELESS = {
    "wrong key": (error(401, "Incorrect API key provided: sk-12***"), r"does not accept a request without an API key"),
    "no right": (error(403, "You have no access"), r"does not accept a request without an API key"),
    "no model": (None, r"knows no model 'gpt-0', or the address is wrong: .* \(404: The model `gpt-0` does not exist"),
    "no money": (error(429, "You exceeded your quota", code="insufficient_quota"), "for this account any more: You"),
    "elsewhere": (Reply(302, headers={"location": "http://evil.invalid/v1"}), r"sends us on to evil.invalid \(302\)"),
    "bad request": (error(400, "messages: too many"), r"refuses the request \(400: messages: too many\)"),
}


@pytest.mark.parametrize(("reply", "complaint"), HOPELESS.values(), ids=HOPELESS.keys())
def test_what_no_second_request_can_mend_is_said_at_the_first(reply: Reply | None, complaint: str) -> None:
    with loopback(lambda _asked, _before: reply) as server:
        with pytest.raises(UsageError, match=complaint) as raised:
            Endpoint(server.address, "gpt-0", settings=QUICK).sample(many(20), PARAMS)
        assert len(server.asked) == 1 and str(raised.value).startswith(server.address)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(UsageError, match=r"/v1 cannot be reached \(.*\): is it running\?"):
        Endpoint(address, NAME).sample(many(3), PARAMS)


@pytest.mark.parametrize(
    "address", ["http://", "https://user:secret@host/v1", "https://host/v1?key=secret", "ftp://h/v1"]
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(UsageError) as raised:
        Endpoint(address, NAME)
    assert "secret" not in str(raised.value)


def test_a_key_that_is_revoked_midway_costs_the_rest_and_not_what_was_answered() -> None:
    with loopback(lambda _asked, before: error(401, "revoked") if before >= 10 else None) as server:
        settings = QUICK.model_copy(update={"concurrency": 2})
        endpoint = Endpoint(server.address, NAME, settings=settings)
        found = finishes(endpoint.sample(many(40), PARAMS))
        assert found[:9].count("error") == 0 and found.count("error") == 30
        assert len(server.asked) <= 12, "the rest is not asked"


def test_a_server_that_died_is_not_asked_a_thousand_times() -> None:
    settings = QUICK.model_copy(update={"concurrency": 1, "retries": 1})
    with loopback(lambda _asked, before: error(500, "dead") if before >= 5 else None) as server:
        endpoint = Endpoint(server.address, NAME, settings=settings)
        found = finishes(endpoint.sample(many(200), PARAMS))
        assert found.count("error") == 195 and len(server.asked) == 5 + 2 * GIVE_UP_AFTER


def test_parameters_that_a_server_does_not_take() -> None:
    with loopback(strict=("seed", "logprobs")) as server:
        endpoint = Endpoint(server.address, NAME, settings=QUICK)
        found = endpoint.sample(many(4), PARAMS)
        assert set(finishes(found)) <= {"stop", "length"} and all(group[0].logprobs == () for group in found)
        assert all(1 <= group[0].length <= 5 for group in found), "the server's own count"
        assert endpoint.facts()["left_out"] == ["logprobs", "seed"]
        assert len(server.asked) == 4 + 2, "learnt once, at the first"


def test_the_limit_goes_by_two_names() -> None:
    message = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    )

    def modern(asked: Asked, _before: int) -> Reply | None:
        return error(400, message, param="max_tokens") if "max_tokens" in asked.body else None

    with loopback(modern) as server:
        settings = QUICK.model_copy(update={"reasoning_room": 3})
        found = Endpoint(server.address, NAME, settings=settings).sample(many(2), PARAMS)
        assert set(finishes(found)) <= {"stop", "length"}
        assert [asked.body.get("max_completion_tokens") for asked in server.asked] == [None, 8, 8]


def test_complaints_in_the_form_of_fastapi() -> None:
    def picky(asked: Asked, _before: int) -> Reply | None:
        detail = [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "input": asked.body}]
        return Reply(422, {"detail": detail}) if "seed" in asked.body else None

    with loopback(picky) as server:
        endpoint = Endpoint(server.address, NAME, settings=QUICK)
        assert finishes(endpoint.sample(many(2), PARAMS)) and endpoint.facts()["left_out"] == ["seed"]


def test_a_temperature_that_is_not_taken_is_never_dropped_in_silence() -> None:
    complaint = "Unsupported value: 'temperature' does not support 0 with this model."

    def fixed(asked: Asked, _before: int) -> Reply | None:
        return error(400, complaint, param="temperature") if "temperature" in asked.body else None

    with loopback(fixed) as server:
        with pytest.raises(UsageError, match="temperature"):
            Endpoint(server.address, NAME, settings=QUICK).sample(many(2), PARAMS)
        endpoint = Endpoint(server.address, NAME, settings=QUICK.model_copy(update={"omit": ("temperature",)}))
        assert "error" not in finishes(endpoint.sample(many(2), PARAMS))
        assert endpoint.facts()["left_out"] == ["temperature"]


def test_several_answers_of_one_request() -> None:
    settings = QUICK.model_copy(update={"answers_per_request": 3})
    with loopback() as server:
        endpoint = Endpoint(server.address, NAME, settings=settings)
        found = endpoint.sample([request("a", *range(7)), request("b", 9)], PARAMS)
        assert [len(group) for group in found] == [7, 1]
        assert sorted(asked.body.get("n", 1) for asked in server.asked) == [1, 1, 3, 3]
        lengths = sum(each.length for group in found for each in group)
        assert endpoint.usage.completion == lengths and endpoint.usage.answered == 4


@pytest.mark.parametrize("how", ["ignored", "turned away"])
def test_a_server_that_gives_one_answer_at_a_time(how: str) -> None:
    def one(asked: Asked, _before: int) -> Reply | None:
        asked.body.pop("n", None)
        return None

    settings = QUICK.model_copy(update={"answers_per_request": 3, "concurrency": 1})
    refusing = in_turn(error(400, "this server supports only 'n' = 1", param="n"))
    with loopback(one if how == "ignored" else refusing) as server:
        found = Endpoint(server.address, NAME, settings=settings).sample([request("a", *range(6))], PARAMS)
        assert [each.finish in ("stop", "length") for each in found[0]] == [True] * 6
        assert len({each.text for each in found[0]}) >= 4, "each with its own seed, once it is known"
        assert len(server.asked) <= 8


def test_no_more_at_the_same_time_than_allowed_and_the_first_alone() -> None:
    settings = QUICK.model_copy(update={"concurrency": 3})

    def slow(_asked: Asked, _before: int) -> Reply:
        return replace(said(), hang=0.05)

    with loopback(slow) as server:
        Endpoint(server.address, NAME, settings=settings).sample(many(12), PARAMS)
        assert server.most == 3 and server.asked[1].at - server.asked[0].at >= 0.05


def test_requests_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "MINUTE", 0.4)
    settings = QUICK.model_copy(update={"requests_per_minute": 3})
    with loopback() as server:
        begin = time.monotonic()
        Endpoint(server.address, NAME, settings=settings).sample(many(9), PARAMS)
        assert time.monotonic() - begin >= 0.8 and len(server.asked) == 9


def test_tokens_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "MINUTE", 0.4)
    with loopback() as server:
        # honest prompts here have 13 tokens, answers up to 5; the guess is at most 4 + 4 + 5
        settings = QUICK.model_copy(update={"tokens_per_minute": 30})
        begin = time.monotonic()
        Endpoint(server.address, NAME, settings=settings).sample(many(5), PARAMS)
        assert time.monotonic() - begin >= 0.8 and len(server.asked) == 5


def test_the_servers_count_replaces_the_guess() -> None:
    """Ten answers of a hundred tokens would not fit into this minute; ten of a few do."""
    settings = QUICK.model_copy(update={"tokens_per_minute": 400, "deadline": 20.0, "concurrency": 1})
    reply = said("42")
    assert isinstance(reply.body, dict)
    reply.body["usage"] = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
    with loopback(lambda _asked, _before: reply) as server:
        found = Endpoint(server.address, NAME, settings=settings).sample(many(10), SamplingParams(100))
        assert finishes(found) == ["stop"] * 10


def test_the_deadline_ends_it() -> None:
    settings = QUICK.model_copy(update={"deadline": 0.6, "concurrency": 2})

    def stuck(_asked: Asked, before: int) -> Reply | None:
        return Reply(hang=60) if before >= 3 else None

    with loopback(stuck) as server:
        endpoint = Endpoint(server.address, NAME, settings=settings)
        found = finishes(endpoint.sample(many(50), PARAMS))
        assert found.count("timeout") == 47 and len(server.asked) == 5


def test_usage_and_cost() -> None:
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 500,
        "prompt_tokens_details": {"cached_tokens": 400},
        "completion_tokens_details": {"reasoning_tokens": 450},
    }
    prices = {"input": 2.0, "output": 8.0, "cached": 0.5, "date": "2026-01-31", "source": "https://example.org/prices"}
    settings = EndpointSettings.model_validate({"prices": prices})
    reply = said("42")
    assert isinstance(reply.body, dict)
    reply.body["usage"] = usage
    with loopback(lambda _asked, _before: reply) as server:
        endpoint = Endpoint(server.address, NAME, settings=settings)
        found = endpoint.sample(many(3), PARAMS)
        assert {(each.text, each.length, each.ids) for group in found for each in group} == {("42", 500, ())}
        facts = endpoint.facts()
        assert facts["usage"] | {"requests": 3} == facts["usage"]
        assert [facts["usage"][name] for name in ("prompt", "completion", "reasoning", "cached", "uncounted")] == [
            3000,
            1500,
            1350,
            1200,
            0,
        ]
        assert facts["cost"]["usd"] == pytest.approx((1800 * 2 + 1200 * 0.5 + 1500 * 8) / 1e6)
        assert facts["cost"]["complete"] and facts["cost"]["date"] == "2026-01-31"
        json.dumps(facts)


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": -1, "completion_tokens": 10**40}, [1], {"prompt_tokens": "9"}]
)
def test_counts_that_are_none(usage: object) -> None:
    reply = said("42", logprobs={"content": [{"logprob": -0.5}, {"logprob": -0.25}]})
    assert isinstance(reply.body, dict)
    reply.body["usage"] = usage
    with loopback(lambda _asked, _before: reply) as server:
        endpoint = Endpoint(server.address, NAME)
        found = endpoint.sample([request()], PARAMS)[0][0]
        assert found.logprobs == (-0.5, -0.25) and found.length == 2
        assert endpoint.usage.uncounted == 1 and endpoint.usage.prompt == endpoint.usage.completion == 0


@pytest.mark.parametrize("logprobs", [[-1.0, -2.0], [-1.0, None, -2.0], [-1.0, float("nan"), -2.0], "abc"])
def test_log_probabilities_that_are_not_one_per_id(logprobs: object) -> None:
    choice = {"text": "a", "token_ids": [5, 6, 1], "logprobs": {"token_logprobs": logprobs}, "finish_reason": "stop"}
    with loopback(lambda _asked, _before: Reply(body={"choices": [choice]})) as server:
        found = Endpoint(server.address, NAME).sample([Request((7, 8), (1,))], PARAMS)[0][0]
        assert found.ids == (5, 6, 1) and found.logprobs == () and found.length == 3 and found.text == "a"


def test_text_that_no_file_can_hold() -> None:
    with loopback(lambda _asked, _before: Reply(raw=b'{"choices": [{"message": {"content": "a\\ud800b"}}]}')) as server:
        text = Endpoint(server.address, NAME).sample([request()], PARAMS)[0][0].text
        assert text == "a\ufffdb" and text.encode()


class Nothing:
    """A constraint, as far as an endpoint looks at it."""

    def mask(self) -> np.ndarray:
        return np.zeros(1, dtype=bool)

    def accept(self, token: int) -> None:
        pass

    def fork(self) -> Nothing:
        return self


def test_further_ways_of_sampling_go_along() -> None:
    with loopback(lambda _asked, _before: said()) as server:
        endpoint = Endpoint(server.address, NAME)
        endpoint.sample([request()], SamplingParams(5))
        endpoint.sample([request()], SamplingParams(5, top_p=0.9, top_k=4, logit_bias={7: -100.0}))
        plain, rich = (asked.body for asked in server.asked)
        assert plain.keys() == {"model", "messages", "temperature", "seed", "max_tokens", "logprobs"}
        assert rich == plain | {"top_p": 0.9, "top_k": 4, "logit_bias": {"7": -100.0}}
        with pytest.raises(UsageError, match="structured output needs the local engine"):
            endpoint.sample([request()], SamplingParams(5, constraint=Nothing()))


def test_extra_parameters() -> None:
    settings = EndpointSettings(extra={"reasoning_effort": "low"}, logprobs=False)
    with loopback(lambda _asked, _before: said()) as server:
        endpoint = Endpoint(server.address, NAME, settings=settings)
        endpoint.sample([request()], PARAMS)
        assert server.asked[0].body["reasoning_effort"] == "low" and "logprobs" not in server.asked[0].body
        assert endpoint.facts()["extra"] == {"reasoning_effort": "low"}


def test_inside_an_event_loop() -> None:
    """As in a notebook, or in a server of our own."""

    async def cell() -> list[list[Completion]]:
        return Endpoint(server.address, NAME).sample(many(3), PARAMS)

    with loopback() as server:
        assert "error" not in finishes(asyncio.run(cell()))
    with pytest.raises(UsageError, match="cannot be reached"):
        asyncio.run(cell())


def test_ctrl_c_inside_an_event_loop() -> None:
    """Nothing goes on being asked behind the user's back."""

    async def cell() -> None:
        Endpoint(server.address, NAME, settings=QUICK.model_copy(update={"concurrency": 2})).sample(many(200), PARAMS)

    def interrupt(_asked: Asked, before: int) -> Reply:
        if before == 5:
            _thread.interrupt_main()
        return replace(said(), hang=0.01)

    loop = asyncio.new_event_loop()
    with loopback(interrupt) as server:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(cell())
        asked = len(server.asked)
        time.sleep(0.3)
        assert 6 <= asked == len(server.asked) < 100
    loop.close()


class Enough(Exception):
    pass


def test_whoever_watches_can_stop_it() -> None:
    def watch(done: int, _wanted: int) -> None:
        if done == 4:
            raise Enough

    settings = QUICK.model_copy(update={"concurrency": 2})
    with loopback() as server:
        with pytest.raises(Enough):
            Endpoint(server.address, NAME, settings=settings).sample(many(100), PARAMS, watch)
        assert len(server.asked) <= 7


def test_what_is_this_machine() -> None:
    for host in ("localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.9.9.9", "[::1]", "0.0.0.0"):
        assert is_loopback(f"http://{host}:8000/v1"), host
    for host in ("example.org", "localhost.evil.org", "128.0.0.1", "[2001:db8::1]", "127.0.0.1.evil.org", "10.0.0.1"):
        assert not is_loopback(f"http://{host}/v1"), host
