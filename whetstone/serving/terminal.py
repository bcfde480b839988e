"""The chat in a terminal: a client of the API that the page at / uses, for a server of one's own or anybody's.

Commands begin with a slash; Ctrl-C stops an answer, Ctrl-D leaves. What a model writes is shown with its control
characters spelled out.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

import httpx

from whetstone.errors import UsageError, WorkFailed
from whetstone.text import printable

HELP = """\
/new              forget the conversation
/again            another answer to the last message
/system TEXT      set the system message; without TEXT, take it away
/model NAME       talk to another model; without NAME, list them
/set NAME VALUE   temperature, top_p, top_k, min_p, repetition_penalty, max_tokens, seed; without, show them
/quit             leave (as does Ctrl-D)
End a line with \\ to go on in the next one. Ctrl-C stops an answer."""

NUMBERS: dict[str, Callable[[str], float | int]] = {
    "temperature": float,
    "top_p": float,
    "top_k": int,
    "min_p": float,
    "repetition_penalty": float,
    "max_tokens": int,
    "seed": int,
}
DIM, PLAIN = "\x1b[2m", "\x1b[0m"


class Refused(WorkFailed):
    """The server did not answer this message; the conversation goes on."""


class Api:
    """A chat endpoint: what models it has, and one streamed answer."""

    def __init__(self, url: str, key: str | None = None, transport: httpx.BaseTransport | None = None) -> None:
        """`url` ends in /v1."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        timeout = httpx.Timeout(10.0, read=600.0)
        self._client = httpx.Client(
            base_url=url.rstrip("/") + "/", headers=headers, timeout=timeout, transport=transport
        )

    def models(self) -> list[str]:
        """Raises UsageError for a server that is not there or does not let one in."""
        try:
            response = self._client.get("models")
        except httpx.HTTPError as failure:
            raise UsageError(f"{self._client.base_url} cannot be reached ({failure}); is the server running?") from None
        if response.status_code != 200:
            raise UsageError(f"{self._client.base_url} answered {response.status_code}: {_words(response)}")
        return [str(model["id"]) for model in response.json()["data"]]

    def stream(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The chunks of a chat completion. Closing the iterator tells the server to stop. Raises Refused."""
        try:
            with self._client.stream("POST", "chat/completions", json={**body, "stream": True}) as response:
                if response.status_code != 200:
                    response.read()
                    raise Refused(_words(response))
                for line in response.iter_lines():
                    if not line.startswith("data:"):
                        continue
                    data = line.removeprefix("data:").strip()
                    if data == "[DONE]":
                        return
                    chunk = json.loads(data)
                    if "error" in chunk:
                        raise Refused(str(chunk["error"].get("message", chunk["error"])))
                    yield chunk
        except httpx.HTTPError as failure:
            raise Refused(f"the connection was lost ({failure})") from None
        except ValueError as failure:
            raise Refused(f"the server's answer cannot be read ({failure})") from None


def _words(response: httpx.Response) -> str:
    """The server's own words for an error."""
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200] or f"status {response.status_code}"


@dataclass
class Terminal:
    """One conversation. `read(prompt)` gives the next line and raises EOFError at the end."""

    api: Api
    model: str
    settings: dict[str, float | int] = field(default_factory=dict)
    system: str = ""
    read: Callable[[str], str] = input
    out: TextIO = field(default_factory=lambda: sys.stdout)
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def styled(self) -> bool:
        """Whether thinking can be told from the answer by how it looks."""
        return self.out.isatty()

    def run(self) -> None:
        """Talk until the end of input, or /quit."""
        self._say(f"{self.model}. /help tells the commands.")
        while True:
            try:
                line = self._line()
            except EOFError:
                self._say("")
                return
            except KeyboardInterrupt:
                self._say("")
                continue
            if not line:
                continue
            if line.startswith("/"):
                if not self._command(line):
                    return
            else:
                self.messages.append({"role": "user", "content": line})
                if not self._answer():
                    self.messages.pop()  # the next try begins where this one did

    def _line(self) -> str:
        parts = [self.read("> ")]
        while parts[-1].endswith("\\"):
            parts[-1] = parts[-1][:-1]
            parts.append(self.read("… "))
        return "\n".join(parts).strip()

    def _command(self, line: str) -> bool:
        """Obey; False when it is time to leave."""
        name, _, rest = line[1:].partition(" ")
        rest = rest.strip()
        if name in {"quit", "exit", "q"}:
            return False
        if name == "new":
            self.messages.clear()
        elif name == "again":
            self._again()
        elif name == "system":
            self.system = rest
        elif name == "model":
            self._choose_model(rest)
        elif name == "set":
            self._set(*rest.split())
        elif name == "help":
            self._say(HELP)
        else:
            self._say(f"there is no /{name}; /help tells the commands")
        return True

    def _again(self) -> None:
        if not self.messages:
            self._say("nothing was asked yet")
            return
        before = self.messages.pop()
        if not self._answer():
            self.messages.append(before)

    def _choose_model(self, name: str) -> None:
        try:
            known = self.api.models()
        except UsageError as failure:
            self._say(str(failure))
            return
        if not name:
            self._say("\n".join(("* " if each == self.model else "  ") + each for each in known))
        elif name in known:
            self.model = name
        else:
            self._say(f"there is no model {name}; there are {', '.join(known)}")

    def _set(self, name: str = "", value: str = "", *_: str) -> None:
        if not name:
            self._say("\n".join(f"{each} {self.settings.get(each, '(the server decides)')}" for each in NUMBERS))
        elif name not in NUMBERS:
            self._say(f"there is no setting {name}; there are {', '.join(NUMBERS)}")
        elif not value:
            self.settings.pop(name, None)
        else:
            try:
                number = NUMBERS[name](value)
            except ValueError:
                number = math.nan
            if math.isfinite(number):
                self.settings[name] = number
            else:
                self._say(f"{name} is a number, not {value!r}")

    def _answer(self) -> bool:
        """Ask for the conversation's next message and show it; whether there was one."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        body = {"model": self.model, "messages": [*system, *self.messages], **self.settings}
        content = ""
        chunks = self.api.stream(body)
        thinking = False
        try:
            for chunk in chunks:
                for choice in chunk.get("choices") or []:
                    delta = choice.get("delta") or {}
                    if thought := delta.get("reasoning_content"):
                        thinking = self._show_thinking(True, thinking)
                        self._write(thought)
                    if text := delta.get("content"):
                        thinking = self._show_thinking(False, thinking)
                        self._write(text)
                        content += text
                    if choice.get("finish_reason") == "length":
                        self._write("…")
        except KeyboardInterrupt:
            self._write(" (stopped)")
        except Refused as refusal:
            thinking = self._show_thinking(False, thinking)
            self._write(f"({refusal})")
            if not content:
                self._say("")
                return False
        finally:
            chunks.close()  # type: ignore[attr-defined]
        self._show_thinking(False, thinking)
        self._say("")
        self.messages.append({"role": "assistant", "content": content})
        return True

    def _show_thinking(self, begins: bool, thinking: bool) -> bool:
        """Mark where thinking begins and ends: dimmed on a terminal, in words elsewhere."""
        if begins and not thinking:
            self.out.write(DIM if self.styled else "[thinking] ")
        elif thinking and not begins:
            self.out.write(f"{PLAIN}\n\n" if self.styled else "\n\n")
        return begins

    def _write(self, text: str) -> None:
        self.out.write(printable(text))
        self.out.flush()

    def _say(self, text: str) -> None:
        self._write(text + "\n")
