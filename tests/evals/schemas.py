"""The shapes of other harnesses' files as JSON schemas, written down from what they publish.

lm-evaluation-harness: lm_eval/result_schema.py and loggers/evaluation_tracker.py of August 2026.
inspect_ai: the parts of inspect-openapi.json of August 2026 that a log without events, tools or a sandbox has; fields
that it does not know are refused here, so that a misspelt name is found.
"""

from __future__ import annotations

from typing import Any

TEXT, NUMBER, WHOLE, FLAG, ANY = ({"type": t} for t in ("string", "number", "integer", "boolean", "object"))
MAYBE_TEXT = {"type": ["string", "null"]}
HASH = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def record(required: dict[str, Any], optional: dict[str, Any] | None = None, extra: Any = False) -> dict[str, Any]:
    """An object with these fields; `extra` is the schema of any other, or False."""
    properties = {**required, **(optional or {})}
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": extra,
    }


def listing(of: Any) -> dict[str, Any]:
    return {"type": "array", "items": of}


def mapping(of: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": of}


LM_EVAL_SAMPLE = record(
    {
        "doc_id": WHOLE,
        "doc": ANY,
        "target": TEXT,
        "arguments": mapping(mapping({})),
        # generation: requests x repeats x text; multiple choice: requests x repeats x [log-probability, is greedy]
        "resps": listing(listing({"anyOf": [TEXT, {"type": "array", "prefixItems": [TEXT, TEXT], "minItems": 2}]})),
        "filtered_resps": listing({"anyOf": [TEXT, listing(TEXT)]}),
        "filter": TEXT,
        "metrics": listing(TEXT),
        "doc_hash": HASH,
        "prompt_hash": HASH,
        "target_hash": HASH,
    },
    extra=NUMBER,
)

_FIGURE = {"type": ["number", "string"]}  # a standard error of one item is "N/A"
LM_EVAL_RESULTS = record(
    {
        "results": mapping(
            record({"name": TEXT, "alias": TEXT, "sample_len": WHOLE}, extra={"type": ["number", "string"]})
        ),
        "group_subtasks": mapping(listing(TEXT)),
        "configs": mapping(ANY),
        "versions": mapping({"type": ["string", "number", "null"]}),
        "n-shot": mapping(WHOLE),
        "higher_is_better": mapping(mapping({"type": ["boolean", "null"]})),
        "n-samples": mapping(record({"original": WHOLE, "effective": WHOLE})),
        "config": record(
            {"model": TEXT},
            {
                "model_args": {"type": ["string", "object", "null"]},
                "batch_size": MAYBE_TEXT,
                "limit": {"type": ["number", "null"]},
                "gen_kwargs": {"type": ["string", "object", "null"]},
                "random_seed": WHOLE,
            },
        ),
        "date": NUMBER,
    },
    {
        "model_source": TEXT,
        "model_name": TEXT,
        "model_name_sanitized": TEXT,
        "system_instruction": MAYBE_TEXT,
        "system_instruction_sha": MAYBE_TEXT,
        "fewshot_as_multiturn": {"type": ["boolean", "null"]},
        "chat_template": MAYBE_TEXT,
        "chat_template_sha": MAYBE_TEXT,
        "task_hashes": mapping(HASH),
    },
)

_MESSAGE = record(
    {"content": TEXT, "role": {"enum": ["system", "user", "assistant"]}},
    {"source": {"enum": ["input", "generate", "operator"]}, "model": TEXT},
)
_STOPS = {"enum": ["stop", "max_tokens", "model_length", "tool_calls", "content_filter", "unknown"]}
_SCORE = record(
    {"value": {"enum": ["C", "I", "N"]}, "history": listing(ANY)},
    {"answer": MAYBE_TEXT, "explanation": MAYBE_TEXT, "metadata": ANY},
)
_METRIC = record({"name": TEXT, "value": NUMBER, "params": ANY})
_SAMPLE = record(
    {
        "id": {"type": ["string", "integer"]},
        "epoch": {"type": "integer", "minimum": 1},
        "input": {"anyOf": [TEXT, listing(_MESSAGE)]},
        "target": {"anyOf": [TEXT, listing(TEXT)]},
        "messages": listing(_MESSAGE),
        "output": record(
            {
                "model": TEXT,
                "choices": listing(record({"message": _MESSAGE, "stop_reason": _STOPS})),
                "completion": TEXT,
            }
        ),
        "metadata": ANY,
        "store": ANY,
        "events": listing(ANY),
        "model_usage": ANY,
        "role_usage": ANY,
        "attachments": mapping(TEXT),
    },
    {"choices": listing(TEXT), "scores": mapping(_SCORE)},
)
INSPECT_LOG = record(
    {
        "version": {"const": 2},
        "status": {"enum": ["started", "success", "cancelled", "error"]},
        "eval": record(
            {
                "eval_id": TEXT,
                "run_id": TEXT,
                "created": TEXT,
                "task": TEXT,
                "task_id": TEXT,
                "task_version": {"type": ["integer", "string"]},
                "task_attribs": ANY,
                "task_args": ANY,
                "task_args_passed": ANY,
                "dataset": record(
                    {},
                    {
                        "name": MAYBE_TEXT,
                        "location": MAYBE_TEXT,
                        "samples": WHOLE,
                        "sample_ids": listing(TEXT),
                        "shuffled": FLAG,
                    },
                ),
                "model": TEXT,
                "model_generate_config": record({}, {"temperature": NUMBER}),
                "model_args": ANY,
                "config": record({}, {"epochs": WHOLE}),
                "packages": mapping(TEXT),
            },
            {"metadata": ANY},
        ),
        "plan": record(
            {
                "name": TEXT,
                "steps": listing(record({"solver": TEXT, "params": ANY, "params_passed": ANY})),
                "config": ANY,
            }
        ),
        "stats": record(
            {
                "started_at": TEXT,
                "completed_at": TEXT,
                "model_usage": ANY,
                "role_usage": ANY,
                "connection_limit_history": listing(ANY),
            }
        ),
        "invalidated": FLAG,
        "tags": listing(TEXT),
        "metadata": ANY,
    },
    {
        "results": record(
            {
                "total_samples": WHOLE,
                "completed_samples": WHOLE,
                "scores": listing(
                    record(
                        {"name": TEXT, "scorer": TEXT, "params": ANY, "metrics": mapping(_METRIC)},
                        {"scored_samples": WHOLE, "unscored_samples": WHOLE},
                    )
                ),
            }
        ),
        "samples": listing(_SAMPLE),
    },
)
