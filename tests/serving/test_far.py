"""Routes that ask endpoints: two real servers, one asks the other; what is counted, what happens in trouble."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.engine.remote.loopback import NAME as LOOPBACK
from tests.engine.remote.loopback import Loopback, Reply, Trouble, error, loopback
from tests.serving.live import byte_folder, client, leaks, post, tiny_server, until
from whetstone.engine.backends import Source
from whetstone.engine.routing.policy import Cascade, Option, Policy
from whetstone.errors import UsageError
from whetstone.evals.looks import identity
from whetstone.serving.offers import Offers
from whetstone.serving.server import Background

ASK: list[Any] = [{"role": "user", "content": "12+34?"}]
QUICK = "retries = 1\nbackoff = 0.01\ntimeout = 5.0\n"


def routed(folder: Path, address: str, model: str, name: str, rule: Cascade, settings: str = QUICK) -> Offers:
    """A server's offer of a route over tiny@consistency-5, far@consistency-3 and far@greedy."""
    folder = folder / name
    folder.mkdir()
    (folder / "settings.toml").write_text(settings)
    (folder / "models.toml").write_text(
        f'[far]\naddress = "{address}"\nmodel = "{model}"\nsettings = "settings.toml"\n'
    )
    own, far = identity(Source(str(folder.parent / "tiny"))), identity(Source(address, model))
    strategies = [(str(folder.parent / "tiny"), "consistency-5", own), ("far", "consistency-3", far)]
    Policy(tuple(Option(*each) for each in [*strategies, ("far", "greedy", far)]), rule).save(folder)
    return Offers(routes={name: folder}, endpoints=folder / "models.toml")


UNSURE, FIRST = Cascade((0, 1), (1.1,)), Cascade((2, 0), (0.0,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("near")
    byte_folder(made / "tiny")
    return made


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    """The endpoint: a server of its own with another model."""
    made = tmp_path_factory.mktemp("second")
    with tiny_server(made, f"big={byte_folder(made / 'big', seed=7)}") as running:
        yield running


@pytest.fixture(scope="module")
def server(folder: Path, second: Background) -> Iterator[Background]:
    with tiny_server(folder, offers=routed(folder, f"{second.url}/v1", "big", "mixed", UNSURE)) as running:
        yield running


def answered(running: Background, model: str, **asked: Any) -> Any:
    asked = {"model": model, "messages": ASK, "max_tokens": 6, "seed": 5} | asked
    return client(running).chat.completions.create(**asked)


@pytest.mark.parametrize("stream", [False, True])
def test_an_unsure_answer_goes_on_to_the_endpoint(server: Background, second: Background, stream: bool) -> None:
    here, there = answered(server, "tiny@consistency-5"), answered(second, "big@consistency-3", temperature=0.7)
    if stream:
        chunks = list(answered(server, "mixed", stream=True, stream_options={"include_usage": True}))
        text = "".join(each.delta.content or "" for chunk in chunks for each in chunk.choices)
        told, usage, print_ = chunks[-2].model_dump()["whetstone"], chunks[-1].usage, chunks[-2].system_fingerprint
    else:
        route = answered(server, "mixed")
        text, usage, print_ = route.choices[0].message.content, route.usage, route.system_fingerprint
        told = route.model_dump()["whetstone"]
    assert text == there.choices[0].message.content and print_ == "far"
    assert told["asked"] == ["tiny@consistency-5", "far@consistency-3"] and told["option"] == told["asked"][1]
    assert told["failed"] == [] and told["samples"] == 8 and told["rounds"] == 2
    assert usage.completion_tokens == here.usage.completion_tokens + there.usage.completion_tokens
    # an endpoint charges the prompt with every sample that is asked for apart
    assert usage.prompt_tokens == here.usage.prompt_tokens + 3 * there.usage.prompt_tokens
    assert 0 < usage.completion_tokens_details.reasoning_tokens < usage.completion_tokens


def test_what_the_request_says_reaches_the_endpoint(folder: Path) -> None:
    with endpoint(folder, "said", Cascade((2,), ())) as (running, far):
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
        turns: list[Any] = [
            {"role": "system", "content": "Sum."},
            {"role": "user", "content": [{"type": "text", "text": "1"}]},
        ]
        answered(running, "said", messages=turns, stop=["!"], response_format=form, max_tokens=7)
        body = far.asked[0].body
        assert body["messages"] == [{"role": "system", "content": "Sum."}, {"role": "user", "content": "1"}]
        assert body["stop"] == ["!"] and body["response_format"] == form and body["max_tokens"] == 7
        assert body["temperature"] == 0 and body["seed"] == 5


@contextmanager
def endpoint(
    folder: Path, name: str, rule: Cascade, trouble: Trouble | None = None, settings: str = QUICK
) -> Iterator[tuple[Background, Loopback]]:
    """A server with a route over a scripted endpoint."""
    with (
        loopback(trouble) as far,
        tiny_server(folder, offers=routed(folder, far.address, LOOPBACK, name, rule, settings)) as running,
    ):
        yield running, far


TROUBLES = {
    "busy": error(503, "overloaded"),
    "a wrong key": error(401, "bad key"),
    "no such model": error(404, "unknown"),
    "a filter": error(400, "flagged", code="content_filter"),
    "nonsense": Reply(raw=b"<html>"),
    "cut": Reply(body={}, cut=True),
    "hangs": Reply(hang=60),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_an_endpoint_that_fails_last_leaves_the_answer_before_it(folder: Path, name: str) -> None:
    trouble, settings = (lambda asked, before: TROUBLES[name]), QUICK.replace("5.0", "0.2")
    with endpoint(folder, f"last {name}", UNSURE, trouble, settings) as (running, far):
        route = answered(running, f"last {name}", stream=False)
        alone = answered(running, "tiny@consistency-5")
        assert route.choices[0].message.content == alone.choices[0].message.content
        told = route.model_dump()["whetstone"]
        assert told["failed"] == ["far@consistency-3"] and told["option"] == "tiny@consistency-5" and far.asked
        assert route.usage.completion_tokens == alone.usage.completion_tokens


def test_one_that_fails_first_is_passed_over_however_little_is_wanted(folder: Path) -> None:
    with endpoint(folder, "first", FIRST, lambda asked, before: error(500, "down")) as (running, _):
        told = answered(running, "first").model_dump()["whetstone"]
        assert told["asked"] == ["far@greedy", "tiny@consistency-5"] and told["failed"] == ["far@greedy"]


@pytest.mark.parametrize("stream", [False, True])
def test_where_nobody_else_was_asked_it_is_a_clear_error(folder: Path, stream: bool) -> None:
    name = f"only {stream}"
    with endpoint(folder, name, Cascade((2,), ()), lambda asked, before: error(500, "down")) as (running, far):
        response = post(running, "/v1/chat/completions", {"model": name, "messages": ASK, "stream": stream})
        assert response.status_code == (200 if stream else 502)
        assert "far did not answer: it answered 500: down (2 attempts)" in response.text
        assert far.address not in response.text and ("[DONE]" not in response.text)
        assert len(far.asked) == 2


def test_nobody_there_at_all(folder: Path) -> None:
    with loopback() as far:
        offers = routed(folder, far.address, LOOPBACK, "gone", Cascade((2,), ()))
    with tiny_server(folder, offers=offers) as running:
        response = post(running, "/v1/chat/completions", {"model": "gone", "messages": ASK})
        assert (
            response.status_code == 502
            and "far did not answer: cannot be reached" in response.json()["error"]["message"]
        )
        assert far.address not in response.text


def test_a_client_that_leaves_ends_what_is_asked_there(folder: Path, second: Background) -> None:
    offers = routed(folder, f"{second.url}/v1", "big", "left", Cascade((1,), ()))
    with tiny_server(folder, offers=offers) as running:
        before = second.server.state.models.get("big").engine.stats.generated_tokens
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{running.url}/v1/chat/completions",
                json={"model": "left", "messages": ASK, "max_tokens": 1900},
                timeout=0.4,
            )
        until(lambda: leaks(second) == [] and leaks(running) == [])
        assert second.server.state.models.get("big").engine.stats.generated_tokens - before < 3 * 1900
        route = running.server.state.routes["left"]
        until(lambda: all(each is None or each.open == 0 for each in route.models))  # type: ignore[union-attr]


def test_too_many_at_once_are_refused_and_those_that_run_share_its_places(folder: Path) -> None:
    settings = QUICK + "concurrency = 2\n"
    with endpoint(folder, "many", Cascade((1,), ()), settings=settings) as (running, far):
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda seed: answered(running, "many", seed=seed), range(6)))
        assert len(found) == 6 and far.most <= 2 and len(far.asked) == 18
        running.server.state.service.max_waiting = 0
        response = post(running, "/v1/chat/completions", {"model": "many", "messages": ASK})
        assert response.status_code == 429 and response.headers["retry-after"]


