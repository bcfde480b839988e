"""`whet bench server`: the load, the servers' lives, and all of it on a tiny model."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path

import pytest

from bench import peer, processes, server
from tests.bench import tiny_llama
from whetstone.errors import WorkFailed
from whetstone.models.loading import Loaded, load

needs_peers = pytest.mark.skipif(not peer.ENVIRONMENT.exists(), reason="needs `make bench-setup`")
OPTIONS = Namespace(clients=2, requests=2, tokens=3, prompt=30, seconds=60.0, threads=1, model="tiny")
# Streams three words to whoever asks, and starts a child that would outlive it. In HTTP/1.1 the body comes in chunks,
# whose last one is cut in two.
SCRIPT = """
import http.server, json, subprocess, sys, time
version = sys.argv[2]
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(str(child.pid))
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = version
    def log_message(self, *_): pass
    def say(self, text):
        data = text.encode()
        self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(data), data) if version == "HTTP/1.1" else data); self.wfile.flush()
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200 if asked["model"] == "m" else 404)
        if version == "HTTP/1.1":
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Keep-Alive", "timeout=5, max=100")  # the head ends like a last chunk
        self.end_headers(); self.wfile.flush()
        words = ["a", "b", "c"][:asked["max_tokens"]]
        for word in words:
            time.sleep(0.05)
            chunk = {"choices": [{"delta": {"content": word}}]}
            self.say(f"data: {json.dumps(chunk)}\\n\\n")
        usage = {"choices": [], "usage": {"prompt_tokens": len(asked["messages"]), "completion_tokens": len(words)}}
        self.say(f"data: {json.dumps(usage)}\\n\\ndata: [DONE]\\n\\n")
        for end in [b"0\\r", b"\\n\\r\\n"] if version == "HTTP/1.1" else []:
            time.sleep(0.05)
            self.wfile.write(end); self.wfile.flush()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[-1])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load(str(tiny_llama.folder(tmp_path_factory.mktemp("model") / "llama")))


def variant(tmp_path: Path, version: str = "HTTP/1.1", model: str = "m") -> server.Variant:
    return server.Variant(
        "words", "", (sys.executable, "-c", SCRIPT, str(tmp_path / "child"), version), model, "/health"
    )


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_chats_differ_and_are_long_enough(loaded: Loaded) -> None:
    chats = server.different_chats(loaded, 20, 64)
    lengths = [len(loaded.tokenizer.chat_ids(chat)) for chat in chats]
    assert min(lengths) >= 64 and len({chat[0]["content"] for chat in chats}) == 20


@needs_peers
@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_a_round_counts_tokens_and_times(loaded: Loaded, tmp_path: Path, version: str) -> None:
    chats = server.different_chats(loaded, 8, 30)
    found = server.measure(variant(tmp_path, version), (chats[:4], chats[4:]), OPTIONS)
    # each client says 2 x 3 words, one every 0.05 s at best
    assert 0 < found.tokens_per_second < 2 * 3 / 0.15
    assert 0.05 <= found.first[50] <= found.first[95] and 0 <= found.between[50] <= found.between[95]
    assert 0.04 < found.each[50] <= found.each[95]
    assert found.texts == ("abc",) * 4 and found.prompt_tokens == (1,) * 4


@needs_peers
def test_answers_of_another_length_are_not_compared(loaded: Loaded, tmp_path: Path) -> None:
    chats = server.different_chats(loaded, 4, 30)
    with pytest.raises(WorkFailed, match=r"answers of \{3\} tokens, not 4"):
        server.measure(variant(tmp_path), (chats,), Namespace(**{**vars(OPTIONS), "tokens": 4}))


@needs_peers
def test_a_refusal_ends_the_load_at_once(loaded: Loaded, tmp_path: Path) -> None:
    chats = server.different_chats(loaded, 4, 30)
    with pytest.raises(WorkFailed, match=r"the server answers HTTP/1\.1 404"):
        server.measure(variant(tmp_path, model="another"), (chats,), OPTIONS)


def test_servers_end_with_all_that_they_started(tmp_path: Path) -> None:
    port = processes.free_port()
    command = (*variant(tmp_path).command, str(port))
    url = f"http://127.0.0.1:{port}/"
    with pytest.raises(KeyboardInterrupt), processes.serving("words", command, url, patience=30) as pid:
        assert urllib.request.urlopen(url, timeout=5).status == 200
        child = int((tmp_path / "child").read_text())
        assert alive(pid) and alive(child)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    until = time.monotonic() + 10
    while alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(child) and not alive(pid)


def test_a_server_that_dies_tells_why() -> None:
    command = [sys.executable, "-c", "raise SystemExit('no weights')"]
    url = f"http://127.0.0.1:{processes.free_port()}/"
    dies = pytest.raises(WorkFailed, match="ended with exit code 1: no weights")
    with dies, processes.serving("it", command, url, patience=30):
        pass


@needs_peers
def test_the_load_stays_on_this_machine(tmp_path: Path) -> None:
    (tmp_path / "bodies.json").write_text("[]")
    with pytest.raises(WorkFailed, match="this machine alone"):
        peer.run_peer("load", "http://192.0.2.1:80", str(tmp_path / "bodies.json"))


@pytest.mark.slow
@needs_peers
@pytest.mark.skipif(find_spec("whetstone.serving") is None, reason="needs the server")
@pytest.mark.parametrize("name", ["transformers", "llama-server"])
def test_beside_a_peer(loaded: Loaded, name: str) -> None:
    if name == "llama-server" and not server.llama_server_program():
        pytest.skip("needs `make bench-setup`")
    sizes = ["--clients", "3", "--requests", "1", "--prompt", "40", "--tokens", "64", "--threads", "1", "--peers", name]
    command = [sys.executable, str(peer.ROOT / "bench" / "server.py"), "--json", "--model", str(loaded.folder), *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    kinds = ("first_token", "each_token", "between_chunks")
    figures = ["tokens_per_second", *(f"{kind}_p{share}" for share in (50, 95) for kind in kinds)]
    assert list(rows) == [f"server.{name}.{figure}" for figure in figures]
    assert all(row["ratio"] > 0 and row["same_answers"] >= 0.6 for row in rows.values())
