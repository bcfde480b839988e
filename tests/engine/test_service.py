"""One thread for the engines: many threads ask, stop asking, fail, and the rest is served on."""

from __future__ import annotations

import random
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
import torch

from tests.tiny import tiny_model
from whetstone.engine.engine import Engine
from whetstone.engine.protocol import Completion, Request, SamplingParams, TopLogprobs
from whetstone.engine.service import Busy, Service


class Waiter:
    """Collects a request's completions for a waiting thread; fails at a token where told to."""

    def __init__(self, members: int, fails_at: int | None = None) -> None:
        self.future: Future[list[Completion]] = Future()
        self._found: dict[int, Completion] = {}
        self._members, self._fails_at = members, fails_at
        self.seen = 0

    def token(self, member: int, token: int, logprob: float, top: TopLogprobs | None) -> bool:
        self.seen += 1
        if self.seen == self._fails_at:
            raise RuntimeError("this listener is broken")
        return False

    def finished(self, member: int, completion: Completion) -> None:
        self._found[member] = completion
        if len(self._found) == self._members:
            self.future.set_result([self._found[each] for each in range(self._members)])


@pytest.fixture
def service():  # type: ignore[no-untyped-def]
    made = Service(max_waiting=64)
    yield made
    made.close(patience=5)
    assert not made.alive


def test_many_threads_get_their_own_answers(service: Service) -> None:
    engines = [Engine(tiny_model(seed=seed)) for seed in (1, 2)]
    for engine in engines:
        service.attach(engine)
    params = SamplingParams(10, 0.8)

    def ask(i: int) -> None:
        request = Request(tuple(random.Random(i).choices(range(84), k=1 + i % 9)), (i, i + 1))
        waiter = Waiter(2)
        service.submit(engines[i % 2], request, params, waiter)
        found = waiter.future.result(timeout=60)
        [expected] = Engine(tiny_model(seed=1 + i % 2)).sample([request], params)
        assert [each.ids for each in found] == [each.ids for each in expected]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(40)))
    assert service.open == 0 and all(engine.pool.used == 0 for engine in engines)


def test_cancelling_frees_the_place_at_once(service: Service) -> None:
    engine = Engine(tiny_model(seed=1))
    service.attach(engine)
    waiter = Waiter(2)
    ticket = service.submit(engine, Request((1, 2), (0, 1)), SamplingParams(100_000), waiter)
    ticket.cancel()
    ticket.cancel()
    assert {each.finish for each in waiter.future.result(timeout=10)} == {"cancelled"}
    service.call(lambda: None).result()
    assert service.open == 0 and engine.pool.used == 0


def test_a_full_queue_refuses(service: Service) -> None:
    engine = Engine(tiny_model(seed=1))
    service.attach(engine)
    service.max_waiting = 2
    waiters = [Waiter(1), Waiter(1)]
    tickets = [service.submit(engine, Request((1,), (0,)), SamplingParams(100_000), waiter) for waiter in waiters]
    with pytest.raises(Busy, match="busy"):
        service.submit(engine, Request((1,), (0,)), SamplingParams(1), Waiter(1))
    with pytest.raises(ValueError, match="0 to 83"):
        service.submit(engine, Request((84,), (0,)), SamplingParams(1), Waiter(1))
    for ticket in tickets:
        ticket.cancel()
    for waiter in waiters:
        waiter.future.result(timeout=10)
    last = Waiter(1)
    service.submit(engine, Request((1,), (0,)), SamplingParams(1), last)
    assert last.future.result(timeout=10)[0].finish == "length"


def test_a_broken_listener_harms_nobody_else(service: Service) -> None:
    engine = Engine(tiny_model(seed=1))
    service.attach(engine)
    broken, whole = Waiter(1, fails_at=3), Waiter(1)
    for waiter in (broken, whole):
        service.submit(engine, Request((1, 2), (0,)), SamplingParams(12), waiter)
    assert len(whole.future.result(timeout=10)[0].ids) == 12
    service.call(lambda: None).result()
    assert service.open == 0 and broken.seen == 3


