"""The run directory: files that survive a crash, metrics, provenance, progress."""
