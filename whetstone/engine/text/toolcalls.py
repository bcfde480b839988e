"""Which tool call format a model speaks, its parser, and the prompt that offers tools.

The format is read off the chat template, which either shows the model how to call or writes earlier calls. A parser of
a whole message first takes the thinking section off, so a call inside it is not a call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whetstone.engine.text.calls import ToolCallParser, Tools
from whetstone.engine.text.coder_xml import CoderXmlParser
from whetstone.engine.text.events import Content, Event
from whetstone.engine.text.json_calls import DeepSeekParser, HermesParser, LlamaParser
from whetstone.engine.text.pythonic import PythonicParser
from whetstone.engine.text.reasoning import ReasoningParser, ThinkingMarks
from whetstone.errors import UsageError
from whetstone.models.tokenizer import Tokenizer

Call = tuple[str, Mapping[str, Any]]  # name and arguments


@dataclass(frozen=True)
class ToolFormat:
    """One way of writing tool calls.

    Args:
        name: what `--tool-format` and `find_format` call it.
        parser: takes the tools on offer (None: any) to a parser of one message.
        write: calls as the model would write them.
        marks: strings that some models have as special tokens: `Detokenizer(keep_special=marks)` keeps them.
        arguments_as_text: the templates of this format want earlier calls' arguments as JSON text, not as objects.
    """

    name: str
    parser: Callable[[Tools | None], ToolCallParser]
    write: Callable[[Sequence[Call]], str]
    marks: frozenset[str]
    arguments_as_text: bool = False


def _write_hermes(calls: Sequence[Call]) -> str:
    return "\n".join(
        f"<tool_call>\n{_json({'name': name, 'arguments': dict(given)})}\n</tool_call>" for name, given in calls
    )


def _write_llama(calls: Sequence[Call]) -> str:
    return "; ".join(_json({"name": name, "parameters": dict(given)}) for name, given in calls)


def _write_pythonic(calls: Sequence[Call]) -> str:
    written = (f"{name}({', '.join(f'{key}={value!r}' for key, value in given.items())})" for name, given in calls)
    return f"[{', '.join(written)}]"


def _write_coder(calls: Sequence[Call]) -> str:
    def parameter(key: str, value: Any) -> str:
        return f"<parameter={key}>\n{value if isinstance(value, str) else _json(value)}\n</parameter>\n"

    written = []
    for name, given in calls:
        parameters = "".join(parameter(*pair) for pair in given.items())
        written.append(f"<tool_call>\n<function={name}>\n{parameters}</function>\n</tool_call>")
    return "\n".join(written)


def _write_deepseek(calls: Sequence[Call]) -> str:
    form = DeepSeekParser
    written = (
        f"{form.OPEN}function{form.SEPARATOR}{name}\n```json\n{_json(dict(given))}\n```{form.CLOSE}"
        for name, given in calls
    )
    return form.ALL_OPEN + "\n".join(written) + form.ALL_CLOSE


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


_DEEPSEEK_MARKS = frozenset(
    {DeepSeekParser.ALL_OPEN, DeepSeekParser.ALL_CLOSE, DeepSeekParser.OPEN, DeepSeekParser.CLOSE}
    | {DeepSeekParser.SEPARATOR}
)
_TAGS = frozenset({HermesParser.OPEN, HermesParser.CLOSE})
FORMATS = {
    form.name: form
    for form in (
        ToolFormat("hermes", HermesParser, _write_hermes, _TAGS),
        ToolFormat("llama3", LlamaParser, _write_llama, frozenset({LlamaParser.TAG})),
        ToolFormat("pythonic", PythonicParser, _write_pythonic, frozenset({PythonicParser.OPEN, PythonicParser.CLOSE})),
        ToolFormat("qwen3-coder", CoderXmlParser, _write_coder, _TAGS),
        ToolFormat("deepseek", DeepSeekParser, _write_deepseek, _DEEPSEEK_MARKS, arguments_as_text=True),
    )
}
DEFAULT = "hermes"  # for a template that says nothing of tools, and so leaves it to us to explain them

# What a template of each format mentions: the first line whose strings are all there names it.
_SIGNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("deepseek", (DeepSeekParser.ALL_OPEN,)),
    ("qwen3-coder", ("<function=", "<parameter=")),
    ("pythonic", (PythonicParser.OPEN,)),
    ("pythonic", ("[func_name1(",)),
    ("hermes", (HermesParser.OPEN,)),
    ("llama3", (LlamaParser.TAG,)),
    ("llama3", ("<|start_header_id|>", '"parameters"')),
)
_OTHER_TAGS = ("<arg_key>", "<|tool_calls_section_begin|>", "[TOOL_CALLS]", "<|tool_call_begin|>")


def find_format(template: str, override: str | None = None) -> ToolFormat:
    """The format of a model, from the text of its chat template.

    Args:
        template: the jinja source; "" for a model without one.
        override: the user's choice, a key of FORMATS.

    Raises:
        UsageError: no such format, or a template with the marks of a format that is not known here.
    """
    if override is not None:
        if override not in FORMATS:
            raise UsageError(f"there is no tool call format {override!r}: choose one of {', '.join(FORMATS)}")
        return FORMATS[override]
    for tag in _OTHER_TAGS:
        if tag in template:
            raise UsageError(
                f"this model's tool calls ({tag}) are of a kind that is not read here: "
                f"choose one of {', '.join(FORMATS)} or send no tools"
            )
    for name, signs in _SIGNS:
        if all(sign in template for sign in signs):
            return FORMATS[name]
    return FORMATS[DEFAULT]


def template_of(tokenizer: Tokenizer) -> str:
    """The jinja source of a tokenizer's chat template; "" when it has none."""
    source = tokenizer.config.get("chat_template")
    if isinstance(source, list):
        source = next((entry["template"] for entry in source if entry.get("name") == "default"), None)
    return source if isinstance(source, str) else ""


