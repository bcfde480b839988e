import json
import math
import subprocess
import sys

import pytest
import torch

from bench import gpu, gpu_engine, gpu_steps, peer
from whetstone.errors import WorkFailed


def run(*arguments: str) -> tuple[str, str]:
    command = [sys.executable, str(peer.ROOT / "bench" / "gpu_engine.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_on_the_cpu_the_same_code_runs_on_a_tiny_shape_and_says_so() -> None:
    printed, said = run("--device", "cpu", "--json", "--no-peers", "--repeats", "1")
    found = [json.loads(line) for line in printed.splitlines()]
    assert [row["name"] for row in found] == ["gpu_engine.tiny.batch1", "gpu_engine.tiny.batch4"]
    for row in found:
        assert row["ours"] > 0 and row["ratio"] is None and row["device"] == "cpu" and row["left_out"] == []
        assert set(row["checks"]) == set(gpu_steps.LIMITS)
        assert all(row["checks"][name] <= limit for name, limit in gpu_steps.LIMITS.items())
        assert row["limit_seconds"] > 0 and row["step_seconds"] > 0 and row["prefill_tokens_per_second"] > 0
        assert row["heads"]["fp32"]["kl.1"] == 0 < row["heads"]["bf16"]["kl.1"] < 1e-3
        assert row["variants"]["as it is"].keys() == {"1", "4"}
    assert "no GPU" in said and "mean nothing" in said


def test_the_table_has_a_line_per_batch_and_what_had_no_time_is_named() -> None:
    printed, _ = run("--device", "cpu", "--no-peers", "--repeats", "1", "--batches", "2", "--seconds", "0")
    assert printed.startswith("CPU FALLBACK") and "left out for want of time or by failure: steps of batch 2" in printed
    printed, _ = run("--device", "cpu", "--no-peers", "--repeats", "1", "--batches", "2")
    assert [line.split()[:2] for line in printed.splitlines() if line.split()[:1] == ["tiny"]] == [["tiny", "2"]]


def test_beside_transformers_on_the_cpu() -> None:
    pytest.importorskip("transformers")
    printed, _ = run("--device", "cpu", "--json", "--repeats", "1", "--batches", "2")
    [row] = map(json.loads, printed.splitlines())
    assert row["ratio"] > 0 and row["peer_details"]["tokens"] == row["tokens"]


def test_wrong_arithmetic_is_not_timed() -> None:
    gpu.require({"graph_error": 0.0}, gpu_steps.LIMITS, "1B")
    for value in (1.0, math.nan):
        with pytest.raises(WorkFailed, match="1B: graph_error"):
            gpu.require({"graph_error": value}, gpu_steps.LIMITS, "1B")


def test_the_shape_has_the_size_of_the_published_model() -> None:
    with torch.device("meta"):
        model = gpu_engine.Decoder(gpu.SHAPES["1B"])
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_235_814_400  # Llama 3.2 1B


def test_the_limit_of_a_step() -> None:
    """135M at one row reads its 106 million layer weights in bf16, its head in fp32, and the cache of one text."""
    with torch.device("meta"):
        model = gpu_engine.Decoder(gpu.SHAPES["135M"])
    model.compute_dtype = torch.bfloat16
    device = gpu_engine.Device(bandwidth=1e12, flops=1e15, sheet_bandwidth=None)
    layers = 30 * (576 * 576 * 2 + 2 * 192 * 576 + 3 * 576 * 1536)
    head = 49152 * 576 * 4
    seconds, by = gpu_engine.step_limit(model, head, 1, 100, device)
    assert by == "bytes" and seconds == pytest.approx((2 * layers + head + 100 * 2 * 30 * 3 * 64 * 2) / 1e12)
    slow = gpu_engine.Device(bandwidth=1e15, flops=1e12, sheet_bandwidth=None)
    seconds, by = gpu_engine.step_limit(model, head, 8, 100, slow)
    assert by == "FLOP" and seconds == pytest.approx(16 * (layers + 49152 * 576) / 1e12)


def test_it_needs_no_package_that_is_not_there() -> None:
    """Everything that the script imports is in the standard library, the repository or the list."""
    code = "import sys, bench.gpu_engine; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=peer.ROOT, capture_output=True, text=True, check=True)
    for package in ("pydantic", "typer", "rich", "gguf", "transformers"):
        assert package not in done.stdout.split()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu() -> None:
    printed, _ = run(
        "--device", "cuda", "--json", "--no-peers", "--repeats", "1", "--tokens", "32", "--batches", "1,16"
    )
    found = [json.loads(line) for line in printed.splitlines()]
    assert [row["name"] for row in found] == [
        f"gpu_engine.{shape}.batch{n}" for shape in ("135M", "1B") for n in (1, 16)
    ]
    assert all(row["device"] == "cuda" and row["ours"] > 0 for row in found)
