"""The key goes into one header of one host, and is seen nowhere else."""

from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path

import pytest

from tests.engine.remote.loopback import NAME, Asked, Reply, error, loopback
from whetstone.engine.backends import Source
from whetstone.engine.protocol import Request, SamplingParams
from whetstone.engine.remote.credentials import VARIABLE, ApiKey
from whetstone.engine.remote.endpoint import Endpoint
from whetstone.engine.remote.settings import EndpointSettings
from whetstone.errors import UsageError

SECRET = "sk-very-secret-0123456789"
QUICK = EndpointSettings(backoff=0.01, retries=1)
PARAMS = SamplingParams(5)
REQUESTS = [Request((), (seed,), ({"role": "user", "content": "hello"},)) for seed in range(3)]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key.txt"
    path.write_text(f"  {SECRET}\n")
    return path


def authorizations(asked: list[Asked]) -> set[str | None]:
    return {each.headers.get("authorization") for each in asked}


def test_it_is_sent_and_not_shown(key_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = ApiKey.from_file(key_file)
    with loopback() as server:
        endpoint = Endpoint(server.address, NAME, key, QUICK)
        endpoint.sample(REQUESTS, PARAMS)
        assert authorizations(server.asked) == {f"Bearer {SECRET}"}
    for shown in (repr(key), str(key), f"{key}", repr(endpoint), json.dumps(endpoint.facts()), caplog.text):
        assert SECRET not in shown
    with pytest.raises(TypeError):
        pickle.dumps(key)
    assert caplog.text, "what httpx logs was looked at"


ECHOES = {
    "401": error(401, f"Incorrect API key provided: {SECRET}"),
    "404": error(404, f"no model for {SECRET}"),
    "400": error(400, f"bad request by Bearer {SECRET}, {SECRET}"),
    "500": error(500, f"crashed on Bearer {SECRET}"),
    "500 at length": error(500, "x" * 280 + SECRET + "y" * 500),
    "302": Reply(302, headers={"location": f"http://{SECRET}.invalid/{SECRET}"}),
    "302 broken": Reply(302, headers={"location": f"http://[{SECRET}"}),
    "malformed": Reply(raw=SECRET.encode()),
    "an answer": Reply(body={"choices": [{"message": {"content": f"you are {SECRET}!"}, "finish_reason": "stop"}]}),
}


@pytest.mark.parametrize("reply", ECHOES.values(), ids=ECHOES.keys())
@pytest.mark.parametrize("later", [False, True])
def test_a_server_that_repeats_the_key(reply: Reply, later: bool, key_file: Path) -> None:
    key = ApiKey.from_file(key_file)
    with loopback(lambda _asked, before: None if later and before == 0 else reply) as server:
        endpoint = Endpoint(server.address, NAME, key, QUICK)
        try:
            shown = repr(endpoint.sample(REQUESTS, PARAMS))
        except UsageError as failure:
            shown = str(failure)
        assert server.asked
    for part in range(len(SECRET) - 9):  # not a piece of it either
        assert SECRET[part : part + 10] not in shown + json.dumps(endpoint.facts()) + endpoint.last_failure


def test_it_does_not_follow_a_redirect(key_file: Path) -> None:
    with loopback() as other, loopback(lambda _a, _b: Reply(307, headers={"location": other.address})) as server:
        with pytest.raises(UsageError, match=r"sends us on to 127.0.0.1 \(307\)"):
            Endpoint(server.address, NAME, ApiKey.from_file(key_file)).sample(REQUESTS, PARAMS)
        assert len(server.asked) == 1 and not other.asked


def test_where_the_key_comes_from(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "from-the-environment")
    with loopback() as server:
        Source(server.address, NAME).open().sampler.sample(REQUESTS[:1], PARAMS)
        Source(server.address, NAME, key_file).open().sampler.sample(REQUESTS[:1], PARAMS)
        monkeypatch.setenv(VARIABLE, " ")
        Source(server.address, NAME).open().sampler.sample(REQUESTS[:1], PARAMS)
        sent = [authorizations([asked]).pop() for asked in server.asked]
    assert sent == ["Bearer from-the-environment", f"Bearer {SECRET}", None]


def test_the_variable_does_not_travel_unencrypted(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment stands on the way, and sees what another machine would be sent."""
    monkeypatch.setenv(VARIABLE, "from-the-environment")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with loopback() as proxy:
        monkeypatch.setenv("http_proxy", proxy.address.removesuffix("/v1"))
        Source("http://model.invalid/v1", NAME).open().sampler.sample(REQUESTS[:1], PARAMS)
        Source("http://model.invalid/v1", NAME, key_file).open().sampler.sample(REQUESTS[:1], PARAMS)
        assert [asked.path for asked in proxy.asked] == ["http://model.invalid/v1/chat/completions"] * 2
        assert [authorizations([asked]).pop() for asked in proxy.asked] == [None, f"Bearer {SECRET}"]


def test_no_proxy_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with loopback() as server:
        Endpoint(server.address, NAME, settings=QUICK).sample(REQUESTS, PARAMS)
        assert len(server.asked) == 3
    with pytest.raises(UsageError, match="cannot be reached"):
        Endpoint("http://model.invalid/v1", NAME, settings=QUICK).sample(REQUESTS, PARAMS)


@pytest.mark.parametrize("content", [b"", b" \n", b"two words", "schlüssel".encode(), b"\xff\xfe", b"line\nbreak"])
def test_files_that_hold_no_key(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="key") as raised:
        ApiKey.from_file(path)
    assert "words" not in str(raised.value) and "break" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the API key file .*none cannot be read: No such file"):
        ApiKey.from_file(tmp_path / "none")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        ApiKey.from_file(tmp_path)
