"""The engine's words are the model's own: its log-probabilities, its greedy text, whatever else is in the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from tests.tiny import tiny_folder, tiny_model
from whetstone.engine.engine import Engine
from whetstone.engine.native import reason
from whetstone.engine.protocol import Completion, Request, SamplingParams
from whetstone.engine.step import BLOCK, Step
from whetstone.engine.torch_runner import TorchRunner
from whetstone.errors import WorkFailed
from whetstone.models.decoder import Decoder, Linear
from whetstone.models.loading import load
from whetstone.models.lora import apply_lora, lora_parameters
from whetstone.models.packing import TokenTrie

STOP = frozenset(range(1, 12))  # a random model of 84 tokens meets one of eleven every eight tokens or so
PARAMS = SamplingParams(max_new_tokens=12, stop_ids=STOP)
WINDOWS = {"windows": (4, None)}


@pytest.fixture(autouse=True, params=["torch", "kernel"])
def runner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything here holds for plain torch and for what the engine chooses by itself: the CPU kernel, where it is."""
    if request.param == "torch":
        monkeypatch.setattr("whetstone.engine.engine.runner_for", lambda model: TorchRunner)
    elif (missing := reason()) is not None:
        pytest.skip(missing)


def some_requests(prompts: int = 5, group: int = 4) -> list[Request]:
    """Prompts of unlike lengths, some with a common opening, one of a single token."""
    generator = torch.Generator().manual_seed(prompts)
    requests = []
    for p in range(prompts):
        ids = torch.randint(0, 84, (1 + 3 * p,), generator=generator).tolist()
        opening = [] if p % 2 == 0 else [7, 7, 7, 9]
        requests.append(Request((*opening, *ids), tuple(1000 * p + member for member in range(group))))
    return requests


@torch.no_grad()
def full_logprobs(model: Decoder, prompt: Sequence[int], ids: Sequence[int], temperature: float = 1.0) -> Tensor:
    """Log-probabilities [T, V] at each place of `ids`, by a forward pass over the whole sequence, without a cache."""
    tree = TokenTrie([[*prompt, *ids]])
    hidden_ND = model(tree.ids_N, tree.positions_N, tree)[len(prompt) - 1 : -1]
    return torch.log_softmax(model.logits(hidden_ND).double() / temperature, -1)


def flat(groups: Sequence[Sequence[Completion]]) -> list[Completion]:
    return [completion for group in groups for completion in group]


def assert_same(ours: Sequence[Sequence[Completion]], theirs: Sequence[Sequence[Completion]]) -> None:
    """Ids and finish reasons are equal, log-probabilities to float noise (rounding depends on a product's shape)."""
    assert [len(group) for group in ours] == [len(group) for group in theirs]
    for one, other in zip(flat(ours), flat(theirs), strict=True):
        assert (one.ids, one.finish) == (other.ids, other.finish)
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)


@pytest.mark.parametrize("changes", [{}, WINDOWS, {"family": "llama", "tied": False}], ids=["full", "window", "llama"])
@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_logprobs_equal_a_fresh_full_forward(changes: dict[str, object], temperature: float) -> None:
    model = tiny_model(seed=1, **changes)
    requests = some_requests()
    params = SamplingParams(12, temperature, STOP)
    for request, group in zip(requests, Engine(model, max_rows=7).sample(requests, params), strict=True):
        for completion in group:
            # greedy reports the model's own probability, at temperature 1
            expected_TV = full_logprobs(model, request.prompt_ids, completion.ids, temperature or 1.0)
            expected_T = expected_TV.gather(1, torch.tensor(completion.ids)[:, None])[:, 0]
            torch.testing.assert_close(torch.tensor(completion.logprobs).double(), expected_T, rtol=0, atol=1e-5)
            if temperature == 0.0:
                assert expected_TV.argmax(-1).tolist() == list(completion.ids)


@pytest.fixture(scope="module", params=[{}, WINDOWS], ids=["full", "window"])
def model(request: pytest.FixtureRequest) -> Decoder:
    return tiny_model(seed=2, **request.param)


@pytest.fixture(scope="module")
def sampled(model: Decoder) -> list[list[Completion]]:
    return Engine(model).sample(some_requests(), PARAMS)


