"""The main job: measure, train, measure again, and write the report.

The room has the name of its function, and importing a room puts it into the package under that name. So that
`wh.sharpen(...)` is a call before and after that, the room itself can be called.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """`pipeline.sharpen`."""
        from whetstone.sharpen.pipeline import sharpen

        return sharpen(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
