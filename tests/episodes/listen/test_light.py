"""What is not asked for is not loaded: torch only with a model of our own, a server's packages only to serve."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT = """
import sys
for name in {without!r}:
    sys.modules[name] = None  # as where it is not installed
from whetstone.cli import main
main({arguments!r})
"""
HEAVY = ("torch", "safetensors.torch", "tokenizers")
SERVER = ("starlette", "uvicorn", "fastapi")


def ran(without: tuple[str, ...], *arguments: object) -> subprocess.CompletedProcess[str]:
    code = WITHOUT.format(without=without, arguments=["listen", *map(str, arguments)])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_pages_and_the_library_need_neither_torch_nor_a_server(tide: Path, tmp_path: Path) -> None:
    page = ran(HEAVY + SERVER, tide, "--out", tmp_path / "page")
    assert page.returncode == 0, page.stderr
    assert (tmp_path / "page" / "index.html").is_file()
    assert "tide" in ran(HEAVY + SERVER, "list").stdout


@pytest.mark.parametrize("without", [SERVER, ("uvicorn",)])
def test_a_server_that_is_missing_is_told(without: tuple[str, ...]) -> None:
    served = ran(HEAVY + without, "serve", "--port", 0)
    assert served.returncode == 2
    assert served.stderr.strip() == 'whet: the library needs a server: pip install "whetstone-lab[serve]"'
