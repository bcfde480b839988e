"""The files of the web page, and nothing else, under a policy that lets it reach this server only."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import pytest

from tests.serving.live import tiny_server
from whetstone.serving import web_page
from whetstone.serving.server import Background


def raw(running: Background, path: str) -> int:
    """The status of a path that clients would tidy up."""
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        return int(connection.recv(100).split()[1])


def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "index.html").write_text("<p>hello")
    (folder / "page.js").write_text("1")
    (folder / "notes.txt").write_text("not for others")
    (tmp_path / "secret.js").write_text("outside")
    (folder / "link.js").symlink_to(tmp_path / "secret.js")
    monkeypatch.setattr(web_page, "FOLDER", folder)
    with tiny_server(tmp_path, keys=("k",)) as running:
        page = httpx.get(running.url, follow_redirects=True)
        assert page.status_code == 200 and page.text == "<p>hello"
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        script = httpx.get(running.url + "/page/page.js")
        assert script.headers["content-type"] == "text/javascript; charset=utf-8"
        for response in (page, script):
            policy = response.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
            assert response.headers["x-content-type-options"] == "nosniff"
        for path in (
            "/page/notes.txt",
            "/page/link.js",
            "/page/../secret.js",
            "/page/%2e%2e/secret.js",
            "/page/..%2fsecret.js",
            "/page//etc/passwd",
            "/page/",
            "/page/none.js",
        ):
            assert raw(running, path) in (401, 404), path


def test_no_page_is_said(running: Background, monkeypatch: pytest.MonkeyPatch) -> None:
    if (web_page.FOLDER / "index.html").is_file():
        pytest.skip("this installation has a page")
    assert httpx.get(running.url).json()["error"]["code"] == "not_found"
