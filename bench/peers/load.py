"""The load of `whet bench server`: clients that stream chats from an OpenAI-compatible server on this machine.

Each client sends its requests one after the other, all clients at once; the same bytes go to every server but for
the fields that ask it to ignore the stop token. Bounded by the number of bodies and by --seconds. Runs in .venv-bench.
Prints one JSON object: a record for each request, with the times of its chunks of text since the common start.

The clients share the machine's cores with the server that they measure. So while the clock runs they only note what
came and when; headers, chunks, events and JSON are read after the last answer.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import h11

LAST_CHUNK = b"\r\n0\r\n\r\n"  # how a body in chunks ends; a head may end like all but its first two bytes
Piece = tuple[float, bytes]  # when it came, and what


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="where the server is, e.g. http://127.0.0.1:8000")
    parser.add_argument("bodies", help="JSON file: for each client a list of request bodies")
    parser.add_argument("--seconds", type=float, default=600, help="give up after so long")
    options = parser.parse_args()
    place = urlsplit(options.url)
    if place.hostname not in ("127.0.0.1", "localhost") or place.port is None:
        sys.exit("the load goes to this machine alone, and to a port that is named")
    clients = [
        [Exchange.of(place.netloc, body) for body in bodies] for bodies in json.loads(Path(options.bodies).read_text())
    ]
    try:
        print(json.dumps(asyncio.run(load(place.hostname, place.port, clients, options.seconds))), flush=True)
    except TimeoutError:
        sys.exit(f"the requests were not answered within {options.seconds:.0f} s")
    except (OSError, ValueError, h11.RemoteProtocolError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


@dataclass
class Exchange:
    """One request as bytes, and what came back."""

    connection: h11.Connection
    request: bytes
    sent: float = 0.0
    pieces: list[Piece] = field(default_factory=list)
    closed: bool = False  # the server ended the connection behind the answer

    @property
    def refused(self) -> bool:
        return bool(self.pieces) and b" 200 " not in self.pieces[0][1][:16]

    @classmethod
    def of(cls, host: str, body: dict[str, Any]) -> "Exchange":
        data = json.dumps(body).encode()
        headers = [("host", host), ("content-type", "application/json"), ("content-length", str(len(data)))]
        connection = h11.Connection(h11.CLIENT)
        head = h11.Request(method="POST", target="/v1/chat/completions", headers=headers)
        parts = [connection.send(event) for event in (head, h11.Data(data=data), h11.EndOfMessage())]
        return cls(connection, b"".join(part or b"" for part in parts))


class Client(asyncio.Protocol):
    """One connection. It notes what comes for the exchange under way and tells when the answer seems to be over."""

    def __init__(self) -> None:
        self.exchange: Exchange | None = None
        self.over: asyncio.Future[None] | None = None

    def data_received(self, data: bytes) -> None:
        assert self.exchange is not None and self.over is not None
        pieces = self.exchange.pieces
        pieces.append((time.perf_counter(), data))
        if (self.exchange.refused or _ends(pieces)) and not self.over.done():
            self.over.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if self.exchange is not None and self.over is not None and not self.over.done():
            self.exchange.closed = True
            self.over.set_result(None)


def _ends(pieces: list[Piece]) -> bool:
    """Whether the last bytes are those of a last chunk, however they were cut."""
    data = pieces[-1][1]
    if len(data) < len(LAST_CHUNK):
        data = b"".join(each for _, each in pieces[-len(LAST_CHUNK) :])
    return data.endswith(LAST_CHUNK)


async def load(host: str, port: int, clients: list[list[Exchange]], seconds: float) -> dict[str, Any]:
    """Records of all requests, and the seconds from the start to the last piece. Raises OSError and h11's errors."""
    async with asyncio.timeout(seconds):
        begin = time.perf_counter()
        await asyncio.gather(*(one_client(host, port, exchanges) for exchanges in clients))
        passed = time.perf_counter() - begin
    return {"seconds": passed, "requests": [record(each, begin) for exchanges in clients for each in exchanges]}


async def one_client(host: str, port: int, exchanges: list[Exchange]) -> None:
    loop = asyncio.get_running_loop()
    transport: asyncio.Transport | None = None
    for exchange in exchanges:
        exchange.sent = time.perf_counter()
        if transport is None or transport.is_closing():
            transport, client = await loop.create_connection(Client, host, port)
        client.exchange, client.over = exchange, loop.create_future()
        transport.write(exchange.request)
        await client.over
        if exchange.closed and not exchange.pieces:  # the server had closed after its last answer: a new connection
            transport, client = await loop.create_connection(Client, host, port)
            exchange.closed = False
            client.exchange, client.over = exchange, loop.create_future()
            transport.write(exchange.request)
            await client.over
        if exchange.refused:
            await asyncio.sleep(0.2)  # its reasons may come behind its head
            answer = b"".join(piece for _, piece in exchange.pieces).decode(errors="replace")
            sys.exit(f"the server answers {' '.join(answer.split())[:600]}")
    if transport is not None:
        transport.close()


def record(exchange: Exchange, begin: float) -> dict[str, Any]:
    """When the request was sent, when each chunk of text came, and the token counts that the server gives. Seconds."""
    chunks: list[float] = []
    usage: dict[str, Any] = {}
    text = ""
    for when, line in lines(exchange):
        if not line.startswith(b"data:") or (data := line[5:].strip()) == b"[DONE]":
            continue
        event = json.loads(data)
        if "error" in event:
            sys.exit(f"the server says: {event['error']}")
        usage = event.get("usage") or usage
        said = "".join(choice.get("delta", {}).get("content") or "" for choice in event.get("choices", ()))
        if said:
            chunks.append(when - begin)
            text += said
    return {
        "sent": exchange.sent - begin,
        "chunks": chunks,
        "prompt_tokens": usage.get("prompt_tokens"),
        "completion_tokens": usage.get("completion_tokens"),
        "text": text,
    }


def lines(exchange: Exchange) -> Iterator[tuple[float, bytes]]:
    """The lines of the answer's body, each with the time when its end came. Ends the program if it is not whole."""
    waiting = b""
    ends = [(exchange.pieces[-1][0], b"")] if exchange.closed and exchange.pieces else []  # h11: nothing is the end
    for when, piece in [*exchange.pieces, *ends]:
        exchange.connection.receive_data(piece)
        while (event := exchange.connection.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Data):
                *whole, waiting = (waiting + bytes(event.data)).split(b"\n")
                yield from ((when, line) for line in whole)
            if isinstance(event, h11.EndOfMessage):
                return
    sys.exit("an answer broke off")


if __name__ == "__main__":
    main()
