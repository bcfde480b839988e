import json
import math
import subprocess
import sys

import pytest
import torch

from bench import gpu, gpu_rlvr, peer
from whetstone.errors import WorkFailed


def run(*arguments: str) -> tuple[str, str]:
    command = [sys.executable, str(peer.ROOT / "bench" / "gpu_rlvr.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def rows(printed: str) -> dict[str, dict]:
    return {row["name"]: row for row in map(json.loads, printed.splitlines())}


def check(row: dict) -> None:
    assert row["ours"] > 0 and row["mfu"] > 0 and row["peak_memory_gib"] > 0
    assert all(row["checks"][name] <= limit for name, limit in gpu_rlvr.LIMITS.items())
    assert row["generate_tokens_per_second"] > 0 and row["train_tokens_per_second"] > 0


def test_on_the_cpu_the_same_code_runs_on_a_tiny_shape_and_says_so() -> None:
    printed, said = run("--device", "cpu", "--json", "--no-peers", "--steps", "1")
    found = rows(printed)
    check(found["gpu_rlvr.tiny"])
    assert found["gpu_rlvr.tiny"]["device"] == "cpu" and found["gpu_rlvr.tiny"]["ratio"] is None
    assert found["gpu_rlvr.tiny.generate"]["peer"] is None
    assert "no GPU" in said and "mean nothing" in said


def test_the_table_has_a_line_per_shape() -> None:
    printed, _ = run("--device", "cpu", "--no-peers", "--steps", "1")
    head, *_, columns, line = printed.splitlines()
    assert head.startswith("CPU FALLBACK") and "MFU" in columns and line.split()[0] == "tiny"


def test_without_peers_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path, capsys) -> None:
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    monkeypatch.setattr(peer, "ENVIRONMENT", tmp_path)
    assert gpu.interpreters(("trl", "transformers")) == {}
    said = capsys.readouterr().err
    assert "trl is not installed here" in said and "transformers is not installed here" in said


def test_wrong_arithmetic_is_not_timed() -> None:
    gpu.require({"narrow_kl": 0.0, "narrow_top1_agreement": 1.0}, gpu_rlvr.LIMITS, "135M")
    for value in (1.0, math.nan):
        with pytest.raises(WorkFailed, match="135M: narrow_kl"):
            gpu.require({"narrow_kl": value}, gpu_rlvr.LIMITS, "135M")


def test_the_shapes_have_the_sizes_of_the_published_models() -> None:
    def parameters(shape: str) -> int:
        with torch.device("meta"):
            model = gpu_rlvr.Decoder(gpu.SHAPES[shape])
        return sum(parameter.numel() for parameter in model.parameters())

    assert parameters("135M") == 134_515_008  # SmolLM2-135M's safetensors
    assert parameters("0.6B") == 596_049_920  # Qwen3-0.6B's, its tied head counted once


@pytest.mark.slow
@pytest.mark.skipif(not peer.ENVIRONMENT.exists(), reason="needs `make bench-setup`")
def test_beside_the_peers_on_the_cpu() -> None:
    printed, _ = run("--device", "cpu", "--json", "--steps", "1")
    assert all(row["ratio"] > 0 for row in rows(printed).values())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu() -> None:
    printed, _ = run("--device", "cuda", "--json", "--no-peers", "--steps", "1", "--tokens", "32")
    found = rows(printed)
    for shape in ("135M", "0.6B"):
        check(found[f"gpu_rlvr.{shape}"])
        assert found[f"gpu_rlvr.{shape}"]["device"] == "cuda"