class MessageParser:
    """A whole message: the thinking section, then content and tool calls.

    Args:
        form: the format of its tool calls; None when no tools were offered, and all is content.
        tools: the tools offered.
        thinking: the marks of its thinking section; None for a model that does not think.
        inside: the prompt ends inside the section.
    """

    def __init__(
        self,
        form: ToolFormat | None = None,
        tools: Tools | None = None,
        thinking: ThinkingMarks | None = None,
        inside: bool = False,
    ) -> None:
        self._reasoning = ReasoningParser(thinking, inside) if thinking is not None else None
        self._calls = form.parser(tools) if form is not None else None

    def feed(self, text: str) -> list[Event]:
        """The events that became certain."""
        if self._reasoning is None:
            return self._answer([Content(text)] if text else [])
        return self._answer(self._reasoning.feed(text))

    def finish(self) -> list[Event]:
        """No more text comes: the rest of the events."""
        events = self._answer(self._reasoning.finish()) if self._reasoning is not None else []
        return events + (self._calls.finish() if self._calls is not None else [])

    def _answer(self, events: list[Event]) -> list[Event]:
        if self._calls is None:
            return events
        out: list[Event] = []
        for event in events:
            out.extend(self._calls.feed(event.text) if isinstance(event, Content) else [event])
        return out


def render_with_tools(
    tokenizer: Tokenizer,
    messages: Sequence[Mapping[str, Any]],
    tools: Tools,
    form: ToolFormat,
    **variables: Any,
) -> str:
    """The prompt of a chat that offers tools.

    A template that reads `tools` writes the definitions itself. For one that does not, they and an example of a call
    go into the system message, earlier calls into the assistant's text and results into user messages.

    Args:
        tokenizer: of the model; needs a chat template.
        messages: OpenAI messages, among them tool calls and results.
        tools: OpenAI tool definitions.
        form: what `find_format` said.
        variables: what else the template reads.

    Raises:
        UsageError: the template refuses, or a call's arguments are no JSON object.
    """
    if re.search(r"\btools\b", template_of(tokenizer)):
        return tokenizer.render([_for_template(one, form) for one in messages], tools=list(tools), **variables)
    return tokenizer.render(_as_plain_text(messages, tools, form), **variables)


def _for_template(message: Mapping[str, Any], form: ToolFormat) -> dict[str, Any]:
    """Arguments as the templates of that format want them, and no missing content."""
    out = dict(message)
    out["content"] = "" if out.get("content") is None else out["content"]
    if calls := out.get("tool_calls"):
        out["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": _arguments(call, form.arguments_as_text)}}
            for call in calls
        ]
    return out


def _arguments(call: Mapping[str, Any], as_text: bool) -> Any:
    given = call["function"].get("arguments") or "{}"
    if as_text:
        return given if isinstance(given, str) else _json(given)
    if isinstance(given, Mapping):
        return given
    try:
        value = json.loads(given)
    except (ValueError, RecursionError) as failure:
        raise UsageError(f"the arguments of the call of {call['function'].get('name')!r} are no JSON") from failure
    if not isinstance(value, dict):
        raise UsageError(f"the arguments of the call of {call['function'].get('name')!r} are no JSON object")
    return value


def _as_plain_text(messages: Sequence[Mapping[str, Any]], tools: Tools, form: ToolFormat) -> list[dict[str, Any]]:
    definitions = "\n".join(_json(tool.get("function", tool)) for tool in tools)
    example = form.write([("name_of_the_tool", {"key": "value"})])
    offer = (
        "You can call these tools, given as JSON schemas, one a line:\n"
        f"{definitions}\n\nTo call a tool, write exactly this form and then wait for its result:\n{example}"
    )
    out: list[dict[str, Any]] = []
    for message in messages:
        content = message.get("content") or ""
        if message.get("role") == "tool":
            out.append({"role": "user", "content": f"<tool_response>\n{content}\n</tool_response>"})
        elif calls := message.get("tool_calls"):
            written = form.write([(call["function"]["name"], _arguments(call, False)) for call in calls])
            out.append({"role": "assistant", "content": f"{content}\n{written}".lstrip("\n")})
        else:
            out.append({"role": message.get("role"), "content": content})
    if out and out[0]["role"] == "system":
        out[0]["content"] = f"{out[0]['content']}\n\n{offer}"
        return out
    return [{"role": "system", "content": offer}, *out]
