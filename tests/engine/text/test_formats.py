"""Which format a model speaks, and the prompt that offers it tools."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.engine.text.streams import calls_of, events_of
from tests.tiny import tiny_tokenizer
from whetstone.engine.text.toolcalls import FORMATS, find_format, render_with_tools, template_of
from whetstone.errors import UsageError
from whetstone.models.hub import resolve
from whetstone.models.tokenizer import Tokenizer

# The lines of published chat templates that tell the model how to call, or write its earlier calls.
TEMPLATES = {
    "hermes": """{{- '\\n</tools>\\n\\nreturn a json object:\\n<tool_call>\\n{"name": <function-name>}\\n</tool_call>' }}""",
    "qwen3-coder": "{{- '<tool_call>\\n<function=example_function_name>\\n<parameter=example_parameter_1>\\nvalue_1' }}",
    "llama3": """{{- 'Respond in the format {"name": function name, "parameters": dictionary}.' }}<|python_tag|>""",
    "deepseek": "{{'<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>' + tool['type'] + '<｜tool▁sep｜>' + tool['function']['name']}}",
    "pythonic": "{{- '<|tool_call_start|>[' }}",
}
LLAMA32 = (
    """<|start_header_id|>{{- '{"name": function name, "parameters": dictionary of argument name and its value}.' }}"""
)
LLAMA4 = "you MUST put it in the format of [func_name1(params_name1=params_value1), func_name2(params)]"
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"properties": {"a": {"type": "integer"}}}}}]
CHAT: list[dict[str, Any]] = [
    {"role": "user", "content": "1 + 2?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "x", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}],
    },
    {"role": "tool", "tool_call_id": "x", "content": "3"},
]


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_template_tells_the_format(name: str) -> None:
    assert find_format(TEMPLATES[name]).name == name


def test_templates_without_marks() -> None:
    assert find_format(LLAMA32).name == "llama3"
    assert find_format(LLAMA4).name == "pythonic"
    assert find_format("").name == "hermes"


def test_the_user_may_say_it_better() -> None:
    assert find_format(TEMPLATES["hermes"], "pythonic").name == "pythonic"
    with pytest.raises(UsageError, match="choose one of hermes, llama3"):
        find_format("", "xml")


def test_a_format_that_is_not_read_is_refused() -> None:
    with pytest.raises(UsageError, match="<arg_key>"):
        find_format("<tool_call>{name}\n<arg_key>")
    assert find_format("<tool_call>{name}\n<arg_key>", "hermes").name == "hermes"


def with_template(template: Any) -> Tokenizer:
    tokenizer = tiny_tokenizer()
    tokenizer.config["chat_template"] = template
    return tokenizer


READS = (
    "{{ tools | tojson }}{% for m in messages %}|{{ m.role }}:{{ m.content }}"
    "{% for c in m.tool_calls or [] %}{{ c.function.name }}{{ %s }}{% endfor %}{% endfor %}"
)


def test_a_template_that_reads_tools_gets_them_and_arguments_as_it_wants_them() -> None:
    ours = json.dumps(TOOLS)
    objects = with_template(READS % "c.function.arguments.a + 1")
    assert render_with_tools(objects, CHAT, TOOLS, FORMATS["hermes"]) == f"{ours}|user:1 + 2?|assistant:add2|tool:3"
    texts = with_template([{"name": "default", "template": READS % "'~' + c.function.arguments"}])
    text = render_with_tools(texts, CHAT, TOOLS, FORMATS["deepseek"])
    assert text == f'{ours}|user:1 + 2?|assistant:add~{{"a": 1}}|tool:3'


@pytest.mark.parametrize("arguments", ["[1]", "{", "[" * 100_000])
def test_arguments_that_are_no_object_are_the_users_mistake(arguments: str) -> None:
    chat = [{"role": "assistant", "tool_calls": [{"function": {"name": "add", "arguments": arguments}}]}]
    with pytest.raises(UsageError, match="'add'"):
        render_with_tools(with_template(READS % "''"), chat, TOOLS, FORMATS["hermes"])


@pytest.mark.parametrize("name", FORMATS)
def test_a_template_that_does_not_is_explained_the_tools_in_the_system_message(name: str) -> None:
    form = FORMATS[name]
    for chat, role in [(CHAT, None), ([{"role": "system", "content": "Be brief."}, *CHAT], "Be brief.")]:
        text = render_with_tools(tiny_tokenizer(), chat, TOOLS, form)
        system, user, assistant, tool = text.split("<|end|>")[:4]
        assert system.startswith(f"<|system|>{role or 'You can call'}")
        assert json.dumps(TOOLS[0]["function"]) in system
        example = system[system.index("its result:\n") + len("its result:\n") :]
        # the example is a call that its own parser reads, and so is what is written of an earlier call
        assert calls_of(events_of(form.parser(None), [example])) == [("name_of_the_tool", {"key": "value"})]
        assert user == "<|user|>1 + 2?"
        assert calls_of(events_of(form.parser(TOOLS), [assistant.removeprefix("<|assistant|>")])) == [("add", {"a": 1})]
        assert tool == "<|user|><tool_response>\n3\n</tool_response>"


@pytest.mark.real
def test_the_default_model_is_explained_its_tools() -> None:
    tokenizer = Tokenizer.load(resolve("smollm2-135m"))
    form = find_format(template_of(tokenizer))
    assert form.name == "hermes"
    text = render_with_tools(tokenizer, CHAT, TOOLS, form)
    assert text.startswith("<|im_start|>system\nYou can call these tools") and '"name": "add"' in text
    assert text.endswith("<|im_start|>user\n<tool_response>\n3\n</tool_response><|im_end|>\n<|im_start|>assistant\n")
