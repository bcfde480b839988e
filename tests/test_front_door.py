"""`import whetstone as wh` offers what it says."""

import whetstone as wh


def test_every_name_is_there() -> None:
    for name in wh.__all__:
        assert getattr(wh, name) is not None, name
    assert set(wh.__all__) == set(wh._HOME)