@pytest.mark.parametrize("max_rows", [1, 3, 128])
def test_batch_size_changes_nothing(model: Decoder, sampled: list[list[Completion]], max_rows: int) -> None:
    """With one row at a time every answer has a prompt pass of its own: forking a group's cache equals that."""
    assert_same(Engine(model, max_rows).sample(some_requests(), PARAMS), sampled)


def test_order_of_requests_changes_nothing(model: Decoder, sampled: list[list[Completion]]) -> None:
    order = [3, 0, 4, 2, 1]
    requests = some_requests()
    mixed = Engine(model, max_rows=6).sample([requests[r] for r in order], PARAMS)
    assert_same(mixed, [sampled[r] for r in order])


def test_composition_of_groups_changes_nothing(model: Decoder, sampled: list[list[Completion]]) -> None:
    """A group is a saving, not a meaning: one prompt asked for four answers equals four prompts asked for one."""
    requests = some_requests()
    apart = [Request(request.prompt_ids, (seed,)) for request in requests for seed in request.seeds]
    assert_same(Engine(model).sample(apart, PARAMS), [[one] for one in flat(sampled)])
    turned = [Request(request.prompt_ids, request.seeds[::-1]) for request in requests]
    assert_same(Engine(model).sample(turned, PARAMS), [group[::-1] for group in sampled])
    larger = [Request(request.prompt_ids, (*request.seeds, 77, 78)) for request in requests]
    assert_same([group[:4] for group in Engine(model).sample(larger, PARAMS)], sampled)


def test_other_requests_change_nothing(model: Decoder, sampled: list[list[Completion]]) -> None:
    for request, group in zip(some_requests(), sampled, strict=True):
        assert_same(Engine(model).sample([request], PARAMS), [group])


@pytest.mark.parametrize("blocks", [2, 3, 5, 9])
def test_a_small_cache_pushes_branches_out_with_the_same_result(
    model: Decoder, sampled: list[list[Completion]], blocks: int
) -> None:
    engine = Engine(model, cache_bytes=blocks * BLOCK * model.config.kv_bytes_per_token)
    assert engine.pool.count == blocks
    assert_same(engine.sample(some_requests(), PARAMS), sampled)
    assert engine.pool.used == 0 and (engine.stats.preemptions > 0 or blocks == 9)
    whole_cache = tuple(range(5 * 3)), blocks * BLOCK - 15
    engine.sample([Request(whole_cache[0], (1,))], SamplingParams(whole_cache[1]))
    with pytest.raises(ValueError, match="the cache holds"):
        engine.sample([Request(whole_cache[0], (1,))], SamplingParams(whole_cache[1] + 1))


@pytest.mark.parametrize("chunk", [1, 3, 7])
def test_prompts_in_chunks_change_nothing(model: Decoder, sampled: list[list[Completion]], chunk: int) -> None:
    engine = Engine(model, chunk=chunk)
    passes = rows_through(engine, lambda: assert_same(engine.sample(some_requests(), PARAMS), sampled))
    assert max(passes) <= 20 + chunk


def rows_through(engine: Engine, work: Callable[[], object]) -> list[int]:
    """How many tokens were computed in each step."""
    passes: list[int] = []
    run = engine.runner.run

    def counted(step: Step) -> Tensor:
        passes.append(step.rows)
        return run(step)

    engine.runner.run = counted  # type: ignore[method-assign]
    try:
        work()
    finally:
        engine.runner.run = run  # type: ignore[method-assign]
    return passes


def test_a_prompt_is_computed_once_for_its_group(model: Decoder) -> None:
    request = Request(tuple(range(20, 40)), tuple(range(16)))
    once = SamplingParams(1)
    engine = Engine(model)
    assert rows_through(engine, lambda: engine.sample([request], once)) == [20]
    # full blocks of a common opening are computed once, in the very step in which the first prompt computes them
    same_opening = [Request((*range(20, 39), end), (1, 2, 3)) for end in (50, 51, 52)]
    engine = Engine(model)
    assert rows_through(engine, lambda: engine.sample(same_opening, once)) == [20 + 4 + 4]
    engine = Engine(model)
    assert rows_through(engine, lambda: engine.sample([request, request], once)) == [20 + 4]
    engine = Engine(model)
    assert rows_through(engine, lambda: [engine.sample([request], once) for _ in range(3)]) == [20, 4, 4]
    assert engine.stats.cached_tokens == 2 * BLOCK


