"""Clients that leave, queues that are full, and stopping."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.process import Running, start, whet
from tests.serving.live import alone, byte_folder, byte_tokenizer, leaks, post, text_of, tiny_server, until
from whetstone.serving.limits import Limits
from whetstone.serving.server import Background

LONG: dict[str, Any] = {"model": "tiny", "prompt": "count", "max_tokens": 1900, "ignore_eos": True, "temperature": 0}


@contextmanager
def talking(running: Background, asked: dict[str, Any]) -> Iterator[Iterator[str]]:
    """The events of a stream, whose first one has come; leaving the block closes the connection."""
    with (
        httpx.Client(timeout=60) as http,
        http.stream("POST", running.url + "/v1/completions", json=asked | {"stream": True}) as response,
    ):
        assert response.status_code == 200
        lines = response.iter_lines()
        assert next(lines).startswith("data: {")
        yield lines


def engine_of(running: Background) -> Any:
    return running.server.state.models.get("tiny").engine


def sent(running: Background, asked: dict[str, Any]) -> socket.socket:
    """A connection on which a request was sent and nothing was read."""
    host, port = running.url.removeprefix("http://").split(":")
    body = json.dumps(asked).encode()
    connection = socket.create_connection((host, int(port)), timeout=60)
    head = f"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


@pytest.mark.parametrize("streaming", [True, False])
def test_a_client_that_leaves_ends_its_work(tmp_path: Path, streaming: bool) -> None:
    with tiny_server(tmp_path) as running:
        engine = engine_of(running)
        if streaming:
            with talking(running, LONG):
                assert not engine.idle
        else:
            connection = sent(running, LONG)
            until(lambda: engine.stats.generated_tokens > 3)
            connection.close()
        until(lambda: leaks(running) == [])
        assert engine.stats.generated_tokens < 1900
        assert running.server.state.disconnects == 1


def test_one_that_leaves_while_it_waits(tmp_path: Path) -> None:
    with tiny_server(tmp_path) as running, talking(running, LONG | {"n": 32}):
        engine = engine_of(running)
        waiting = [sent(running, LONG | {"n": 32}) for _ in range(4)]  # 128 sequences run at most
        until(lambda: len(engine.scheduler.waiting) > 0)
        for connection in waiting:
            connection.close()
        until(lambda: running.server.state.disconnects == 4)
        until(lambda: running.server.state.service.open == 1)
        assert engine.stats.generated_tokens < 3 * 32 * 1900  # the four that left would have made as many and more


def test_a_full_queue_asks_to_come_back(tmp_path: Path) -> None:
    with tiny_server(tmp_path, limits=Limits(queue=2)) as running:
        with talking(running, LONG):
            response = post(running, "/v1/completions", LONG | {"prompt": ["one", "two"]})
            assert response.status_code == 429
            assert response.headers["retry-after"] == "1"
            assert response.json()["error"]["code"] == "queue_full"
            assert response.json()["error"]["type"] == "rate_limit_error"
            until(lambda: running.server.state.service.open == 1)  # its first prompt has been given up
            short = LONG | {"max_tokens": 3}
            assert post(running, "/v1/completions", short).status_code == 200
        until(lambda: leaks(running) == [])


def test_stopping_lets_what_runs_finish(tmp_path: Path) -> None:
    expected = text_of(alone(byte_tokenizer().encode("count"), 200))
    with tiny_server(tmp_path) as running:
        with talking(running, LONG | {"max_tokens": 200, "ignore_eos": False}) as lines:
            stopping = threading.Thread(target=running.stop)
            stopping.start()
            until(lambda: running.server.state.closing)
            with pytest.raises(httpx.HTTPError):  # nobody listens any more
                while httpx.get(running.url + "/health", timeout=5).status_code == 503:
                    pass
            events = [line.removeprefix("data: ") for line in lines if line]
            assert events.pop() == "[DONE]"
            text = "".join(json.loads(event)["choices"][0]["text"] for event in events)
            assert expected.endswith(text) and len(text) > len(expected) / 2
        stopping.join(60)
        assert not stopping.is_alive()


def test_what_does_not_finish_in_time_is_told(tmp_path: Path) -> None:
    with tiny_server(tmp_path, patience=0.1) as running:
        answers: list[httpx.Response] = []
        asking = threading.Thread(target=lambda: answers.append(post(running, "/v1/completions", LONG)))
        asking.start()
        with talking(running, LONG) as lines:
            until(lambda: running.server.state.service.open == 2)
            running.stop()
            events = [line.removeprefix("data: ") for line in lines if line]
        asking.join(60)
        assert json.loads(events[-1])["error"]["code"] == "shutting_down"
        assert answers[0].status_code == 503
        assert answers[0].json()["error"]["code"] == "shutting_down"


def test_a_second_stop_is_at_once(tmp_path: Path) -> None:
    with tiny_server(tmp_path, patience=600.0) as running, talking(running, LONG) as lines:
        running.server.stop()
        until(lambda: running.server.state.closing)
        running.server.stop()
        events = [line.removeprefix("data: ") for line in lines if line]
        assert json.loads(events[-1])["error"]["code"] == "shutting_down"


def served(tmp_path: Path, *arguments: object) -> tuple[Running, str]:
    """`whet serve` in a process, and the line that it prints when it is ready."""
    folder = byte_folder(tmp_path / "tiny")
    running = start("serve", folder, "--port", 0, "--cache-gib", 0.1, *arguments, cwd=tmp_path)
    running.until(lambda: "\n" in _printed(tmp_path), seconds=120)
    return running, _printed(tmp_path)


def _printed(tmp_path: Path) -> str:
    return "".join(path.read_text() for path in tmp_path.glob(".out*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command(tmp_path: Path, number: signal.Signals) -> None:
    keys = tmp_path / "keys"
    keys.write_text("# mine\nabc\n\n")
    running, line = served(tmp_path, "--json", "--api-key-file", keys)
    ready = json.loads(line)
    assert ready["models"] == ["tiny"]
    asked = {"model": "tiny", "prompt": "x", "max_tokens": 3}
    assert httpx.post(ready["url"] + "/v1/completions", json=asked, timeout=60).status_code == 401
    headers = {"authorization": "Bearer abc"}
    response = httpx.post(ready["url"] + "/v1/completions", json=asked, headers=headers, timeout=60)
    assert response.status_code == 200
    running.send(number)
    finished = running.finish()
    assert finished.code == 0, finished.err
    assert finished.out == line and finished.err == ""


def test_the_line_for_people(tmp_path: Path) -> None:
    running, line = served(tmp_path)
    assert line.startswith("serving tiny at http://127.0.0.1:") and line.endswith("/v1\n")
    running.send(signal.SIGTERM)
    assert running.finish().code == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("no-such-model",), "no-such-model"),
        (("tiny", "--host", "0.0.0.0"), "--api-key-file"),
        (("tiny", "tiny"), "two models"),
        (("tiny", "--api-key-file", "missing"), "missing"),
        (("tiny", "--api-key-file", "empty"), "holds no key"),
        (("tiny", "--adapter", "x"), "NAME=DIR"),
        (("tiny", "--adapter", "x=missing"), "missing"),
        (("tiny", "--host", "no.such.host.invalid", "--api-key-file", "keys"), "cannot listen"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, arguments: tuple[str, ...], complaint: str) -> None:
    byte_folder(tmp_path / "tiny")
    (tmp_path / "empty").write_text("# nothing\n")
    (tmp_path / "keys").write_text("abc\n")
    finished = whet("serve", *arguments, "--port", 0, cwd=tmp_path)
    assert finished.code == 2, finished.err
    assert complaint in finished.complaint


def test_without_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from whetstone.errors import UsageError
    from whetstone.serving import start as starting

    monkeypatch.setattr(starting, "EXTRA", ("json", "no_such_package"))
    with pytest.raises(UsageError, match=r"pip install 'whetstone-lab\[serve\]'"):
        starting.serve("tiny")


def test_from_python(tmp_path: Path) -> None:
    import whetstone as wh

    folder = byte_folder(tmp_path / "tiny")
    with wh.serve(f"a={folder}", f"b={folder}", port=0) as server:
        models = httpx.get(server.url + "/v1/models", timeout=60).json()["data"]
        assert [model["id"] for model in models] == ["a", "b"]
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url + "/health", timeout=5)