@pytest.mark.parametrize(
    ("path", "asked", "complaint"),
    [
        ("chat/completions", {"messages": ASK, "stop_token_ids": [3]}, "takes chats, and no ids of tokens"),
        ("completions", {"prompt": "12+34="}, "takes chats, and no ids of tokens"),
        ("chat/completions", {"messages": ASK, "temperature": 1}, "leave out temperature"),
    ],
)
def test_what_an_endpoint_cannot_be_asked(server: Background, path: str, asked: dict[str, Any], complaint: str) -> None:
    response = post(server, f"/v1/{path}", {"model": "mixed"} | asked)
    assert response.status_code == 400 and complaint in response.json()["error"]["message"]


def test_only_the_very_endpoint_is_asked(folder: Path, tmp_path: Path) -> None:
    address = "http://127.0.0.1:9/v1"
    offers = routed(folder, address, "big", "strict", UNSURE)
    with (
        pytest.raises(UsageError, match=r"asks far \(http://127.0.0.1:9/v1, model big\): give --endpoints FILE"),
        tiny_server(folder, offers=Offers(routes=offers.routes)),
    ):
        pass
    for text, complaint in (
        ('[near]\naddress = "http://h/v1"\nmodel = "big"\n', "name it in"),
        ('[far]\naddress = "http://h/v1"\nmodel = "big"\n', "means another by that name"),
        (f'[far]\naddress = "{address}"\nmodel = "other"\n', "means another by that name"),
        ("[far]\n", "address: Field required"),
    ):
        (tmp_path / "models.toml").write_text(text)
        wrong = Offers(routes=offers.routes, endpoints=tmp_path / "models.toml")
        with pytest.raises(UsageError, match=complaint), tiny_server(folder, offers=wrong):
            pass


def test_it_is_listed_with_whom_it_asks(server: Background) -> None:
    told = client(server).models.retrieve("mixed").model_dump()["route"]
    assert told[:2] == ["tiny@consistency-5", "far@consistency-3"]
