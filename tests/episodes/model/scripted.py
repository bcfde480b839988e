"""A stronger model than fits on this machine, by script: a real HTTP server that speaks OpenAI's chat API.

It reads the prompt like a model would and answers in the asked shape: mostly what a good model says, and among it
what a bad one does (invented quotes, wrong numbers, numbers of sentences that do not exist), so that the gates have
something to refuse. What it makes up is remembered in `planted`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

LINE = re.compile(r"^\[(\d+)\] (?:([^:\n]{1,40}): )?(.*)$", re.MULTILINE)


class Scripted:
    """The model's answers. `lies`: whether it plants false quotes and lines."""

    def __init__(self, lies: bool = True) -> None:
        self.lies = lies
        self.planted: list[str] = []
        self.asked = 0
        self.without_schemas = False  # whether response_format is refused, and the schema read from the prompt
        self.fail_first = 0  # requests that get a 503 before anything works

    def answer(self, messages: list[dict[str, str]], schema: dict[str, Any]) -> dict[str, Any]:
        """One JSON object of the shape that is asked for."""
        self.asked += 1
        said = messages[-1]["content"]
        task, data = said.split("<<<TRANSCRIPT", 1)
        lines = [(int(n), who or "", text.strip()) for n, who, text in LINE.findall(data.split("TRANSCRIPT>>>")[0])]
        wanted = set(schema["properties"])
        if wanted == {"title", "points", "quotes", "answers", "claims"}:
            return self._map(lines)
        if wanted == {"points"}:
            return {"points": [{"text": text, "points": [n]} for n, _, text in lines[: max(1, len(lines) // 2)]]}
        if wanted == {"paragraph", "summary", "takeaways"}:
            return self._prose(lines)
        if wanted == {"supported", "words"}:
            line = task.rsplit("The line: ", 1)[1].strip()
            best = max((text for _, _, text in lines), key=lambda text: _shared(text, line), default="")
            return {"supported": _shared(best, line) >= 0.5, "words": best[:380]}
        if wanted == {"stance", "words"}:
            claim = task.rsplit("The claim: ", 1)[1].strip()
            sentences = [s for s in re.split(r"(?<=[.!?])\s+", data.split("TRANSCRIPT>>>")[0].strip()) if s]
            best = max(sentences, key=lambda text: _shared(text, claim), default="")
            numbers = set(re.findall(r"\d[\d,.]*", claim)), set(re.findall(r"\d[\d,.]*", best))
            if _shared(best, claim) < 0.5:
                return {"stance": "not enough evidence", "words": best or "none"}
            return {"stance": "supported" if numbers[0] <= numbers[1] else "contradicted", "words": best[:480]}
        if wanted == {"lines"}:
            return self._reply(lines)
        if wanted == {"text"}:
            false = "Everybody agreed that 5,353 elephants live in Reykjavik."
            self.planted.append(false)
            # every other time it lies again
            return {"text": false if self.lies and self.asked % 2 else max((t for _, _, t in lines), key=len)[:290]}
        raise AssertionError(f"an unknown shape: {wanted}")

    def _map(self, lines: list[tuple[int, str, str]]) -> dict[str, Any]:
        long = [(n, who, text) for n, who, text in lines if len(text.split()) >= 9 and "?" not in text]
        points = [{"text": text[:238], "segments": [n]} for n, _, text in long[:4]]
        quotes = [{"segment": n, "words": text[:398]} for n, _, text in long[1:3]]
        answers = [
            {"question": text[:198], "asked": n, "answered": later[0]}
            for (n, who, text), later in pairwise(lines)
            if text.endswith("?") and later[1] != who
        ][:4]
        claims = [{"segment": n, "text": text[:238]} for n, _, text in long if re.search(r"\d", text)][:3]
        if self.lies and long:
            n, _, text = long[0]
            words = text.split()
            words[len(words) // 2] = "bananas"
            false = " ".join(words)
            wrong = f"{text.rstrip('.')} 987654 times."
            self.planted += [false, wrong, "A line that cites nothing that exists."]
            quotes.append({"segment": n, "words": false[:398]})
            points += [{"text": wrong[:238], "segments": [n]}]
            points += [{"text": "A line that cites nothing that exists.", "segments": [999_999]}]
        return {
            "title": "About " + " ".join(lines[0][2].split()[:3]) if lines else "Nothing",
            "points": points[:6],
            "quotes": quotes[:4],
            "answers": answers,
            "claims": claims,
        }

    def _reply(self, lines: list[tuple[int, str, str]]) -> dict[str, Any]:
        """To a question: the first sentence of the first two passages, and lies."""
        said = [{"text": text.split(". ")[0][:290], "passages": [n]} for n, _, text in lines[:2]]
        if self.lies and lines:
            wrong = f"{lines[0][2].split('. ')[0]} on 31 February 1877."
            nowhere = "An answer that cites nothing that exists."
            self.planted += [wrong, nowhere]
            said += [{"text": wrong[:290], "passages": [0]}, {"text": nowhere, "passages": [77]}]
        return {"lines": said}

    def _prose(self, lines: list[tuple[int, str, str]]) -> dict[str, Any]:
        cited = [{"text": text[:298], "points": [n]} for n, _, text in lines]
        summary = cited[:10]
        if self.lies and lines:
            false = "Everybody agreed that 4,242 elephants live in Reykjavik."
            self.planted.append(false)
            summary = [*summary, {"text": false, "points": [lines[0][0]]}]
        takeaways = [{"text": each["text"][:198], "points": each["points"]} for each in cited[1:4]]
        return {"paragraph": cited[:3], "summary": summary, "takeaways": takeaways}


def _shared(text: str, other: str) -> float:
    ours, theirs = set(re.findall(r"\w+", text.lower())), set(re.findall(r"\w+", other.lower()))
    return len(ours & theirs) / max(1, len(theirs))


@contextmanager
def served(model: Scripted) -> Iterator[str]:
    """The model at an address of this machine (…/v1) while the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if model.fail_first > 0:
                model.fail_first -= 1
                self._send(503, {"error": {"message": "busy"}})
                return
            if model.without_schemas and "response_format" in asked:
                message = "Unsupported parameter: 'response_format' is not supported with this model."
                self._send(400, {"error": {"message": message, "param": "response_format", "code": "unsupported"}})
                return
            if model.without_schemas:
                told = asked["messages"][0]["content"].partition("this JSON schema: ")[2]
                schema = json.loads(told) if told else {"properties": {}}
                text = (
                    f"Gladly!\n```json\n{json.dumps(model.answer(asked['messages'], schema))}\n```" if told else "Hm?"
                )
            else:
                schema = asked["response_format"]["json_schema"]["schema"]
                text = json.dumps(model.answer(asked["messages"], schema))
            usage = {"prompt_tokens": len(str(asked["messages"])) // 4, "completion_tokens": len(text) // 4}
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            self._send(200, {"object": "chat.completion", "model": "scripted", "choices": [choice], "usage": usage})

        def _send(self, status: int, value: dict[str, Any]) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
