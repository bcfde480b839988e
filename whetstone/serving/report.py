"""What /metrics tells about the engines and the requests."""

from __future__ import annotations

from collections.abc import Callable

from whetstone.engine.engine import Engine
from whetstone.serving.metrics import Page
from whetstone.serving.state import State

Reading = Callable[[Engine], float]
# name, kind, what it is, how it is read off an engine
READINGS: tuple[tuple[str, str, str, Reading], ...] = (
    ("prompt_tokens_total", "counter", "Tokens of prompts.", lambda e: e.stats.prompt_tokens),
    ("generated_tokens_total", "counter", "Tokens sampled.", lambda e: e.stats.generated_tokens),
    ("cached_tokens_total", "counter", "Tokens of prompts found computed.", lambda e: e.stats.cached_tokens),
    ("computed_tokens_total", "counter", "Tokens that went through the model.", lambda e: e.stats.computed_tokens),
    ("prompts_total", "counter", "Prompts queued.", lambda e: e.stats.requests),
    ("completions_total", "counter", "Completions that ended.", lambda e: e.stats.completions),
    ("preemptions_total", "counter", "Branches pushed out for want of cache blocks.", lambda e: e.stats.preemptions),
    ("steps_total", "counter", "Steps of the engine.", lambda e: e.stats.steps),
    ("step_seconds_total", "counter", "Seconds spent in steps.", lambda e: e.stats.seconds),
    ("queue_length", "gauge", "Branches that wait for a place.", lambda e: len(e.scheduler.waiting)),
    ("running_branches", "gauge", "Branches in the batch.", lambda e: len(e.scheduler.running)),
    ("running_sequences", "gauge", "Completions in the making.", lambda e: _sequences(e)),
    ("cache_blocks_used", "gauge", "Cache blocks that somebody holds.", lambda e: e.pool.used),
    ("cache_blocks", "gauge", "Cache blocks in all.", lambda e: e.pool.count),
    (
        "tokens_per_second",
        "gauge",
        "Tokens sampled per second of stepping, since the start.",
        lambda e: e.stats.generated_tokens / e.stats.seconds if e.stats.seconds else 0.0,
    ),
    ("weight_version", "gauge", "Counts the changes of the weights.", lambda e: e.weight_version),
)


def _sequences(engine: Engine) -> int:
    return sum(len(branch.sequences) for branch in list(engine.scheduler.running))


def metrics(state: State) -> str:
    """The page."""
    page = Page()
    responses = [
        ({"path": path, "status": str(status)}, count) for (path, status), count in sorted(state.responses.items())
    ]
    page.numbers("whetstone_http_responses_total", "counter", "Responses by path and status.", responses)
    page.numbers(
        "whetstone_client_disconnects_total", "counter", "Clients that left before the end.", [({}, state.disconnects)]
    )
    page.numbers("whetstone_open_requests", "gauge", "Prompts queued and not over.", [({}, state.service.open)])
    models = state.models.all
    for name, kind, text, read in READINGS:
        values = [({"model": served.name}, float(read(served.engine))) for served in models]
        page.numbers(f"whetstone_{name}", kind, text, values)
    guesses = [(served.name, who, tally) for served in models for who, tally in served.engine.stats.guesses.items()]
    page.numbers(
        "whetstone_proposed_tokens_total",
        "counter",
        "Tokens guessed and checked, by who guessed.",
        [({"model": name, "proposer": who}, tally.proposed) for name, who, tally in guesses],
    )
    page.numbers(
        "whetstone_accepted_tokens_total",
        "counter",
        "Guesses that were right and gave a further token.",
        [({"model": name, "proposer": who}, tally.accepted) for name, who, tally in guesses],
    )
    page.histograms(
        "whetstone_time_to_first_token_seconds",
        "From the request's arrival to its first token.",
        [({"model": served.name}, served.first_token) for served in models],
    )
    page.histograms(
        "whetstone_time_per_token_seconds",
        "From one token of a completion to its next.",
        [({"model": served.name}, served.next_token) for served in models],
    )
    return page.text()
