"""Text to token ids and back, and chat messages to the prompt a model was trained on.

A `Tokenizer` is what a Hugging Face folder describes in tokenizer.json (the algorithm), tokenizer_config.json
(special tokens, chat template) and generation_config.json (which ids end an answer). The byte-level part is
done by the `tokenizers` library; the chat template is a program that came with the weights, so it runs in
jinja2's sandbox.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox
import tokenizers

from whetstone.errors import UsageError
from whetstone.models.files import read_json, write_json

SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")


class Tokenizer:
    """A tokenizer with its special ids and its chat template.

    Args:
        core: the `tokenizers` object (algorithm, vocabulary, added tokens).
        config: contents of tokenizer_config.json, the chat template under "chat_template".
        generation: contents of generation_config.json ({} when there is none).

    Attributes:
        today: what a template that asks for the date is told; None (the default): the clock. A run that must render
            the same prompts on another day sets it.
    """

    def __init__(
        self,
        core: tokenizers.Tokenizer,
        config: Mapping[str, Any],
        generation: Mapping[str, Any] | None = None,
    ) -> None:
        # Some published tokenizer.json files cut at 512 tokens or pad: ids must say what the text says,
        # whole.
        core.no_truncation()
        core.no_padding()
        self.core = core
        self.config = dict(config)
        self.generation = dict(generation or {})
        self.today: datetime.datetime | None = None
        self.special_tokens: dict[str, str] = {
            name: text for name in SPECIAL_NAMES if (text := _token_text(self.config.get(name))) is not None
        }

    @property
    def vocab_size(self) -> int:
        """Number of ids known, added tokens included (a model's embedding may be padded beyond it)."""
        return int(self.core.get_vocab_size(with_added_tokens=True))

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Ids that end an answer: generation_config's eos_token_id, and the tokenizer's own eos token."""
        listed = self.generation.get("eos_token_id")
        ids = set(listed if isinstance(listed, list) else [] if listed is None else [listed])
        own = self.token_id("eos_token")
        return frozenset(ids if own is None else ids | {own})

    @property
    def pad_id(self) -> int:
        """The id that fills unused places of a batch: pad, else eos, else 0 (it is masked everywhere)."""
        for name in ("pad_token", "eos_token"):
            if (found := self.token_id(name)) is not None:
                return found
        return 0

    def token_id(self, name: str) -> int | None:
        """Id of a special token by its role, such as "bos_token"; None where the model has none."""
        text = self.special_tokens.get(name)
        return None if text is None else self.core.token_to_id(text)

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; nothing is added in front or behind (a chat template writes its own marks)."""
        return list(self.core.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Iterable[int], keep_special: bool = False) -> str:
        """Text of `ids`; special tokens such as the end mark are left out unless `keep_special`."""
        return str(self.core.decode(list(ids), skip_special_tokens=not keep_special))

    def render(
        self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool = True, **variables: Any
    ) -> str:
        """The prompt text of a chat.

        Args:
            messages: OpenAI messages ({"role", "content"}).
            add_generation_prompt: end with the opening of the assistant's turn.
            variables: what else the template reads, such as tools=[...] or enable_thinking=False.

        Raises:
            UsageError: no chat template, or the template refuses these messages.
        """
        try:
            return self._template.render(
                messages=[dict(message) for message in messages],
                tools=variables.pop("tools", None),
                documents=variables.pop("documents", None),
                add_generation_prompt=add_generation_prompt,
                **{**self.special_tokens, **variables},
            )
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, ArithmeticError) as failure:
            raise UsageError(f"the model's chat template refuses these messages: {failure}") from failure

    def chat_ids(
        self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool = True, **variables: Any
    ) -> list[int]:
        """Ids of the prompt of a chat: `render`, then `encode`."""
        return self.encode(self.render(messages, add_generation_prompt, **variables))

    @cached_property
    def _template(self) -> jinja2.Template:
        source = self.config.get("chat_template")
        if isinstance(source, list):  # several named templates: the plain one is called "default"
            source = {entry["name"]: entry["template"] for entry in source}.get("default")
        if not isinstance(source, str):
            raise UsageError(
                "this model has no chat template: take an instruction-tuned model, or put a "
                "chat_template.jinja into its folder"
            )
        try:
            return _environment(lambda: self.today or datetime.datetime.now()).from_string(source)
        except jinja2.TemplateError as failure:
            raise UsageError(f"the model's chat template is not valid jinja: {failure}") from failure

    @classmethod
    def load(cls, folder: str | Path) -> Tokenizer:
        """Read the tokenizer of a Hugging Face folder.

        Raises:
            UsageError: no tokenizer.json, or a file that does not parse.
        """
        folder = Path(folder)
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise UsageError(
                f"{folder} has no tokenizer.json: save the tokenizer in its fast form "
                "(AutoTokenizer.from_pretrained(...).save_pretrained(folder))"
            )
        try:
            core = tokenizers.Tokenizer.from_file(str(path))
        except Exception as failure:  # the library raises bare Exception for anything it cannot parse
            raise UsageError(f"{path} cannot be read ({failure}): fetch the file again") from failure
        config = read_json(folder / "tokenizer_config.json", missing={})
        template = folder / "chat_template.jinja"
        if template.is_file():  # newer transformers keep the template in a file of its own, and it wins
            config["chat_template"] = template.read_text(encoding="utf-8")
        generation = read_json(folder / "generation_config.json", missing={})
        if "eos_token_id" not in generation:
            declared = read_json(folder / "config.json", missing={}).get("eos_token_id")
            if declared is not None:
                generation["eos_token_id"] = declared
        return cls(core, config, generation)

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json, tokenizer_config.json (with the chat template) and generation_config.json."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # the library's own save() hides a full disk in an exception without a number
        (folder / "tokenizer.json").write_text(self.core.to_str(pretty=False), encoding="utf-8")
        write_json(folder / "tokenizer_config.json", self.config)
        if self.generation:
            write_json(folder / "generation_config.json", self.generation)


def _token_text(entry: object) -> str | None:
    """A special token is written as text, or as {"content": text, ...}."""
    if isinstance(entry, Mapping):
        entry = entry.get("content")
    return entry if isinstance(entry, str) else None


class _GenerationTag(jinja2.ext.Extension):
    """Lets `{% generation %}...{% endgeneration %}` through: it only marks the assistant's text."""

    tags = {"generation"}  # noqa: RUF012 (jinja declares it so)

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node | list[jinja2.nodes.Node]:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=line)


def _environment(now: Callable[[], datetime.datetime]) -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    """The names and filters that chat templates rely on, as transformers offers them."""

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    def strftime_now(form: str) -> str:
        return now().strftime(form)

    def tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
        # Not jinja's own filter: that one escapes <, > and & for web pages.
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = strftime_now
    return environment
