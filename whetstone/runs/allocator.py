"""How the C library hands memory back, which decides how often the kernel has to clear a page again."""

import ctypes

# of <malloc.h>
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Tell glibc to keep memory that is freed, for the whole process; returns whether it could be told.

    A training step allocates and frees gigabytes. By default every large block is a mapping of its own, gone when it is
    freed, so each step faults its pages in anew: half a million faults of 4 KiB for SmolLM2-135M. Kept, they cost
    nothing after the first step, and the process stays as large as its largest moment. Other C libraries (musl, macOS)
    have no such switch and are left alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    # `and`: both are needed, for without a threshold of its own the heap is trimmed at 128 KiB
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, 2**31 - 1))
