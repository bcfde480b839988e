"""The chat in a terminal against a real server; thinking, which a tiny model cannot do, comes from a canned stream."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serving.live import tiny_server
from whetstone.errors import UsageError
from whetstone.serving.server import Background
from whetstone.serving.terminal import Api, Refused, Terminal
from whetstone.text import printable


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    with tiny_server(tmp_path_factory.mktemp("terminal")) as running:
        yield running


def talk(api: Api, *lines: str, out: io.StringIO | None = None, **options: object) -> tuple[Terminal, str]:
    """A conversation of these lines; returns what was written."""
    left = list(lines)

    def read(prompt: str) -> str:
        if not left:
            raise EOFError
        return left.pop(0)

    screen = out or io.StringIO()
    terminal = Terminal(api, "tiny", {"max_tokens": 8, "seed": 3}, read=read, out=screen, **options)  # type: ignore[arg-type]
    terminal.run()
    return terminal, screen.getvalue()


def test_a_conversation(server: Background) -> None:
    api = Api(f"{server.url}/v1")
    terminal, shown = talk(api, "12?", "and 3?\\", "or 4?", "")
    assert [each["role"] for each in terminal.messages] == ["user", "assistant"] * 2
    assert terminal.messages[2]["content"] == "and 3?\nor 4?"
    for answer in (terminal.messages[1], terminal.messages[3]):
        assert answer["content"] and printable(answer["content"]) in shown
    again, _ = talk(api, "12?", "/again", "/new", "12?")
    assert again.messages == terminal.messages[:2]  # the seed brings back the same answer


def test_commands(server: Background) -> None:
    api = Api(f"{server.url}/v1")
    lines = ["/set temperature 0", "/set seed", "/set", "/set max_tokens x", "/set colour 1", "/system Be brief."]
    terminal, shown = talk(api, *lines, "/model", "/model other", "/help", "/nonsense", "/again", "/quit", "never read")
    assert terminal.settings == {"max_tokens": 8, "temperature": 0.0} and terminal.system == "Be brief."
    for words in ("temperature 0.0", "seed (the server decides)", "is a number, not 'x'", "no setting colour"):
        assert words in shown
    for words in ("* tiny", "no model other", "/again  ", "no /nonsense", "nothing was asked"):
        assert words in shown
    assert terminal.messages == []


def test_a_refused_message_is_told_and_not_kept(server: Background) -> None:
    terminal, shown = talk(Api(f"{server.url}/v1"), "1" * 400_000, "12?")
    assert [each["role"] for each in terminal.messages] == ["user", "assistant"]
    assert terminal.messages[0]["content"] == "12?" and shown.count("(") >= 1


class Interrupting(io.StringIO):
    """A user who presses Ctrl-C when the answer has begun."""

    def write(self, text: str) -> int:
        if self.getvalue().count("\n") == 1 and text.strip() and "stopped" not in text:
            super().write("|")
            if self.getvalue().count("|") == 2:
                raise KeyboardInterrupt
        return super().write(text)


def test_ctrl_c_stops_the_answer_and_not_the_conversation(server: Background) -> None:
    terminal, shown = talk(Api(f"{server.url}/v1"), "12?", "34?", out=Interrupting())
    assert "(stopped)" in shown
    assert [each["role"] for each in terminal.messages] == ["user", "assistant"] * 2


def canned(*deltas: dict[str, str], status: int = 200) -> Api:
    def answer(request: httpx.Request) -> httpx.Response:
        if status != 200:
            return httpx.Response(status, json={"error": {"message": "no such thing"}})
        lines = [f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\n" for delta in deltas]
        return httpx.Response(200, text="".join(lines) + "data: [DONE]\n\n")

    return Api("http://canned/v1", transport=httpx.MockTransport(answer))


def test_thinking_is_told_from_the_answer_and_escapes_are_spelled_out() -> None:
    api = canned({"reasoning_content": "hm "}, {"reasoning_content": "well"}, {"content": "\x1b[31mred"})
    terminal, shown = talk(api, "so?")
    assert "[thinking] hm well\n\n\\x1b[31mred\n" in shown and "\x1b" not in shown
    assert terminal.messages[-1] == {"role": "assistant", "content": "\x1b[31mred"}


def test_what_is_refused_changes_nothing(server: Background) -> None:
    api = Api(f"{server.url}/v1")
    terminal, _ = talk(api, "12?")
    before = list(terminal.messages)
    terminal.api = canned(status=429)
    terminal._command("/again")
    terminal._command("/model")  # nor does it end the conversation
    terminal._command("/set temperature nan")
    assert terminal.messages == before and terminal.settings == {"max_tokens": 8, "seed": 3}


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def test_a_refusal_while_thinking_does_not_leave_the_screen_dim() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        thought = {"choices": [{"delta": {"reasoning_content": "hm"}}]}
        return httpx.Response(
            200, text=f'data: {json.dumps(thought)}\n\ndata: {{"error": {{"message": "no more"}}}}\n\n'
        )

    api = Api("http://canned/v1", transport=httpx.MockTransport(answer))
    terminal, shown = talk(api, "so?", out=Screen())
    assert shown.index("\x1b[2m") < shown.index("hm") < shown.index("\x1b[0m") < shown.index("(no more)")
    assert terminal.messages == []


def test_errors_are_one_line() -> None:
    with pytest.raises(UsageError, match=r"answered 500: no such thing"):
        canned(status=500).models()
    with pytest.raises(UsageError, match="cannot be reached"):
        Api("http://127.0.0.1:9/v1").models()
    with pytest.raises(Refused, match="no such thing"):
        list(canned(status=404).stream({}))


def test_from_the_command_line(server: Background, tmp_path: Path) -> None:
    """Against a running server, in a process of its own, with standard input for a keyboard."""
    import subprocess
    import sys

    command = [sys.executable, "-c", "from whetstone.cli import main; main()", "chat"]
    done = subprocess.run(
        [*command, f"{server.url}/v1", "--max-tokens", "5", "--seed", "3"],
        input="12?\n/quit\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "tiny. /help tells the commands." in done.stdout
    wrong = subprocess.run(
        [*command, f"{server.url}/v1", "--model", "other"], capture_output=True, text=True, timeout=120, check=False
    )
    assert wrong.returncode == 2 and "no model other; it has tiny" in wrong.stderr
