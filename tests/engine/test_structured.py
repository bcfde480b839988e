"""Structured output: a model that draws at random from the mask writes only what is valid."""

from __future__ import annotations

import gc
import json
import random
import re
import sys
import threading
import weakref
from collections.abc import Callable
from functools import cache
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken

from tests.engine.text.test_detokenize import word_level
from tests.models.test_tokenizer import core
from tests.tiny import tiny_tokenizer
from whetstone.engine import structured
from whetstone.engine.structured import (
    GrammarConstraint,
    compile_choice,
    compile_grammar,
    compile_json_object,
    compile_json_schema,
    compile_regex,
)
from whetstone.errors import UsageError, WorkFailed
from whetstone.models.hub import resolve
from whetstone.models.tokenizer import Tokenizer

THINK = "</think>"


@cache
def small() -> Tokenizer:
    """400 byte-level tokens, among them a plain added one."""
    made = core()
    made.add_tokens([AddedToken(THINK, special=False), AddedToken("<tool_call>", special=False)])
    return Tokenizer(made, {"eos_token": "<|im_end|>", "pad_token": "<pad>"})


@cache
def real() -> Tokenizer:
    return Tokenizer.load(resolve("smollm2-135m"))


@cache
def short_texts(tokenizer: Tokenizer) -> dict[int, str]:
    """The tokens of few characters, from which one that closes is picked."""
    texts = {one: tokenizer.decode([one]) for one in range(tokenizer.vocab_size)}
    return {one: text for one, text in texts.items() if 0 < len(text) <= 5}


def closing(text: str, allowed: dict[str, int]) -> str | None:
    """Of the allowed tokens one that brings JSON nearer to its end, given the text so far."""
    in_string = len(re.sub(r"\\.", "", text).split('"')) % 2 == 0
    digits = [str((len(text) + place) % 10) for place in range(10)]  # changing: some numbers may not end in 0
    order = ['"', "ab", "b", "a"] if in_string else ["}", "]", ",", "null", "n", "true", *digits, '"', ":"]
    return next((token for token in order if token in allowed), None)


def draw(
    constraint: GrammarConstraint,
    tokenizer: Tokenizer,
    generator: random.Random,
    patience: int = 60,
    close: Callable[[str, dict[str, int]], str | None] = closing,
) -> str:
    """What a model writes that knows nothing: every allowed token is as likely; when it is long, it closes."""
    ids: list[int] = []
    for step in range(1000):
        allowed = constraint.mask().nonzero()[0].tolist()
        assert allowed
        token = generator.choice(allowed)
        if step > patience:
            texts = short_texts(tokenizer)
            names = {texts[one]: one for one in allowed if one in texts}
            token = names.get(close(tokenizer.decode(ids), names) or "", token)
            token = next((one for one in allowed if one in tokenizer.stop_ids), token)
        constraint.accept(token)
        if token in tokenizer.stop_ids:
            assert constraint.finished
            return tokenizer.decode(ids)
        ids.append(token)
    raise AssertionError(f"no end: {tokenizer.decode(ids)[:300]}")


def obj(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An object with all its properties required and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }


