"""The most memory that this process has held: the same reading on both sides. Standard library only."""

import resource
import sys
from pathlib import Path


def peak_bytes() -> int:
    """Peak resident set of this process in bytes."""
    try:
        # ru_maxrss starts at what the parent process held when it forked; this counts from the program's own start
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
