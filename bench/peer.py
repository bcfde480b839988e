"""Run a peer in its own environment, so that its packages never meet ours."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from whetstone.errors import UsageError, WorkFailed

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv-bench"


def run_peer(script: str, *arguments: str, threads: int | None = None, timeout: float = 3600) -> list[dict[str, Any]]:
    """Run bench/peers/SCRIPT.py with the arguments; return the JSON objects that it printed, one per line.

    threads: for OpenMP in the peer, all cores if None. timeout: seconds. The peer's own chatter (stderr) is
    shown only if it fails. Raises UsageError if its environment is missing, WorkFailed if it fails or prints
    no result.
    """
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        raise UsageError(f"the peers are not installed ({ENVIRONMENT.name} is missing): run `make bench-setup`")
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    command = [str(python), str(ROOT / "bench" / "peers" / f"{script}.py"), *arguments]
    try:
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise WorkFailed(f"the peer {script} did not finish within {timeout:.0f} s") from error
    rows = [json.loads(line) for line in answer.stdout.splitlines() if line.startswith("{")]
    if answer.returncode != 0 or not rows:
        tail = " | ".join(answer.stderr.strip().splitlines()[-3:])
        raise WorkFailed(f"the peer {script} failed (exit code {answer.returncode}): {tail}")
    return rows
