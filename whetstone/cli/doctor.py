"""`whet doctor`: what this machine can do, what is missing, what to do next."""

import json as json_format
from pathlib import Path
from typing import Annotated, Any

import typer


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look at Python, torch, the processor, memory, disk, GPU and weights; measure the speed in two seconds.

    Example: `whet doctor`
    """
    findings = examine()
    if json:
        print(json_format.dumps(findings, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    for label, value in lines(findings):
        table.add_row(f"[bold]{label}[/bold]", value)
    console = Console()
    console.print(table)
    for advice in findings["next"]:
        console.print(f"→ {advice}", highlight=False, markup=False)


def examine() -> dict[str, Any]:
    """All findings as plain JSON; bytes in GiB, matmul in GFLOP/s, bandwidth in GB/s."""
    import torch

    from whetstone.engine.native import reason
    from whetstone.files import cache_folder
    from whetstone.runs import machine, provenance

    hardware = machine.describe()
    device = "cuda" if hardware.gpu else "cpu"
    speed = machine.measure("cpu")
    gpu_speed = machine.measure("cuda") if hardware.gpu else None
    cache = cache_folder()
    findings: dict[str, Any] = {
        "versions": provenance.versions(),
        "hardware": hardware.to_dict(),
        "threads": torch.get_num_threads(),
        "speed": {"matmul_gflops": round(speed.matmul, 1), "bandwidth_gb_s": round(speed.bandwidth, 1)},
        "gpu_speed": gpu_speed
        and {"matmul_gflops": round(gpu_speed.matmul), "bandwidth_gb_s": round(gpu_speed.bandwidth)},
        "no_kernel": reason(),  # builds it where that was not done yet
        "device": device,
        "cache": str(cache),
        "disk_free": round(machine.free_disk_bytes(cache) / machine.GIB, 1),
        "weights": weights(cache),
    }
    findings["next"] = advice(findings)
    return findings


def advice(findings: dict[str, Any]) -> list[str]:
    """What the user should do, most urgent first; never empty."""
    steps = []
    if findings["hardware"]["memory"] < 6:
        steps.append("less than 6 GiB of memory: full training of 135M parameters needs about 4; prefer --lora")
    if findings["disk_free"] < 3:
        steps.append("less than 3 GiB free on the cache's disk: free some, or set WHETSTONE_CACHE to another disk")
    if findings["threads"] < findings["hardware"]["cores"]:
        steps.append(
            f"torch uses {findings['threads']} of {findings['hardware']['cores']} cores: "
            "unset OMP_NUM_THREADS to use all of them"
        )
    if not any(name.startswith("smollm2-135m") for name in findings["weights"]):
        steps.append("the default weights are not in the cache yet: the first run fetches SmolLM2-135M (about 100 MB)")
    steps.append("ready: whet sharpen --out runs/first")
    return steps


def lines(findings: dict[str, Any]) -> list[tuple[str, str]]:
    """The findings as label and value for the table."""
    hardware, speed, gpu_speed = findings["hardware"], findings["speed"], findings["gpu_speed"]
    gpu = "none"
    if hardware["gpu"]:
        gpu = (
            f"{hardware['gpu']}, {hardware['gpu_memory']:.0f} GiB; "
            f"{gpu_speed['matmul_gflops']} GFLOP/s, {gpu_speed['bandwidth_gb_s']} GB/s"
        )
    return [
        ("software", ", ".join(f"{name} {version}" for name, version in findings["versions"].items())),
        (
            "processor",
            f"{hardware['cpu']}, {hardware['cores']} cores, {findings['threads']} threads in torch",
        ),
        ("speed", f"{speed['matmul_gflops']} GFLOP/s fp32, {speed['bandwidth_gb_s']} GB/s"),
        ("CPU kernel", "ready" if findings["no_kernel"] is None else f"none, torch computes: {findings['no_kernel']}"),
        ("memory", f"{hardware['memory']:.0f} GiB"),
        ("GPU", gpu),
        ("cache", f"{findings['cache']} ({findings['disk_free']} GiB free)"),
        ("weights", ", ".join(findings["weights"]) or "none yet"),
    ]


def weights(cache: Path) -> list[str]:
    """Names of the model folders in the cache; those still being made (hidden) do not count."""
    folders = (file.parent.relative_to(cache) for file in cache.rglob("config.json"))
    return sorted(folder.name for folder in folders if not any(part.startswith(".") for part in folder.parts))
