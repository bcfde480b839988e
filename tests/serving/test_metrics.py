"""The text that Prometheus reads."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
from hypothesis import given
from hypothesis import strategies as st

from tests.serving.live import post, tiny_server
from whetstone.serving.metrics import Histogram, Page

SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\.)*",?)*)\})? (-?[0-9.e+-]+|\+Inf)')


def read(text: str) -> dict[str, float]:
    """Values by name and labels, from text that must be well formed."""
    assert text.endswith("\n")
    found: dict[str, float] = {}
    typed = set()
    for line in text.splitlines():
        if line.startswith("#"):
            if line.startswith("# TYPE"):
                typed.add(line.split()[2])
            continue
        match = SAMPLE.fullmatch(line)
        assert match is not None, line
        name = match[1]
        assert name in typed or re.sub("_(bucket|sum|count)$", "", name) in typed
        key = line.rpartition(" ")[0]
        assert key not in found
        found[key] = float(match[3])
    return found


def test_what_was_done_is_counted(tmp_path: Path) -> None:
    with tiny_server(tmp_path) as running:
        asked = {"model": "tiny", "prompt": "x" * 40, "max_tokens": 5, "ignore_eos": True, "n": 2}
        for _ in range(3):
            post(running, "/v1/completions", asked)
        post(running, "/v1/chat/completions", {"model": "other"})
        found = read(httpx.get(running.url + "/metrics").text)
    of = '{model="tiny"}'
    assert found['whetstone_http_responses_total{path="/v1/completions",status="200"}'] == 3
    assert found['whetstone_http_responses_total{path="/v1/chat/completions",status="400"}'] == 1
    assert found["whetstone_generated_tokens_total" + of] == 30
    assert found["whetstone_prompt_tokens_total" + of] == 120
    assert found["whetstone_cached_tokens_total" + of] == 64
    assert found["whetstone_completions_total" + of] == 6
    assert found["whetstone_time_to_first_token_seconds_count" + of] == 3
    assert found["whetstone_time_per_token_seconds_count" + of] == 24
    assert found["whetstone_tokens_per_second" + of] > 0
    for gauge in ("queue_length", "running_sequences", "cache_blocks_used"):
        assert found[f"whetstone_{gauge}{of}"] == 0


@given(st.lists(st.floats(0, 500)))
def test_a_histogram_counts_everything_once(values: list[float]) -> None:
    histogram = Histogram((0.5, 1.0, 100.0))
    for value in values:
        histogram.observe(value)
    page = Page()
    page.histograms("h", "text", [({"model": 'a"\\\n'}, histogram)])
    found = list(read(page.text()).values())
    assert found[:4] == [sum(value <= bound for value in values) for bound in (0.5, 1.0, 100.0, float("inf"))]
    assert found[5] == len(values)
