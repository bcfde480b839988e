"""Structured output: which tokens may come next so that the whole is valid.

A `GrammarConstraint` (see `protocol.Constraint`) follows one completion. The grammars are llguidance's (an optional
package, extra `serve`); what is added here is the tokenizer's bytes, the stop tokens, a section before the grammar
applies, limits, a cache and clear errors.

What the constraint promises: when `finished`, or when a stop token was allowed, the text is valid. Beyond the library's
own refusals two things are refused or narrowed so that this holds for JSON schemas: `minProperties` that counts free
keys (a key written twice would count twice), and \\uXXXX escapes (they could spell a half character, or
another key's name); every other character can be written as it is.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whetstone.engine.preamble import Preamble
from whetstone.engine.vocabulary import TokenizerGrammars, grammars_of, library_module
from whetstone.errors import UsageError, WorkFailed
from whetstone.models.tokenizer import Tokenizer

if TYPE_CHECKING:
    import llguidance

LARGEST_SOURCE = 1 << 18  # characters of a schema or grammar
DEEPEST_SCHEMA = 64  # objects and lists inside each other
MOST_CHOICES = 10_000
COMPILE_SECONDS = 10.0
CACHED = 256  # compiled grammars kept per tokenizer
# Any more blanks in a row are refused: a model that has nothing to say writes blanks until it is stopped.
_JSON_OPTIONS = {
    "whitespace_pattern": r"[\x20\x0A\x0D\x09]{1,32}",
    "json_allowed_escapes": 'nrbtf\\"',
    "lenient": False,
    "coerce_one_of": False,
}


class GrammarConstraint:
    """A grammar's matcher, and the section before it where there is one."""

    def __init__(
        self, matcher: llguidance.LLMatcher, stop_ids: frozenset[int], width: int, preamble: Preamble | None
    ) -> None:
        self._matcher = matcher
        self._stop_ids = stop_ids
        self._width = width
        self._preamble = preamble
        self._stopped = False

    def mask(self) -> NDArray[np.bool_]:
        """See `Constraint`; a new array each time."""
        if self._preamble is not None and not self._preamble.over:
            return self._widened(self._preamble.mask())
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        if self._matcher.is_error():
            raise WorkFailed(f"the output's grammar cannot be followed further: {_first_line(self._matcher)}")
        mask_V = np.unpackbits(bits, bitorder="little").view(np.bool_)
        if self._preamble is not None and self._preamble.gap_open:
            mask_V[: len(self._preamble.blank_V)] |= self._preamble.blank_V
        if not mask_V.any():
            raise WorkFailed("the output's grammar has come to a point where no token of this model fits")
        return self._widened(mask_V)

    def _widened(self, mask_V: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The model may have more logits than there are tokens; the rest is never allowed."""
        wide_V = np.zeros(self._width, np.bool_)
        count = min(self._width, len(mask_V))
        wide_V[:count] = mask_V[:count]
        return wide_V

    def accept(self, token: int) -> None:
        """See `Constraint`."""
        if self._preamble is not None and not self._preamble.over:
            self._preamble.accept(token)
            return
        if self._stopped:
            raise WorkFailed(f"token {token} after the end of a structured output")
        if token in self._stop_ids:
            if not self._matcher.is_accepting():
                raise WorkFailed("a structured output was stopped before it was complete")
            self._stopped = True
            return
        if self._preamble is not None and self._preamble.gap_open:
            if self._preamble.is_blank(token) and not self._matcher.validate_tokens([token]):
                self._preamble.accept_blank()
                return
            self._preamble.close_gap()
        if not self._matcher.consume_token(token):
            raise WorkFailed(f"token {token} does not fit the output's grammar: {_first_line(self._matcher)}")

    @property
    def finished(self) -> bool:
        """See `Constraint`."""
        return self._stopped or ((self._preamble is None or self._preamble.over) and self._matcher.is_stopped())

    def fork(self) -> GrammarConstraint:
        """See `Constraint`."""
        preamble = None if self._preamble is None else self._preamble.fork()
        copy = GrammarConstraint(self._matcher.deep_copy(), self._stop_ids, self._width, preamble)
        copy._stopped = self._stopped
        return copy


def _first_line(matcher: llguidance.LLMatcher) -> str:
    return str(matcher.get_error()).strip().split("\n")[0][:300]


def compile_json_schema(
    tokenizer: Tokenizer, schema: Mapping[str, Any] | bool, after: str | None = None, width: int | None = None
) -> GrammarConstraint:
    """A constraint to JSON that a schema (draft 2020-12) accepts; properties come in the schema's order.

    Args:
        tokenizer: of the model.
        schema: as parsed JSON.
        after: the constraint begins behind this text, such as "</think>", before which anything may be written.
        width: number of logits, where the model has more than its tokenizer has tokens.

    Raises:
        UsageError: a schema that is malformed, too large or not supported; the message names the keyword.
    """
    if not isinstance(schema, Mapping | bool):
        raise UsageError("a JSON schema is an object or a boolean")
    if schema is False:
        raise UsageError("the JSON schema is false: nothing satisfies it")
    try:
        source = json.dumps({} if schema is True else schema, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as failure:
        raise UsageError(f"the JSON schema cannot be written as JSON: {failure}") from failure
    _check_size(source, "JSON schema")
    _check_schema(schema)

    def grammar() -> str:
        text: str = library_module().LLMatcher.grammar_from_json_schema(source, overrides=_JSON_OPTIONS)
        return text

    return _compile(tokenizer, "JSON schema", source, grammar, after, width)


def compile_json_object(tokenizer: Tokenizer, after: str | None = None, width: int | None = None) -> GrammarConstraint:
    """A constraint to any JSON object; arguments as for `compile_json_schema`."""
    return compile_json_schema(tokenizer, {"type": "object"}, after, width)


def compile_regex(
    tokenizer: Tokenizer, pattern: str, after: str | None = None, width: int | None = None
) -> GrammarConstraint:
    """A constraint to text that the whole of `pattern` matches (Rust's syntax: no look-around, no back-references).

    Raises:
        UsageError: a pattern that is malformed or not supported.
    """
    _check_size(pattern, "regular expression")

    def grammar() -> str:
        text: str = library_module().LLMatcher.grammar_from_regex(pattern)
        return text

    return _compile(tokenizer, "regular expression", pattern, grammar, after, width)


def compile_choice(
    tokenizer: Tokenizer, choices: Sequence[str], after: str | None = None, width: int | None = None
) -> GrammarConstraint:
    """A constraint to one of the strings.

    Raises:
        UsageError: no choices, or too many.
    """
    if not 0 < len(choices) <= MOST_CHOICES or not all(isinstance(choice, str) for choice in choices):
        raise UsageError(f"give 1 to {MOST_CHOICES} strings to choose from")
    pattern = "|".join(re.sub(r"[\\.+*?()|\[\]{}^$#&~\-]", r"\\\g<0>", choice) for choice in choices)
    return compile_regex(tokenizer, f"({pattern})", after, width)


def compile_grammar(
    tokenizer: Tokenizer, grammar: str, after: str | None = None, width: int | None = None
) -> GrammarConstraint:
    """A constraint to a context-free grammar: Lark as llguidance reads it (`start: ...`), or GBNF (`root ::= ...`).

    Raises:
        UsageError: a grammar that is malformed.
    """
    _check_size(grammar, "grammar")

    def lark() -> str:
        library = library_module()
        text = grammar
        if "::=" in grammar:
            from llguidance.gbnf_to_lark import gbnf_to_lark

            try:
                text = gbnf_to_lark(grammar)
            except Exception as failure:  # the converter raises its own class and, on some input, others
                raise UsageError(f"the grammar is malformed: {failure}") from failure
        made: str = library.LLMatcher.grammar_from_lark(text)
        return made

    return _compile(tokenizer, "grammar", grammar, lark, after, width)


def _compile(
    tokenizer: Tokenizer, kind: str, source: str, grammar: Callable[[], str], after: str | None, width: int | None
) -> GrammarConstraint:
    """From the cache, or compiled within COMPILE_SECONDS."""
    grammars = grammars_of(tokenizer)
    key = (kind, source)
    with grammars.lock:
        if (matcher := grammars.compiled.get(key)) is not None:
            grammars.compiled.move_to_end(key)
    if matcher is None:
        _check_writable(grammars, kind, source)
        matcher = _within_seconds(kind, lambda: _matcher(grammars, kind, grammar()))
        with grammars.lock:
            grammars.compiled[key] = matcher
            while len(grammars.compiled) > CACHED:
                grammars.compiled.popitem(last=False)
    preamble = None if after is None else Preamble(grammars.preamble_masks(after))
    width = len(grammars.bytes) if width is None else width
    with grammars.lock:  # the library copies without a lock of its own
        copy = matcher.deep_copy()
    return GrammarConstraint(copy, grammars.stop_ids, width, preamble)


def _matcher(grammars: TokenizerGrammars, kind: str, grammar: str) -> llguidance.LLMatcher:
    library = library_module()
    limits = library.LLParserLimits(verbose_errors=False)  # an error message must not show the parser's state
    matcher: llguidance.LLMatcher = library.LLMatcher(grammars.core, grammar, log_level=0, limits=limits)
    if matcher.is_error():
        raise UsageError(_refusal(kind, str(matcher.get_error())))
    # The first mask builds most of the automaton; done here, every copy has it.
    bits = matcher.compute_bitmask()
    if matcher.is_error() and "NoExtension" not in str(matcher.get_error()):
        raise UsageError(_refusal(kind, str(matcher.get_error())))
    if matcher.is_error() or not any(bits):
        raise UsageError(f"nothing that this model can write satisfies the {kind}")
    return matcher


def _refusal(kind: str, message: str) -> str:
    """The library's message in one line; it names the keyword, and for a grammar the place."""
    if found := re.search(r"Unimplemented keys: (\[.*?\])", message):
        return (
            f"the {kind} uses {', '.join(json.loads(found[1]))}, which structured output does not support: leave it out"
        )
    lines = [line.strip() for line in message.split("\n") if line.strip()]
    return f"the {kind} is not supported or malformed: {' '.join(lines)[:300]}"


def _within_seconds(kind: str, work: Callable[[], llguidance.LLMatcher]) -> llguidance.LLMatcher:
    """The result of `work`, which is left behind when it takes too long (the library has limits of its own)."""
    done: list[llguidance.LLMatcher] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as failure:  # the library may panic, which is no Exception
            failed.append(failure)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(COMPILE_SECONDS)
    if failed:
        if isinstance(failed[0], UsageError):
            raise failed[0]
        raise UsageError(f"the {kind} is not supported or malformed: {str(failed[0])[:300]}") from failed[0]
    if not done:
        raise UsageError(f"the {kind} takes more than {COMPILE_SECONDS:g} s to prepare: make it simpler")
    return done[0]


def _check_writable(grammars: TokenizerGrammars, kind: str, source: str) -> None:
    """Refuses characters that the tokenizer has no tokens for: where one must come, nothing could."""
    for char in sorted({char for char in source if char > "\x7f"}):
        if not grammars.vocabulary.writes(char):
            raise UsageError(f"the {kind} has the character {char!r}, which this model's tokenizer cannot write")


def _check_size(source: str, kind: str) -> None:
    if len(source) > LARGEST_SOURCE:
        raise UsageError(f"the {kind} has {len(source)} characters, more than {LARGEST_SOURCE}: make it smaller")


def _check_schema(schema: Any) -> None:
    """Refuses what is too deep, and what the library would take although its output could then be invalid."""
    waiting: list[tuple[Any, int]] = [(schema, 0)]
    while waiting:
        part, depth = waiting.pop()
        if depth > DEEPEST_SCHEMA:
            raise UsageError(f"the JSON schema is more than {DEEPEST_SCHEMA} levels deep: make it flatter")
        if isinstance(part, Mapping):
            if "x-guidance" in part:
                raise UsageError("the JSON schema uses x-guidance, which is not supported: leave it out")
            least, required = part.get("minProperties"), part.get("required")
            named = len(required) if isinstance(required, list) else 0
            if isinstance(least, int) and least > max(1, named):
                raise UsageError(
                    f"the JSON schema asks for minProperties {least}, but requires only {named} by name, "
                    "which structured output does not support: name them in `required`"
                )
            waiting.extend((value, depth + 1) for value in part.values())
        elif isinstance(part, list):
            waiting.extend((value, depth + 1) for value in part)
