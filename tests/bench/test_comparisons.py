"""`whet bench rlvr` and `whet bench generate` on a tiny model: equal work, the best settings of the peer, the rows."""

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from bench import generate, peer, report, rlvr
from tests.tiny import tiny_folder
from whetstone.errors import WorkFailed
from whetstone.models.loading import load

needs_peers = pytest.mark.skipif(not peer.ENVIRONMENT.exists(), reason="needs `make bench-setup`")
SMALL = ("--prompts", "2", "--group", "4", "--tokens", "4", "--steps", "1")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_folder(tmp_path_factory.mktemp("model") / "tiny")
    config = folder / "tokenizer_config.json"
    # else transformers puts its own tokenizer of the model's family in place of the folder's
    config.write_text(json.dumps({**json.loads(config.read_text()), "tokenizer_class": "PreTrainedTokenizerFast"}))
    return folder


def run(name: str, *arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, str(peer.ROOT / "bench" / f"{name}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_our_side_trains_on_every_group_and_forces_every_token(model: Path) -> None:
    [found] = run("rlvr", "--side", "ours", "--model", str(model), *SMALL)
    assert found["groups"] == found["groups_with_signal"] == 2
    assert found["generated_tokens"] == found["response_tokens"] == 2 * 4 * 4
    # two prompts of 47 tokens that share their opening, and of each response all but the last token
    assert found["trained_tokens"] - 2 * 4 * 3 < 2 * 47 == 2 * found["prompt_tokens"]
    assert len(found["step_seconds"]) == 1 and found["peak_memory"] > 1 << 27
    assert 0 < found["generate_gflop"] < found["train_gflop"]


def test_unequal_work_is_not_compared(model: Path) -> None:
    options = Namespace(prompts=2, group=4, tokens=4)
    ours = {"generated_tokens": 32.0, "groups_with_signal": 2.0, "prompt_tokens": 47.0}
    theirs = {"mean_completion_tokens": 4.0, "groups_without_signal": 0.0, "prompt_tokens": 47.0}
    rlvr.check_equal_work(options, ours, theirs)
    with pytest.raises(WorkFailed, match="tokens per prompt 38, not 47"):
        rlvr.check_equal_work(options, ours, {**theirs, "prompt_tokens": 38.0})


def fake_peer(
    monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float], memory: float, limits: list[float] | None = None
) -> list[list[str]]:
    calls: list[list[str]] = []
    limits = [] if limits is None else limits

    def run_peer(script: str, *arguments: str, timeout: float = 0, python: Path | None = None) -> list[dict[str, Any]]:
        limits.append(timeout)
        calls.append(list(arguments))
        size = int(arguments[arguments.index("--micro-batch") + 1])
        if size not in seconds:
            raise WorkFailed("out of memory")
        return [{"seconds_per_step": seconds[size], "peak_memory": memory * size, "micro_batch": size}]

    monkeypatch.setattr(peer, "run_peer", run_peer)
    return calls


def test_trl_runs_with_the_quickest_micro_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_peer(monkeypatch, {8: 3.0, 16: 1.0, 32: 2.0}, memory=1.0)
    found = peer.run_grpo(Path("model"), ["hi"], {"prompts-per-step": 8, "generations": 16, "steps": 2})
    assert found["micro_batch"] == 16
    assert found["micro_batches_tried"] == {"8": 3.0, "16": 1.0, "32": 2.0, "64": "out of memory"}
    assert calls[-1][calls[-1].index("--steps") + 1] == "2" and calls[0][calls[0].index("--steps") + 1] == "1"


def test_a_micro_batch_that_might_not_fit_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer.machine, "memory_bytes", lambda: 100)
    calls = fake_peer(monkeypatch, {8: 3.0, 16: 2.0, 32: 1.0}, memory=2.5)
    found = peer.run_grpo(Path("model"), ["hi"], {"prompts-per-step": 2, "generations": 16})
    assert found["micro_batch"] == 16 and len(calls) == 3
    assert str(found["micro_batches_tried"]["32"]).startswith("not tried")


