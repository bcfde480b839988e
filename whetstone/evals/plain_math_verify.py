"""math-verify as it comes, in a child process: what our judges are compared with, never what a score rests on.

Here texts of models do reach its parsers, in a process that can be killed and that nothing else depends on.
"""

from __future__ import annotations

from math_verify import parse, verify

from whetstone.sandbox.worker import serve


def judge(text: str, gold: str) -> bool:
    """Its documented use: both sides parsed with the defaults, the gold answer between dollar signs."""
    return bool(
        verify(parse(f"${gold}$", parsing_timeout=None), parse(text, parsing_timeout=None), timeout_seconds=None)
    )


def main() -> None:
    """The child process."""
    serve({"judge": judge})


if __name__ == "__main__":
    main()