INTEGER, STRING = {"type": "integer"}, {"type": "string"}
TREE = {
    "$ref": "#/$defs/tree",
    "$defs": {"tree": obj({"v": INTEGER, "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}})},
}
LINKED = {"anyOf": [{"type": "null"}, obj({"next": {"$ref": "#"}})]}
EXPRESSION = {
    "$ref": "#/$defs/e",
    "$defs": {
        "e": {
            "anyOf": [
                {"type": "number"},
                obj({"op": {"enum": ["+", "*"]}, "args": {"type": "array", "items": {"$ref": "#/$defs/e"}}}),
            ]
        }
    },
}
SCHEMAS: dict[str, Any] = {
    "anything": {},
    "true": True,
    "null": {"type": "null"},
    "boolean": {"type": "boolean"},
    "string": STRING,
    "length": {"type": "string", "minLength": 3, "maxLength": 5},
    "pattern": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"},
    "pattern-inside": {"type": "string", "pattern": "ab"},
    "pattern-escapes": {"type": "string", "pattern": '^"\\\\[a-z]?\\t$'},
    "uuid": {"type": "string", "format": "uuid"},
    "integer": INTEGER,
    "range": {"type": "integer", "minimum": -7, "maximum": 130},
    "multiple": {"type": "integer", "multipleOf": 7, "minimum": 0},
    "exclusive": {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 6},
    "number": {"type": "number"},
    "number-range": {"type": "number", "minimum": -1.5, "exclusiveMaximum": 0.25},
    "types": {"type": ["string", "null", "integer"]},
    "enum": {"enum": ["red", "green", 7, None, 2.5, [1, {"a": "b"}]]},
    "enum-typed": {"type": "string", "enum": ["a", 'quote"', "line\nend", "é😀"]},
    "const": {"const": {"kind": "x", "n": [1, 2]}},
    "array": {"type": "array", "items": INTEGER},
    "array-sizes": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 4},
    "tuple": {"type": "array", "prefixItems": [STRING, INTEGER], "items": False, "minItems": 2},
    "nested-arrays": {
        "type": "array",
        "items": {"type": "array", "items": {"type": "array", "items": {"type": "null"}}},
    },
    "object": obj({"name": STRING, "age": {"type": "integer", "minimum": 0}}),
    "optional": {"type": "object", "properties": {"a": INTEGER, "b": STRING}, "additionalProperties": False},
    "required-later": {"type": "object", "properties": {"a": INTEGER, "b": STRING}, "required": ["b"]},
    "free-typed": {"type": "object", "properties": {"a": INTEGER}, "additionalProperties": STRING},
    "map": {"type": "object", "additionalProperties": {"type": "array", "items": INTEGER}},
    "pattern-keys": {"type": "object", "patternProperties": {"^x_": INTEGER}, "additionalProperties": False},
    "at-least-one": {"type": "object", "additionalProperties": INTEGER, "minProperties": 1},
    "at-most-two": {"type": "object", "additionalProperties": INTEGER, "maxProperties": 2},
    "awkward-keys": obj({'a"b': INTEGER, "c\nd": STRING, "é 😀": {"type": "null"}}),
    "nested": obj(
        {"user": obj({"id": INTEGER, "tags": {"type": "array", "items": STRING}}), "on": {"type": "boolean"}}
    ),
    "any-of": {"anyOf": [obj({"a": INTEGER}), obj({"b": STRING}), {"type": "array", "items": STRING}]},
    "one-of": {"oneOf": [obj({"kind": {"const": "a"}, "x": INTEGER}), obj({"kind": {"const": "b"}, "y": STRING})]},
    "all-of": {
        "allOf": [{"type": "object", "properties": {"a": INTEGER}, "required": ["a"]}, {"properties": {"b": STRING}}]
    },
    "refs": {**obj({"from": {"$ref": "#/$defs/p"}, "to": {"$ref": "#/$defs/p"}}), "$defs": {"p": obj({"x": INTEGER})}},
    "tree": TREE,
    "linked": LINKED,
    "expression": EXPRESSION,
    "nullable": obj({"a": {"anyOf": [STRING, {"type": "null"}]}, "b": {"type": ["integer", "null"]}}),
    "no-type": {"minimum": 5, "minLength": 2},
    "annotated": obj({"a": {**INTEGER, "title": "A", "description": "d", "default": 3, "examples": [1]}}, title="T"),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_random_output_is_valid(name: str) -> None:
    check(name, small(), 15)


@pytest.mark.real
@pytest.mark.parametrize("name", SCHEMAS)
def test_random_output_of_the_real_vocabulary_is_valid(name: str) -> None:
    check(name, real(), 5)


def check(name: str, tokenizer: Tokenizer, times: int) -> None:
    schema = SCHEMAS[name]
    validator = jsonschema.Draft202012Validator(schema)
    fresh = compile_json_schema(tokenizer, schema)
    for seed in range(times):
        text = draw(fresh.fork(), tokenizer, random.Random(f"{name} {seed}"))
        problems = [error.message for error in validator.iter_errors(json.loads(text))]
        assert not problems, (text, problems)


VALID = [
    ("anything", [{"a": [1, None, "é"]}, -1.5e-7, "x"]),
    ("string", ["", 'naïve 😀 \n\t"\\/', "<tool_call>", "</think>"]),
    ("tree", [{"v": 1, "kids": [{"v": -20, "kids": []}, {"v": 3, "kids": [{"v": 4, "kids": []}]}]}]),
    ("enum", ["red", 7, None, 2.5, [1, {"a": "b"}]]),
    ("enum-typed", ['quote"', "line\nend", "é😀"]),
    ("awkward-keys", [{'a"b': 1, "c\nd": "x", "é 😀": None}]),
    ("required-later", [{"a": 1, "b": "x", "z": [{}]}, {"b": ""}]),
    ("one-of", [{"kind": "a", "x": 1}, {"kind": "b", "y": "z"}]),
]


@pytest.mark.parametrize("name, values", VALID)
@pytest.mark.parametrize("indent", [None, 2])
def test_valid_output_is_allowed(name: str, values: list[Any], indent: int | None) -> None:
    tokenizer = small()
    for value in values:
        constraint = compile_json_schema(tokenizer, SCHEMAS[name])
        follow(constraint, tokenizer, json.dumps(value, ensure_ascii=False, indent=indent))


def follow(constraint: GrammarConstraint, tokenizer: Tokenizer, text: str) -> None:
    """The constraint allows `text` and then the end."""
    for token in [*tokenizer.encode(text), min(tokenizer.stop_ids)]:
        assert constraint.mask()[token], (text, tokenizer.decode([token], keep_special=True))
        constraint.accept(token)
    assert constraint.finished


def test_any_object() -> None:
    for seed in range(10):
        assert isinstance(json.loads(draw(compile_json_object(small()), small(), random.Random(seed))), dict)


# What brings a text nearer to the pattern's end. (No \\d and \\w: Python and Rust know different versions of Unicode.)
PATTERNS = {
    r"[0-9]{3}-[a-z]*": "0-",
    r"(yes|no|may ?be)": "",
    r"[^a]*a": "a",
    r"(ab|c)+d?": "bc",
    r"[0-9]+\.[0-9]{2}": ".0",
    r"[a-z_]+@[a-z]+\.(com|org)": "@.com",
    r"x{2,5}": "x",
    r"(?i:Abc)": "",
    r"é+[àÿ]?": "",
    r"": "",
    r"a\.\*\\": "",
    r"^[ \t]*[^\s\x1c-\x1f]+$": "x",
    r"[\s\S]{0,9}[^x]": "a",
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_random_output_matches_the_regex(pattern: str) -> None:
    def close(text: str, allowed: dict[str, int]) -> str | None:
        return next((token for token in PATTERNS[pattern] if token in allowed), None)

    for seed in range(20):
        text = draw(compile_regex(small(), pattern), small(), random.Random(seed), 40, close)
        assert re.fullmatch(pattern, text), text


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_what_the_regex_matches_is_allowed(pattern: str, data: st.DataObject) -> None:
    text = data.draw(st.from_regex(pattern, fullmatch=True))
    constraint = compile_regex(small(), pattern)
    for token in [*small().encode(text), min(small().stop_ids)]:
        constraint.accept(token)  # the mask may leave only the usual token where the text is certain
    assert constraint.finished


AWKWARD = ["yes", "no", "a.b*", "[x]", "", "line\nend", 'q"\\', "é😀", "#&~-", "<b>", "a b", "^$", "yes please", "{1}"]


def test_a_choice_is_one_of_the_strings() -> None:
    drawn = {draw(compile_choice(small(), AWKWARD), small(), random.Random(seed)) for seed in range(200)}
    assert drawn <= set(AWKWARD) and len(drawn) > 8
    for choice in AWKWARD:
        follow(compile_choice(small(), AWKWARD), small(), choice)


LARK = """
start: sum
sum: product ("+" product)*
product: factor ("*" factor)*
factor: NUMBER | "(" sum ")"
NUMBER: /[1-9][0-9]{0,3}/
"""
GBNF = 'root ::= product ("+" product)*\nproduct ::= factor ("*" factor)*\nfactor ::= [1-9] [0-9]? | "(" root ")"\n'


@pytest.mark.parametrize("grammar", [LARK, GBNF])
def test_random_output_follows_the_grammar(grammar: str) -> None:
    def close(text: str, allowed: dict[str, int]) -> str | None:
        return next((token for token in (")", "1") if token in allowed), None)

    for seed in range(20):
        text = draw(compile_grammar(small(), grammar), small(), random.Random(seed), 30, close)
        assert re.fullmatch(r"[0-9+*()]+", text)
        compile(text, "sum", "eval")  # is it an expression? (compiled, not run)


def test_the_stop_token_comes_only_at_the_end() -> None:
    tokenizer = small()
    stop = min(tokenizer.stop_ids)
    constraint = compile_json_schema(tokenizer, INTEGER)
    assert not constraint.mask()[stop] and not constraint.finished
    constraint.accept(tokenizer.encode("4")[0])
    assert constraint.mask()[stop] and not constraint.finished
    constraint.accept(stop)
    assert constraint.finished
    with pytest.raises(WorkFailed, match="after the end"):
        constraint.accept(stop)
    whole = compile_json_schema(tokenizer, {"const": [1]})
    for token in tokenizer.encode("[1]"):
        whole.accept(token)
    assert whole.finished and set(whole.mask().nonzero()[0]) == set(tokenizer.stop_ids)


def test_all_stop_tokens_of_a_model_count() -> None:
    tokenizer = Tokenizer(core(), {"eos_token": "<|im_end|>"}, {"eos_token_id": [1, 2]})
    assert tokenizer.stop_ids == {1, 2}
    constraint = compile_choice(tokenizer, ["a"])
    assert not constraint.mask()[[1, 2]].any()
    constraint.accept(tokenizer.encode("a")[0])
    assert constraint.mask().nonzero()[0].tolist() == [1, 2]


def test_special_tokens_are_never_part_of_the_output_and_padding_neither() -> None:
    tokenizer = small()
    constraint = compile_json_schema(tokenizer, STRING, width=tokenizer.vocab_size + 77)
    constraint.accept(tokenizer.encode('"')[0])
    mask_V = constraint.mask()
    assert mask_V.shape == (tokenizer.vocab_size + 77,) and not mask_V[tokenizer.vocab_size :].any()
    assert not mask_V[[tokenizer.core.token_to_id(name) for name in ("<|im_start|>", "<|im_end|>", "<pad>")]].any()
    assert mask_V[tokenizer.core.token_to_id("<tool_call>")]  # a plain added token is text
    assert compile_json_schema(tokenizer, STRING, width=100).mask().shape == (100,)


def test_a_token_that_does_not_fit_is_refused() -> None:
    tokenizer = small()
    constraint = compile_json_schema(tokenizer, INTEGER)
    with pytest.raises(WorkFailed, match="does not fit"):
        constraint.accept(tokenizer.encode("x")[0])
    with pytest.raises(WorkFailed, match="before it was complete"):
        compile_json_schema(tokenizer, INTEGER).accept(min(tokenizer.stop_ids))


def test_a_fork_goes_its_own_way() -> None:
    tokenizer = small()
    constraint = compile_json_schema(tokenizer, obj({"a": INTEGER}), after=THINK)
    for token in tokenizer.encode('so</think>\n\n{"a": 1'):
        constraint.accept(token)
    other = constraint.fork()
    before = constraint.mask()
    for token in tokenizer.encode("23}"):
        other.accept(token)
    assert other.finished and not constraint.finished
    assert (constraint.mask() == before).all()
    constraint.accept(tokenizer.encode("}")[0])
    assert constraint.finished


@pytest.mark.parametrize("added", [True, False])
@pytest.mark.parametrize("gap", ["", "\n", "\n\n"])
def test_free_text_comes_before_the_mark(added: bool, gap: str) -> None:
    """The mark as one token, and spelt out of several."""
    tokenizer = small() if added else Tokenizer(core(), {"eos_token": "<|im_end|>"})
    assert (THINK in tokenizer.core.get_vocab()) == added
    constraint = compile_json_schema(tokenizer, obj({"a": INTEGER}), after=THINK)
    assert not constraint.mask()[min(tokenizer.stop_ids)]
    follow(constraint, tokenizer, f'Let me {{"a": "</thi </</think>{gap}{{"a": 5}}')


@pytest.mark.real
def test_free_text_before_the_mark_with_tokens_that_straddle_it() -> None:
    """Tokens such as `>(` would put the first character of the output outside the grammar."""
    tokenizer = real()
    generator = random.Random(0)
    for seed in range(8):
        constraint = compile_json_schema(tokenizer, SCHEMAS["object"], after=THINK)
        ids = tokenizer.encode("Hmm. </think")
        for token in ids:
            assert constraint.mask()[token]
            constraint.accept(token)
        first = tokenizer.core.token_to_id(">")
        names = tokenizer.core.get_vocab()
        straddling = [names[name] for name in names if name.startswith(">") and name.strip(">")[:1] in tuple("(<,;=")]
        straddling = [one for one in straddling if tokenizer.decode([one])[1:].strip()]
        assert len(straddling) > 3
        assert constraint.mask()[first] and not constraint.mask()[straddling].any()
        if seed % 2:
            constraint.accept(first)
        else:  # whatever is allowed may come, until the mark happens to be complete
            token = generator.choice(constraint.mask().nonzero()[0].tolist())
            constraint.accept(token)
            if tokenizer.decode([token]).startswith(">"):
                continue
            for again in tokenizer.encode(" </think>"):
                constraint.accept(again)
        text = draw(constraint, tokenizer, random.Random(seed))
        assert not list(jsonschema.Draft202012Validator(SCHEMAS["object"]).iter_errors(json.loads(text)))


def test_line_ends_behind_the_mark_are_few() -> None:
    tokenizer = small()
    constraint = compile_choice(tokenizer, ["x"], after=THINK)
    line = tokenizer.encode("\n")[0]
    for token in tokenizer.encode(f"{THINK}"):
        constraint.accept(token)
    for _ in range(2):
        assert constraint.mask()[line]
        constraint.accept(line)
    assert constraint.mask().nonzero()[0].tolist() == tokenizer.encode("x")


REFUSED = [
    ({"not": STRING}, "uses not"),
    ({"type": "array", "uniqueItems": True}, "uses uniqueItems"),
    (obj({"a": {"if": {}, "then": {}}}), "uses if, then"),
    ({"type": "strin"}, "strin"),
    ({"properties": {"a": 5}}, "object or boolean"),
    ({"$ref": "http://example.org/s"}, "example.org"),
    ({"$ref": "#/$defs/none"}, "/\\$defs/none"),
    ({"type": "string", "format": "colour"}, "colour"),
    ({"type": "string", "pattern": "(?=a)b"}, "look-around"),
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
    ({"type": "object", "minProperties": 2}, "minProperties"),
    ({"x-guidance": {"lenient": True}}, "x-guidance"),
    ({"type": "string", "minLength": 5, "maxLength": 3}, "minLength"),
    ({"enum": []}, "Unsatisfiable"),
    (False, "nothing satisfies it"),
    (7, "object or a boolean"),
    ({"const": {1, 2}}, "written as JSON"),
    ({"enum": ["x" * 300_000]}, "characters"),
    ({"const": "\x01"}, "nothing that this model can write"),
]


@pytest.mark.parametrize("schema, message", REFUSED)
def test_a_schema_that_is_not_supported_says_why(schema: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        compile_json_schema(small(), schema)


def test_depth_is_limited() -> None:
    def nested(depth: int) -> dict[str, Any]:
        return {"type": "array", "items": nested(depth - 1)} if depth else {"type": "null"}

    compile_json_schema(small(), nested(60))
    for depth in (70, 500):
        with pytest.raises(UsageError, match="levels deep"):
            compile_json_schema(small(), nested(depth))
    endless: dict[str, Any] = {}
    endless["items"] = endless
    with pytest.raises(UsageError, match="written as JSON"):
        compile_json_schema(small(), endless)


@pytest.mark.parametrize(
    "compiled", [compile_regex, compile_grammar, lambda *given: compile_choice(given[0], [given[1]])]
)
def test_a_character_that_the_model_cannot_write_is_refused(compiled: Callable[[Tokenizer, str], object]) -> None:
    with pytest.raises(UsageError, match="'😀', which this model's tokenizer cannot write"):
        compiled(word_level("fuse"), 'start: "😀é"')
    with pytest.raises(UsageError, match="cannot write"):
        compiled(small(), "\ud800")


@pytest.mark.parametrize("pattern", ["(", "(?=a)b", r"(a)\1", "[z-a]"])
def test_a_regex_that_is_not_supported_says_why(pattern: str) -> None:
    with pytest.raises(UsageError, match="regular expression is not supported or malformed"):
        compile_regex(small(), pattern)


@pytest.mark.parametrize("grammar", ["start: nope", "start: (", "hello", "root ::= (", "root ::= nope", ""])
def test_a_malformed_grammar_says_so(grammar: str) -> None:
    with pytest.raises(UsageError, match="grammar is"):
        compile_grammar(small(), grammar)


@pytest.mark.parametrize("choices", [[], [1], ["a"] * 10_001])
def test_choices_are_some_strings(choices: list[Any]) -> None:
    with pytest.raises(UsageError, match="strings to choose from"):
        compile_choice(small(), choices)


def test_what_takes_too_long_to_prepare_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    late = threading.Event()
    monkeypatch.setattr(structured, "COMPILE_SECONDS", 0.01)
    monkeypatch.setattr(structured, "_matcher", lambda *given: late.wait(60))
    try:
        with pytest.raises(UsageError, match="takes more than 0"):
            compile_regex(small(), "too slow")
    finally:
        late.set()


def test_what_was_compiled_is_kept_and_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Tokenizer(core(), {"eos_token": "<|im_end|>"})
    first = compile_regex(tokenizer, "[ab]{2}")
    first.accept(tokenizer.encode("a")[0])
    compiled: list[object] = []
    monkeypatch.setattr(structured, "_matcher", lambda *given: compiled.append(given))
    again = compile_regex(tokenizer, "[ab]{2}")
    assert not compiled
    assert again.mask().nonzero()[0].tolist() == compile_regex(tokenizer, "[ab]{2}").mask().nonzero()[0].tolist()
    assert tokenizer.encode("a")[0] in again.mask().nonzero()[0]


@pytest.mark.parametrize("name", ["object", "map", "string", "enum-typed", "any-of"])
@pytest.mark.parametrize("kind", ["llama2", "gemma", "byte-level"])
def test_random_output_of_other_kinds_of_tokenizer(kind: str, name: str) -> None:
    """Spaces written as a mark, characters in byte tokens; what they encode is not always what was given."""
    check(name, word_level(kind), 5)


def test_every_tokenizer_is_taken_or_refused() -> None:
    with pytest.raises(UsageError, match="fixed bytes"):
        compile_regex(word_level("bpe"), "a")
    tokenizer = tiny_tokenizer()
    follow(compile_regex(tokenizer, "[a-z ]+[?.]"), tokenizer, "so be it.")
    with pytest.raises(UsageError, match="stop token"):
        compile_regex(Tokenizer(core(), {}), "a")


def test_a_tokenizer_that_is_gone_takes_its_grammars_along() -> None:
    tokenizer = Tokenizer(core(), {"eos_token": "<|im_end|>"})
    compile_regex(tokenizer, "a", after=THINK)
    gone = weakref.ref(tokenizer)
    del tokenizer
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("mark", ["", "x" * 65])
def test_a_mark_has_some_characters(mark: str) -> None:
    with pytest.raises(UsageError, match="1 to 64 characters"):
        compile_regex(small(), "a", after=mark)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(UsageError, match=r"whetstone-lab\[serve\]"):
        compile_regex(Tokenizer(core(), {"eos_token": "<|im_end|>"}), "a")