def test_every_size_that_divides_the_batch_is_tried_unless_it_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {8: 5.0, 16: 4.0, 32: 3.0, 64: 2.0, 128: 1.0}
    limits: list[float] = []
    work = {"prompts-per-step": 8, "generations": 16}
    fake_peer(monkeypatch, times, memory=1.0, limits=limits)
    found = peer.run_grpo(Path("model"), ["hi"], work)
    assert found["micro_batch"] == 128 and list(found["micro_batches_tried"]) == ["8", "16", "32", "64", "128"]
    # a trial may not go on beyond the time for tuning; the real run may
    assert all(limit <= peer.TUNING_SECONDS for limit in limits[1:-1]) and limits[-1] == 3600
    found = peer.run_grpo(Path("model"), ["hi"], work, tuning_seconds=0)
    assert found["micro_batch"] == 8 and "were over" in str(found["micro_batches_tried"]["16"])


def test_the_quicker_cache_of_transformers_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_peer(script: str, *arguments: str, python: Path | None = None) -> list[dict[str, Any]]:
        static = "--cache" in arguments
        times = {"sampled": 1.0 if static else 2.0, "greedy": 4.0 if static else 3.0}
        return [{"batch": 8, "mode": mode, "seconds": seconds} for mode, seconds in times.items()]

    monkeypatch.setattr(peer, "run_peer", run_peer)
    found = peer.run_generate(Path("model"), [[1]], {"tokens": 4})
    assert {mode: found[8, mode]["cache"] for mode in ("sampled", "greedy")} == {
        "sampled": "static",
        "greedy": "dynamic",
    }
    assert found[8, "sampled"]["cache_seconds"] == {"dynamic": 2.0, "static": 1.0}


def test_the_workloads_of_generate(model: Path) -> None:
    loaded = load(str(model))
    options = Namespace(batches=[1, 4], groups=(2, 3), modes=["sampled", "greedy"], tokens=5, repeats=1, model="tiny")
    works = list(generate.workloads(loaded, options))
    assert [work.name for work in works] == [
        "generate.sampled.batch1",
        "generate.sampled.batch4",
        "generate.greedy.batch1",
        "generate.greedy.batch4",
        "generate.sampled.groups2x3",
    ]
    assert len(set(works[1].prompts)) == 4 and works[-1].batch == 6
    for work in works:
        found = generate.measure_ours(loaded, work, "fp32", options)
        # a prompt is computed in every call, once for all its samples; an answer's last token is never fed back
        distinct = sum(len(prompt) for prompt in work.prompts)
        assert found.seconds > 0 and len(work.prompts[0]) + work.batch <= found.computed <= distinct + 4 * work.batch


def test_numbers_in_a_row_are_rounded_at_every_depth() -> None:
    assert report.rounded({"a": [1.23456, 7], "b": {"c": 12345.6}}) == {"a": [1.235, 7], "b": {"c": 12350.0}}


@pytest.mark.slow
@needs_peers
def test_rlvr_beside_trl(model: Path) -> None:
    found = {row["name"]: row for row in run("rlvr", "--json", "--model", str(model), *SMALL, "--micro-batch", "4")}
    assert list(found) == ["rlvr.step", "rlvr.defaults", "rlvr.memory"]
    assert found["rlvr.step"]["ratio"] > 0 and found["rlvr.step"]["generated_tokens"] == 32
    assert "not equal work" in found["rlvr.defaults"]["note"] and found["rlvr.memory"]["unit"] == "GiB"


@pytest.mark.slow
@needs_peers
def test_generate_beside_transformers(model: Path) -> None:
    sizes = ("--tokens", "4", "--batches", "1,4", "--groups", "2x2", "--modes", "sampled")
    found = run("generate", "--json", "--model", str(model), *sizes)
    names = ["generate.sampled.batch1", "generate.sampled.batch4", "generate.sampled.groups2x2"]
    assert [row["name"] for row in found if row["storage"] == "fp32"] == names
    assert all(row["ratio"] > 0 and set(row["peer_cache_seconds"]) == {"dynamic", "static"} for row in found)
    for row in found:
        assert row["possible"] > 0 and row["share"] > 0
        assert (row["fidelity"] is None) == (row["storage"] == "fp32") == row["name"].endswith(tuple("142"))
