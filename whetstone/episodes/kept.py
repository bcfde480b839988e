"""A page's content as plain JSON and back, for stores and for other programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter, ValidationError

from whetstone.episodes.content import Content
from whetstone.errors import WorkFailed

_CONTENT = TypeAdapter(Content)


def plain(content: Content) -> dict[str, Any]:
    """What `json.dumps` takes; `content` reads it again."""
    return asdict(content)


def content(told: Mapping[str, Any]) -> Content:
    """The content that `plain` told of. Raises WorkFailed for anything else."""
    try:
        return _CONTENT.validate_python(told)
    except ValidationError as failure:
        first = failure.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise WorkFailed(f"what was kept of a page cannot be read ({where}: {first['msg']}): make it again") from None
