"""The load of `whet bench server`: clients that stream chats from an OpenAI-compatible server on this machine.

Each client sends its requests one after the other, all clients at once; the same bytes go to every server but for
the fields that ask it to ignore the stop token. Bounded by the number of bodies and by --seconds. Runs in .venv-bench.
Prints one JSON object: a record for each request, with the times of its chunks of text since the common start.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="where the server is, e.g. http://127.0.0.1:8000")
    parser.add_argument("bodies", help="JSON file: for each client a list of request bodies")
    parser.add_argument("--seconds", type=float, default=600, help="give up after so long")
    options = parser.parse_args()
    if urlsplit(options.url).hostname not in ("127.0.0.1", "localhost"):
        sys.exit("the load goes to this machine alone")
    clients = json.loads(Path(options.bodies).read_text())
    try:
        print(json.dumps(asyncio.run(load(options.url, clients, options.seconds))), flush=True)
    except TimeoutError:
        sys.exit(f"the requests were not answered within {options.seconds:.0f} s")
    except httpx.HTTPError as error:
        sys.exit(f"{type(error).__name__}: {error}")


async def load(url: str, clients: list[list[dict[str, Any]]], seconds: float) -> dict[str, Any]:
    """Records of all requests, and the seconds from the start to the last chunk."""
    limits = httpx.Limits(max_connections=len(clients), max_keepalive_connections=len(clients))
    async with asyncio.timeout(seconds), httpx.AsyncClient(limits=limits, timeout=seconds, trust_env=False) as client:
        begin = time.perf_counter()
        found = await asyncio.gather(*(one_client(client, url, bodies, begin) for bodies in clients))
        return {"seconds": time.perf_counter() - begin, "requests": [record for each in found for record in each]}


async def one_client(
    client: httpx.AsyncClient, url: str, bodies: list[dict[str, Any]], begin: float
) -> list[dict[str, Any]]:
    return [await one_request(client, url, body, begin) for body in bodies]


async def one_request(client: httpx.AsyncClient, url: str, body: dict[str, Any], begin: float) -> dict[str, Any]:
    """When it was sent, when each chunk of text came, and the token counts that the server gives. Seconds."""
    sent = time.perf_counter() - begin
    chunks: list[float] = []
    usage: dict[str, Any] = {}
    text = ""
    async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as answer:
        if answer.status_code != 200:
            sys.exit(f"the server answers {answer.status_code}: {(await answer.aread()).decode()[:300]}")
        async for line in answer.aiter_lines():
            if not line.startswith("data:") or (data := line[5:].strip()) == "[DONE]":
                continue
            event = json.loads(data)
            if "error" in event:
                sys.exit(f"the server says: {event['error']}")
            usage = event.get("usage") or usage
            said = "".join(choice.get("delta", {}).get("content") or "" for choice in event.get("choices", ()))
            if said:
                chunks.append(time.perf_counter() - begin)
                text += said
    return {
        "sent": sent,
        "chunks": chunks,
        "prompt_tokens": usage.get("prompt_tokens"),
        "completion_tokens": usage.get("completion_tokens"),
        "text": text,
    }


if __name__ == "__main__":
    main()
