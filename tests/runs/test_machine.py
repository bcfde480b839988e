import torch

from whetstone.runs import machine


def test_a_speed_is_work_over_the_quickest_time(monkeypatch) -> None:
    moved = []

    def best_time(work, seconds, wait) -> float:
        done = work()
        moved.append(done)
        return 2.0 if len(moved) == 3 else 1.0  # the first of the two ways of reading is the slower

    monkeypatch.setattr(machine, "_best_time", best_time)
    speed = machine.measure(seconds=0)
    assert speed.matmul == 2 * 1024**3 / 1e9
    assert speed.bandwidth == 2 * 256 * 2**20 / 1e9 and speed.read == 512 * 2**20 / 1e9
    product, copied, total, dot = moved
    assert product[0, 0] == 1024 and copied.numel() == 2**26
    # both ways of reading see every number: there are as many ones as they add up to
    assert total == dot == 2**27


def test_measured_speeds_are_positive_and_finite() -> None:
    torch.set_num_threads(1)
    speed = machine.measure(seconds=0.01)
    assert all(0 < value < 1e6 for value in (speed.matmul, speed.bandwidth, speed.read))
