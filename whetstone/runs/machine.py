"""What the machine is, and how fast it really is."""

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

GIB = 2**30


@dataclass(frozen=True)
class Machine:
    """The hardware as a run sees it. Memory in GiB; `gpu` is None without a CUDA device."""

    cpu: str
    cores: int
    memory: float
    gpu: str | None
    gpu_memory: float | None

    def __str__(self) -> str:
        """One line for reports: `AMD EPYC, 2 cores, 23 GiB`."""
        line = f"{self.cpu}, {self.cores} {'core' if self.cores == 1 else 'cores'}, {self.memory:.0f} GiB"
        return f"{line}; {self.gpu}, {self.gpu_memory:.0f} GiB" if self.gpu else line

    def to_dict(self) -> dict[str, object]:
        """Plain JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Speed:
    """Measured, not from a data sheet. matmul: GFLOP/s in fp32; bandwidth: GB/s, read + write of a copy; read: GB/s of
    reading alone, which is what bounds the generation of few tokens at a time."""

    matmul: float
    bandwidth: float
    read: float


def describe() -> Machine:
    """Look at this machine. Imports torch to ask for a GPU."""
    import torch

    gpu, gpu_memory = None, None
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        gpu, gpu_memory = properties.name, properties.total_memory / GIB
    return Machine(cpu_model(), usable_cores(), memory_bytes() / GIB, gpu, gpu_memory)


def measure(device: str = "cpu", seconds: float = 0.7) -> Speed:
    """Time an fp32 product, a copy of 256 MB and the reading of 512 MB on the device, `seconds` for each; the best
    repetition. What is read is as large as a model of 135M parameters, so that caches help as much as they do there."""
    import torch

    side = 1024 if device == "cpu" else 8192
    left, right, product = (torch.ones(side, side, device=device) for _ in range(3))
    source = torch.ones(64 * 2**20, device=device)
    target = torch.empty_like(source)
    long = torch.ones(128 * 2**20, device=device)
    wait = torch.cuda.synchronize if device != "cpu" else None
    with torch.no_grad():
        matmul = _best_time(lambda: torch.mm(left, right, out=product), seconds, wait)
        copy = _best_time(lambda: target.copy_(source), seconds, wait)
        # which of the two uses all cores, and reads the faster, depends on the BLAS library
        reads = (partial(torch.sum, long), partial(torch.dot, long, long))
        read = min(_best_time(work, seconds / 2, wait) for work in reads)
    return Speed(
        matmul=2 * side**3 / matmul / 1e9, bandwidth=2 * source.nbytes / copy / 1e9, read=long.nbytes / read / 1e9
    )


def cpu_model() -> str:
    """The processor's name as it gives it itself."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "Model")):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    if platform.system() == "Darwin":
        answer = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        if answer.stdout.strip():
            return answer.stdout.strip()
    return platform.processor() or platform.machine() or "unknown processor"


def usable_cores() -> int:
    """Cores that this process may use: its affinity, further limited by a container's CPU quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, max(1, -(-int(quota) // int(period))))
    except (OSError, ValueError):
        pass
    return cores


def memory_bytes() -> int:
    """RAM, limited by a container's allowance."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        allowed = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        return min(installed, int(allowed)) if allowed != "max" else installed
    except (OSError, ValueError):
        return installed


def free_disk_bytes(path: Path) -> int:
    """Free bytes on the disk where `path` lies or would lie."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _best_time(work: Callable[[], object], seconds: float, wait: Callable[[], None] | None) -> float:
    """Seconds of the quickest repetition of `work`; the first, which pays for set-up, is not counted."""
    work()
    best, until = float("inf"), time.perf_counter() + seconds
    while True:
        if wait:
            wait()
        begin = time.perf_counter()
        work()
        if wait:
            wait()
        end = time.perf_counter()
        best = min(best, end - begin)
        if end > until:
            return best