def test_what_sequences_have_in_common_is_computed_once(model: Decoder) -> None:
    """Sequences of a group that have chosen the same tokens so far are one row, and finished ones are none."""
    request = Request((30, 31, 32), tuple(range(64)))
    params = SamplingParams(24, stop_ids=STOP)
    groups: list[list[Completion]] = []
    engine = Engine(model)
    passes = rows_through(engine, lambda: groups.extend(engine.sample([request], params)))
    prompt, *steps = passes
    running = [[c.ids[:place] for c in groups[0] if len(c.ids) > place] for place in range(1, len(steps) + 1)]
    assert prompt == 3 and steps == [len(set(each)) for each in running]
    assert sum(steps) < sum(len(each) for each in running), "the test needs answers that begin alike"
    engine = Engine(model)
    greedy = rows_through(engine, lambda: engine.sample([request], SamplingParams(24, 0.0)))
    assert greedy == [3, *[1] * 23]


def test_stop_ids_end_an_answer(model: Decoder, sampled: list[list[Completion]]) -> None:
    finishes = set()
    for completion in flat(sampled):
        finishes.add(completion.finish)
        assert len(completion.ids) == len(completion.logprobs) <= 12
        assert not STOP & set(completion.ids[:-1])
        assert (completion.ids[-1] in STOP) == (completion.finish == "stop")
        assert completion.finish == "stop" or len(completion.ids) == 12
    assert finishes == {"stop", "length"}
    # stopping only cuts: what came before is what would have come anyway
    free = Engine(model).sample(some_requests(), SamplingParams(12))
    for one, other in zip(flat(sampled), flat(free), strict=True):
        assert one.ids == other.ids[: len(one.ids)] and other.finish == "length"


def test_a_stop_id_in_the_last_place_counts_as_a_stop(model: Decoder, sampled: list[list[Completion]]) -> None:
    place, member = next(
        (place, member)
        for place, group in enumerate(sampled)
        for member, one in enumerate(group)
        if one.finish == "stop" and len(one.ids) > 1
    )
    request, wanted = some_requests()[place], sampled[place][member]
    alone = [Request(request.prompt_ids, (request.seeds[member],))]
    [[exact]] = Engine(model).sample(alone, SamplingParams(len(wanted.ids), stop_ids=STOP))
    assert (exact.ids, exact.finish) == (wanted.ids, "stop")
    [[shorter]] = Engine(model).sample(alone, SamplingParams(len(wanted.ids) - 1, stop_ids=STOP))
    assert (shorter.ids, shorter.finish) == (wanted.ids[:-1], "length")


def test_progress_counts_finished_answers(model: Decoder) -> None:
    seen: list[tuple[int, int]] = []
    Engine(model, max_rows=6).sample(some_requests(), PARAMS, lambda done, wanted: seen.append((done, wanted)))
    done = [count for count, _ in seen]
    assert {wanted for _, wanted in seen} == {20} and done == sorted(done) and done[-1] == 20


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("qwen3", {}),
        ("llama", {"tied": False}),
        ("qwen3", {"windows": (5, None)}),
        ("mistral", {"windows": (3, 3), "qk_norm": "none"}),
    ],
    ids=["qwen3", "llama", "qwen3-window", "mistral-window"],
)
def test_greedy_text_equals_that_of_transformers(family: str, changes: dict[str, object], tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model", seed=5, family=family, **changes)
    loaded = load(str(folder))
    theirs = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    stops = frozenset({1, *range(20, 24)})
    generator = torch.Generator().manual_seed(9)
    lengths = torch.randint(1, 16, (20,), generator=generator).tolist()
    prompts = [tuple(torch.randint(0, 84, (n,), generator=generator).tolist()) for n in lengths]
    params = SamplingParams(16, temperature=0.0, stop_ids=stops)
    ours = Engine(loaded.model).sample([Request(prompt, (0,)) for prompt in prompts], params)
    for prompt, [completion] in zip(prompts, ours, strict=True):
        written = theirs.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=16,
            do_sample=False,
            eos_token_id=sorted(stops),
            pad_token_id=0,
        )
        assert list(completion.ids) == written[0, len(prompt) :].tolist()
    assert {completion.finish for [completion] in ours} == {"stop", "length"}


