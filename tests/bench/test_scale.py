"""`whet bench scale` on a tiny model: the work that is asked for, and the rows."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from bench import ours, peer, scale
from tests.tiny import tiny_folder
from whetstone.models.loading import load

OPTIONS = Namespace(model="tiny", samples=[2, 8], tokens=5, repeats=1, problems=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_folder(tmp_path_factory.mktemp("model") / "tiny")
    config = folder / "tokenizer_config.json"
    # else transformers puts its own tokenizer of the model's family in place of the folder's
    config.write_text(json.dumps({**json.loads(config.read_text()), "tokenizer_class": "PreTrainedTokenizerFast"}))
    return folder


def test_a_pool_computes_prompts_once_and_the_rows_say_how_cost_grows(model: Path) -> None:
    loaded = load(str(model))
    prompts = [tuple(loaded.tokenizer.chat_ids(chat)) for chat in peer.addition_chats(2)]
    found = scale.measure_ours(loaded, prompts, OPTIONS)
    for count, pool in found.items():
        most = sum(map(len, prompts)) + 2 * count * (OPTIONS.tokens - 1)
        assert pool.seconds > 0 and len(prompts[0]) < pool.computed <= most
    theirs = {
        "1 prompts a call": {"seconds": 8.0, "cache": "dynamic", "versions": {}},
        "2 prompts a call": {"seconds": 4.0, "cache": "static", "versions": {}},
    }
    before = {2: ours.Timed(1.0, 10), 8: ours.Timed(3.0, 40)}
    after = {2: ours.Timed(1.0, 10), 8: ours.Timed(5.0, 40)}
    comparison, least = scale.rows(prompts, before, after, theirs, OPTIONS)
    assert comparison["name"] == "scale.pool.2x8" and least["name"] == "scale.pool.2x2" and least["ratio"] is None
    # four times the samples in four times the mean seconds; theirs as quick
    assert comparison["exponent"] == pytest.approx(1) and comparison["ratio"] == pytest.approx(1)
    assert comparison["ours"] == 4 and comparison["peer_ways"] == {"1 prompts a call": 8.0, "2 prompts a call": 4.0}


@pytest.mark.slow
@pytest.mark.skipif(not peer.ENVIRONMENT.exists(), reason="needs `make bench-setup`")
def test_beside_transformers(model: Path) -> None:
    command = [sys.executable, str(peer.ROOT / "bench" / "scale.py"), "--json", "--model", str(model)]
    sizes = ["--problems", "2", "--samples", "2,4", "--tokens", "4", "--repeats", "1"]
    done = subprocess.run([*command, *sizes], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    comparison, least = [json.loads(line) for line in done.stdout.splitlines()]
    assert comparison["ratio"] > 0 and set(comparison["peer_ways"]) == {"1 prompts a call", "2 prompts a call"}
    assert least["samples"] == 2 and least["peer"] is None
