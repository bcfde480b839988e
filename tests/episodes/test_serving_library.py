"""The library beside the models of `whet serve`, and served by itself in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.episodes.conversation import conversation
from tests.serving.live import byte_folder
from whetstone.episodes.content import About
from whetstone.episodes.library.app import library_app
from whetstone.episodes.library.door import EXTENSION
from whetstone.episodes.library.serve import PREFIX
from whetstone.episodes.store import Store
from whetstone.errors import UsageError
from whetstone.serving.server import Background, Server, Settings


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "l.sqlite"
    with Store(path) as made:
        show = made.add_show("The Slow Engine", "feed.xml")
        for title in ("Tides", "Seals"):
            made.set_transcript(made.add_episode(show, About(title)), conversation())
    return path


def test_a_library_beside_models_lets_in_whom_it_should(store: Path, tmp_path: Path) -> None:
    rooms = {PREFIX: library_app(store, hosts=None)}
    tiny = f"tiny={byte_folder(tmp_path / 'tiny')}"
    with Background(Server([tiny], None, Settings(port=0), rooms=rooms)) as running, httpx.Client() as http:
        base = f"{running.url}{PREFIX}"
        assert "Tides" in http.get(f"{base}/").text
        assert http.get(f"{running.url}/v1/models").json()["data"][0]["id"] == "tiny"
        asked = {"query": "spring tide"}
        extension, evil = {"origin": EXTENSION}, {"origin": "https://evil.example"}
        found = http.post(f"{base}/api/search", json=asked, headers=extension)
        assert found.status_code == 200 and found.json()["hits"][0]["at"]["page"].startswith(f"{PREFIX}/e/")
        refused = [
            http.post(f"{base}/api/search", json=asked, headers=evil),
            http.get(f"{base}/", headers=extension),
            http.post(f"{base}/e/1/speakers", data={"name:x": "y"}, headers=extension),
            http.get(f"{base}/", headers={"host": "evil.example"}),
            http.get(f"{running.url}/v1/models", headers=extension),
            http.get(f"{running.url}/episodesandmore", headers=extension),
        ]
        assert [answer.status_code for answer in refused] == [403] * 6
    for settings in (Settings(port=0, keys=("k",)), Settings("0.0.0.0", 0, keys=("k",))):
        with pytest.raises(UsageError, match="has no keys"):
            Server([tiny], None, settings, rooms=rooms)


def test_a_name_for_all_episodes_of_a_show(store: Path) -> None:
    from starlette.testclient import TestClient

    client = TestClient(library_app(store), base_url="http://127.0.0.1")
    form = client.get("/e/1/speakers").text
    assert 'name="show"' in form and "In all episodes of" in form
    names = {"name:Mara Voss": "M. Voss", "name:Tomas Adeyemi": ""}
    client.post("/e/1/speakers", data=names)
    assert "M. Voss" in client.get("/e/1/").text and "M. Voss" not in client.get("/e/2/").text
    client.post("/e/2/speakers", data={"name:Mara Voss": "", "name:Tomas Adeyemi": "T. A."})
    client.post("/e/1/speakers", data=names | {"show": "yes"})
    other = client.get("/e/2/").text
    assert "M. Voss" in other and "T. A." in other, "an empty box takes nothing back elsewhere"
    client.post("/e/1/speakers", data={"name:Mara Voss": "", "name:Tomas Adeyemi": "", "show": "yes"})
    assert "M. Voss" not in client.get("/e/2/").text and "T. A." in client.get("/e/2/").text


def test_served_by_itself_until_it_is_stopped(store: Path) -> None:
    command = [sys.executable, "-c", "from whetstone.cli import main; main()", "listen", "serve"]
    running = subprocess.Popen(
        [*command, "--library", str(store), "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    try:
        assert running.stdout is not None
        url = json.loads(running.stdout.readline())["url"]
        assert url.endswith(f"{PREFIX}/") and "Tides" in httpx.get(url).text
        assert httpx.get(url.removesuffix(f"{PREFIX}/") + "/").headers["location"] == f"{PREFIX}/"
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 0
    finally:
        running.kill()
        running.communicate()
