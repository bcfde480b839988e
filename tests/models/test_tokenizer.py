"""Text to ids and back, and chat templates: the same as transformers, inside a sandbox."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer

from whetstone.errors import UsageError
from whetstone.models.gguf_file import pre_tokenizer
from whetstone.models.tokenizer import Tokenizer

TEXTS = [
    "",
    " ",
    "What is 28 + 21? Reply with the number only.",
    "  leading,  double  and trailing  ",
    "tabs\tand\r\nlines\n\n\n  indented",
    "it's don't WE'LL I'd",
    "naïve café, cafe\u0301, Ångström, ﬁ",
    "你好，世界。こんにちは ４２ ٣",
    "😀👩‍👩‍👧‍👦🇫🇷",
    "1234567890 3.14159e-10 0x1F",
    "def f(x):\n    return x ** 2  # ok\n",
    "<|im_start|>not a chat<|im_end|>",
    "\u200bzero\u00a0width\ufeff",
]
CORPUS = [*TEXTS, "the cat sat on the mat. " * 20, "What is 2 + 2? The answer is 4. " * 20]


def core(pre: pre_tokenizers.PreTokenizer | None = None) -> tokenizers.Tokenizer:
    """A small trained byte-level BPE tokenizer."""
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre or pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|im_start|>", "<|im_end|>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(CORPUS, trainer)
    return made


# Both ways of writing a special token occur in published files.
END = {"__type": "AddedToken", "content": "<|im_end|>", "special": True}
SPECIAL = {"bos_token": "<|im_start|>", "eos_token": END, "pad_token": "<pad>"}
CHATML = (
    "{%- for message in messages %}\n"
    "    {{- '<|im_start|>' + message.role + '\\n' + message.content + eos_token }}\n"
    "{%- endfor %}\n{% if add_generation_prompt %}{{ bos_token }}assistant\n{% endif %}"
)
MESSAGES = [
    {"role": "system", "content": 'Be <brief> & "kind" — c\'est tout.'},
    {"role": "user", "content": "What is 28 + 21?"},
]


def make(template: Any = CHATML, **more: Any) -> Tokenizer:
    return Tokenizer(core(), {**SPECIAL, "chat_template": template, **more})


def theirs(template: str) -> PreTrainedTokenizerFast:
    special = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<pad>"}
    return PreTrainedTokenizerFast(tokenizer_object=core(), chat_template=template, **special)


@pytest.mark.parametrize("text", TEXTS)
def test_round_trip_and_same_ids_as_transformers(text: str) -> None:
    ours = make()
    assert ours.decode(ours.encode(text), keep_special=True) == text
    assert ours.encode(text) == theirs(CHATML).encode(text, add_special_tokens=False)


@pytest.mark.parametrize("text", [text for text in TEXTS if "<|" not in text])
def test_qwen_cut_of_gguf_files_is_that_of_transformers(text: str) -> None:
    made = core()
    parts = json.loads(made.to_str())["model"]
    qwen = Qwen2Tokenizer(vocab=parts["vocab"], merges=[tuple(m) for m in parts["merges"]])
    made.normalizer = tokenizers.normalizers.NFC()
    made.pre_tokenizer = pre_tokenizer("qwen2", Path("m.gguf"))
    assert made.encode(text, add_special_tokens=False).ids == qwen.encode(text, add_special_tokens=False)


TEMPLATES = [
    CHATML,
    "{{ messages | tojson }}|{{ messages | tojson(indent=2) }}|{{ tools is none }}",
    "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{% break %}{% endfor %}x",
    "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
    "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
    "{{ messages[0]['content'].split('&')[-1].strip() }}{{ unknown_name }}{{ pad_token }}",
    "{{ strftime_now('%Y') }}{% if enable_thinking is defined and not enable_thinking %}<think>{% endif %}",
    "  {% if true %}\n  x\n  {% endif %}\n  y  \n",
]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("opening", [True, False])
def test_templates_render_as_in_transformers(template: str, opening: bool) -> None:
    options: dict[str, Any] = {"add_generation_prompt": opening, "enable_thinking": False}
    expected = theirs(template).apply_chat_template(MESSAGES, tokenize=False, **options)
    assert make(template).render(MESSAGES, **options) == expected


def test_chat_ids_are_those_of_the_rendered_text() -> None:
    ours = make()
    ids = ours.chat_ids(MESSAGES)
    assert ours.decode(ids, keep_special=True) == ours.render(MESSAGES)
    assert ids[0] == ours.token_id("bos_token") and "<|im_start|>" not in ours.decode(ids)


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ range(10 ** 9) | list }}",
        "{{ messages[7].content.x }}",
        "{{ 1 / 0 }}",
        "{% if %}",
    ],
)
def test_a_template_that_fails_or_reaches_out_is_one_line(template: str) -> None:
    with pytest.raises(UsageError, match="chat template") as caught:
        make(template).render(MESSAGES)
    assert "\n" not in str(caught.value)


def test_no_template_says_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"chat_template\.jinja"):
        make(None).render(MESSAGES)


def test_named_templates_take_the_default_one() -> None:
    named = [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]
    assert make(named).render(MESSAGES) == "D"


def test_stop_ids_come_from_every_file_that_names_them(tmp_path: Path) -> None:
    make().save(tmp_path)
    im_end = Tokenizer.load(tmp_path).token_id("eos_token")
    assert Tokenizer.load(tmp_path).stop_ids == {im_end}
    (tmp_path / "config.json").write_text('{"eos_token_id": 9}')
    assert Tokenizer.load(tmp_path).stop_ids == {im_end, 9}
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [5, 6]}')
    assert Tokenizer.load(tmp_path).stop_ids == {im_end, 5, 6}
    assert make().pad_id == make().token_id("pad_token")


def test_save_and_load(tmp_path: Path) -> None:
    first = make(add_prefix_space=False)
    first.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.config == first.config and again.vocab_size == first.vocab_size
    assert [again.encode(text) for text in TEXTS] == [first.encode(text) for text in TEXTS]
    (tmp_path / "chat_template.jinja").write_text("from the file")
    assert Tokenizer.load(tmp_path).render(MESSAGES) == "from the file"
    fast = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert [fast.encode(text, add_special_tokens=False) for text in TEXTS] == [first.encode(text) for text in TEXTS]


def test_truncation_and_padding_of_the_file_are_switched_off(tmp_path: Path) -> None:
    cutting = core()
    cutting.enable_truncation(4)
    cutting.enable_padding(length=64)
    cutting.save(str(tmp_path / "tokenizer.json"))
    loaded = Tokenizer.load(tmp_path)
    assert loaded.decode(loaded.encode(TEXTS[2])) == TEXTS[2]


def test_missing_or_broken_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no tokenizer\.json"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        Tokenizer.load(tmp_path)
    make().save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[]")
    with pytest.raises(UsageError, match="JSON object"):
        Tokenizer.load(tmp_path)
