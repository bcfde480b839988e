"""A real small model behind a real `whet serve`: the whole reading completes, and its rates are told as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.episodes.conversation import interview
from whetstone.episodes.gate import Gate
from whetstone.episodes.gate.recheck import recheck
from whetstone.episodes.store import Store

WHET = [sys.executable, "-c", "from whetstone.cli import main; main()"]


@pytest.mark.slow
@pytest.mark.real
def test_smollm2_reads_a_page(tmp_path: Path) -> None:
    source, out, library = tmp_path / "tide.txt", tmp_path / "page", tmp_path / "l.sqlite"
    source.write_text("\n\n".join(f"{who}: {text}" for who, text in interview()[2:12]))
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    server = subprocess.Popen(
        [*WHET, "serve", "smollm2-135m", "--port", "0", "--json"], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        options = ["--with", f"{url}/v1", "--model", "smollm2-135m", "--context", "2048", "--json"]
        ran = subprocess.run(
            [*WHET, "listen", str(source), "--out", str(out), "--library", str(library), *options],
            capture_output=True, text=True, env=environment, timeout=900, check=True,
        )  # fmt: skip
    finally:
        server.terminate()
        server.wait(60)
    made = json.loads(ran.stdout)
    counts = made["counts"]
    assert made["made_by"].startswith("smollm2-135m") and counts["prompt_tokens"] > 0 < counts["answer_tokens"]
    assert counts["covered"] == counts["segments"], made
    assert 0 <= counts["quotes_kept"] <= counts["quotes_proposed"] > 0
    assert 0 <= counts["lines_kept"] <= counts["lines_proposed"]
    rejected = counts["quotes_proposed"] - counts["quotes_kept"]
    assert sum(reason.startswith("quote: ") for reason in made["refused"]) == rejected
    with Store(library) as store:
        transcript = store.transcript(made["episode"])
    assert transcript is not None
    assert recheck((out / "index.html").read_text(), Gate(transcript)) >= made["quotes"]
    print({name: counts[name] for name in ("quotes_proposed", "quotes_kept", "lines_proposed", "lines_kept")})