def test_a_broken_model_fails_its_requests_and_can_be_mended(service: Service) -> None:
    model = tiny_model(seed=1)
    engine, other = Engine(model), Engine(tiny_model(seed=2))
    for each in (engine, other):
        service.attach(each)
    weight = model.layers[0].channel.down.weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.fill_(float("nan"))
    waiter = Waiter(1)
    service.submit(engine, Request((1, 2), (0,)), SamplingParams(5), waiter)
    assert waiter.future.result(timeout=10)[0].finish == "error"
    fine = Waiter(1)
    service.submit(other, Request((1, 2), (0,)), SamplingParams(5), fine)
    assert fine.future.result(timeout=10)[0].finish == "length"
    with torch.no_grad():
        weight.copy_(kept)
    again = Waiter(1)
    service.submit(engine, Request((1, 2), (0,)), SamplingParams(5), again)
    [[expected]] = Engine(tiny_model(seed=1)).sample([Request((1, 2), (0,))], SamplingParams(5))
    assert again.future.result(timeout=10)[0].ids == expected.ids


def test_detaching_an_engine_ends_its_requests(service: Service) -> None:
    engine = Engine(tiny_model(seed=1))
    service.attach(engine)
    waiter = Waiter(1)
    service.submit(engine, Request((1,), (0,)), SamplingParams(100_000), waiter)
    service.detach(engine)
    assert waiter.future.result(timeout=10)[0].finish == "cancelled"
    assert service.engines == []


@pytest.mark.parametrize(("tokens", "patience", "finished"), [(30, 30.0, True), (100_000, 0.05, False)])
def test_closing_finishes_what_runs_or_cancels_it(tokens: int, patience: float, finished: bool) -> None:
    service = Service()
    engine = Engine(tiny_model(seed=1))
    service.attach(engine)
    waiter = Waiter(1)
    service.submit(engine, Request((1,), (0,)), SamplingParams(tokens), waiter)
    refused = threading.Event()

    def close() -> None:
        assert service.close(patience) is finished
        refused.set()

    closer = threading.Thread(target=close)
    closer.start()
    closer.join(timeout=40)
    assert refused.is_set()
    assert waiter.future.result(timeout=1)[0].finish == ("length" if finished else "cancelled")
    with pytest.raises(Busy, match="shutting down"):
        service.submit(engine, Request((1,), (0,)), SamplingParams(1), Waiter(1))


class Unforkable:
    """A constraint that cannot even begin."""

    def mask(self) -> np.ndarray:
        return np.ones(84, dtype=bool)

    def accept(self, token: int) -> None:
        pass

    def fork(self) -> Unforkable:
        raise RuntimeError("not twice")


def test_a_request_that_cannot_be_queued_is_told_and_frees_its_place(service: Service) -> None:
    engine = Engine(tiny_model(seed=1))
    service.attach(engine)
    waiter = Waiter(2)
    service.submit(engine, Request((1,), (0, 1)), SamplingParams(5, constraint=Unforkable()), waiter)
    assert {each.finish for each in waiter.future.result(timeout=10)} == {"error"}
    service.call(lambda: None).result()
    assert service.open == 0 and engine.idle


def test_a_panic_in_a_step_ends_what_runs_and_not_the_thread(service: Service) -> None:
    engine = Engine(tiny_model(seed=1))
    service.attach(engine)
    run = engine.runner.run

    def panic(step: object) -> object:
        engine.runner.run = run  # type: ignore[method-assign]
        raise BaseException("panic")

    engine.runner.run = panic  # type: ignore[method-assign,assignment]
    first, second = Waiter(1), Waiter(1)
    service.submit(engine, Request((1,), (0,)), SamplingParams(5), first)
    assert first.future.result(timeout=10)[0].finish == "error"
    service.submit(engine, Request((1,), (0,)), SamplingParams(5), second)
    assert second.future.result(timeout=10)[0].finish == "length" and service.alive


def test_work_that_was_called_off_is_not_begun(service: Service) -> None:
    held, begun = threading.Event(), threading.Event()
    service.post(lambda: held.wait(10) and None)
    called = service.call(begun.set)
    assert called.cancel()
    held.set()
    service.call(lambda: None).result(timeout=10)
    assert not begun.is_set()


def test_nobody_waits_for_a_service_that_has_closed() -> None:
    service = Service()
    service.close(0)
    with pytest.raises(Busy, match="shutting down"):
        service.call(lambda: None).result(timeout=5)
