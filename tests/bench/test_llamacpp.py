"""`whet bench llamacpp` on a tiny model: the same words from the same weights, and rows for every pair."""

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from bench import llamacpp, peer
from bench.gguf_writer import write_gguf
from tests.bench import tiny_llama
from whetstone.errors import UsageError, WorkFailed
from whetstone.models.loading import Loaded, load

needs_llamacpp = pytest.mark.skipif(
    not list(peer.ENVIRONMENT.glob("lib/python*/site-packages/llama_cpp/lib/libllama.*")),
    reason="needs `make bench-setup`",
)
OPTIONS = Namespace(prompt=24, tokens=10, threads=1, repeats=1, batches=[1, 3], model="tiny")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load(str(tiny_llama.folder(tmp_path_factory.mktemp("model") / "llama")))


def test_prompts_have_nothing_to_share(loaded: Loaded) -> None:
    prompts = llamacpp.different_prompts(loaded, 32, 24)
    assert {len(prompt) for prompt in prompts} == {24} and len({tuple(prompt[:16]) for prompt in prompts}) == 32
    with pytest.raises(UsageError, match="fewer or shorter"):
        llamacpp.different_prompts(loaded, 2, 10**5)


def test_our_runs_do_all_the_work(loaded: Loaded) -> None:
    prompts = llamacpp.different_prompts(loaded, 3, 24)
    found = llamacpp.measure_ours(loaded, "fp32", prompts, OPTIONS)
    assert 0 < found.decode_seconds < found.seconds and found.decode_tokens == 3 * 9
    with pytest.raises(WorkFailed, match="not equal"):
        llamacpp.measure_ours(loaded, "fp32", [prompts[0]] * 3, OPTIONS)  # these share their openings


def test_the_first_difference() -> None:
    assert llamacpp.first_difference([1, 2, 3], [1, 2, 3]) is None
    assert llamacpp.first_difference([1, 2, 3], [1, 5, 4]) == 1


@needs_llamacpp
def test_llamacpp_says_the_same_and_other_weights_are_noticed(loaded: Loaded, tmp_path: Path) -> None:
    prompts = llamacpp.different_prompts(loaded, 4, 24)
    file = tmp_path / "f32.gguf"
    write_gguf(loaded, file, "f32")
    llamacpp.check_agreement(loaded, file, prompts, OPTIONS)
    other = load(str(tiny_llama.folder(tmp_path / "other", seed=1)))
    write_gguf(other, file, "f32")
    with pytest.raises(WorkFailed, match="do not compute the same model"):
        llamacpp.check_agreement(loaded, file, prompts, OPTIONS)


@pytest.mark.slow
@needs_llamacpp
def test_beside_llamacpp(loaded: Loaded) -> None:
    sizes = ("--prompt", "24", "--tokens", "8", "--batches", "1,3", "--repeats", "1", "--threads", "1")
    command = [
        sys.executable,
        str(peer.ROOT / "bench" / "llamacpp.py"),
        "--json",
        "--model",
        str(loaded.folder),
        *sizes,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    names = [f"llamacpp.fp32.batch{batch}.{part}" for batch in (1, 3) for part in ("whole", "decode")]
    assert [row["name"] for row in rows][:4] == names
    for row in rows:
        assert row["ratio"] > 0 and row["share"] > 0 and row["peer_share"] > 0
        assert all(each["kl"] < 0.05 and each["agreement"] > 0.8 for each in row["fidelity"].values())
        # all settings, but those that make no difference at this size, were tried
        assert len(row["peer_tried"]) == (3 if row["batch"] == 1 else 4)