def test_a_weight_update_is_visible_at_once() -> None:
    """No copy of the weights is held anywhere: the engine that was made before the update samples after it."""
    model = tiny_model(seed=3)
    engine = Engine(model)
    requests, greedy = some_requests(), SamplingParams(8, temperature=0.0)
    before = engine.sample(requests, greedy)
    assert {one.weight_version for one in flat(before)} == {0}
    with torch.no_grad():
        for parameter, fresh in zip(model.parameters(), tiny_model(seed=4).parameters(), strict=True):
            parameter.copy_(fresh)
    engine.weight_version = 7
    after = engine.sample(requests, greedy)
    assert {one.weight_version for one in flat(after)} == {7}
    assert [one.ids for one in flat(before)] != [one.ids for one in flat(after)]
    assert_same(after, Engine(tiny_model(seed=4)).sample(requests, greedy))


def test_adapters_are_honoured() -> None:
    model = tiny_model(seed=3)
    plain = Engine(model).sample(some_requests(), PARAMS)
    apply_lora(model, rank=2, alpha=4.0, seed=1)
    assert_same(Engine(model).sample(some_requests(), PARAMS), plain)  # a fresh adapter adds nothing
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in lora_parameters(model):
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    adapted = Engine(model).sample(some_requests(), PARAMS)
    assert [one.ids for one in flat(adapted)] != [one.ids for one in flat(plain)]
    for request, group in zip(some_requests(), adapted, strict=True):
        for completion in group:
            expected_TV = full_logprobs(model, request.prompt_ids, completion.ids)
            expected = expected_TV.gather(1, torch.tensor(completion.ids)[:, None])[:, 0].tolist()
            assert completion.logprobs == pytest.approx(expected, abs=1e-5)


def test_narrow_activations_leave_the_weights_as_they_were() -> None:
    model = tiny_model(seed=3)
    wide = Engine(model).sample(some_requests(), SamplingParams(1))
    model.compute_dtype = torch.bfloat16
    narrow = Engine(model).sample(some_requests(), SamplingParams(1))
    assert all(module.narrow is None for module in model.modules() if isinstance(module, Linear))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    near = [
        abs(one.logprobs[0] - other.logprobs[0])
        for one, other in zip(flat(wide), flat(narrow), strict=True)
        if one.ids == other.ids
    ]
    assert len(near) >= 15 and 0 < max(near) < 0.1


def test_sampling_needs_no_gradient_and_leaves_the_model_trainable() -> None:
    model = tiny_model(seed=3)
    Engine(model).sample(some_requests(), PARAMS)
    assert all(parameter.grad is None and not parameter.is_inference() for parameter in model.parameters())
    tree = TokenTrie([[5, 6, 7]])
    model.logits(model(tree.ids_N, tree.positions_N, tree)).sum().backward()
    assert isinstance(model.embed.weight, nn.Parameter) and model.embed.weight.grad is not None


def test_nothing_asked_nothing_answered(model: Decoder) -> None:
    assert Engine(model).sample([], PARAMS) == []
    assert Engine(model).sample([Request((5,), ())], PARAMS) == [[]]
    mixed = Engine(model).sample([Request((5,), ()), Request((6, 7), (1, 2)), Request((5,), ())], PARAMS)
    assert [len(group) for group in mixed] == [0, 2, 0]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_model_that_answers_no_number_is_one_clear_line(bad: float, temperature: float) -> None:
    model = tiny_model(seed=3)
    with torch.no_grad():
        model.layers[1].channel.down.weight[0, 0] = bad
    with pytest.raises(WorkFailed, match="not a number"):
        Engine(model).sample(some_requests(), SamplingParams(4, temperature))


def test_bad_arguments(model: Decoder) -> None:
    engine = Engine(model)
    with pytest.raises(ValueError, match="every request needs a token"):
        engine.sample([Request((5,), (1,)), Request((), (1,))], PARAMS)
    for room in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            engine.sample([Request((5,), (1,))], SamplingParams(room))
