"""What a client did wrong, or the server could not do, in the JSON shape of OpenAI's API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
}
LONGEST_QUOTE = 200  # characters of a client's own words in a message
RETRY_AFTER = "1"  # seconds, when the queue is full: answers end all the time


class ApiError(Exception):
    """Becomes an HTTP response with `status`; `param` names the field of the request that is wrong."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers = dict(headers or {})
        if status == 429:
            self.headers.setdefault("retry-after", RETRY_AFTER)

    @property
    def content(self) -> dict[str, Any]:
        """The body of the response."""
        kind = KINDS.get(self.status, "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    @property
    def body(self) -> bytes:
        """The same as JSON."""
        return json.dumps(self.content, ensure_ascii=False).encode("utf-8", "replace")


def bad(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """A request that can never be answered: 400."""
    return ApiError(400, message, code, param)


def shutting_down() -> ApiError:
    """For requests that come too late or could not be finished in time."""
    return ApiError(503, "the server is shutting down", "shutting_down")


def from_validation(failure: ValidationError) -> ApiError:
    """The first thing that is wrong with a request, in one line."""
    first = failure.errors(include_url=False, include_context=False, include_input=False)[0]
    kind, where = first["type"], _place(first["loc"])
    if kind == "json_invalid":
        return bad(f"the body is not JSON: {first['msg'].removeprefix('Invalid JSON: ')}", code="invalid_json")
    if kind == "extra_forbidden":
        return bad(f"unrecognized request argument supplied: {where}", where, "unknown_parameter")
    if kind == "missing":
        return bad(f"missing required parameter: {where}", where, "missing_required_parameter")
    message = first["msg"].removeprefix("Value error, ")
    return bad(f"invalid value for {where}: {message}" if where else message, where or None, "invalid_value")


def _place(loc: tuple[int | str, ...]) -> str:
    """messages.0.content; names of a union's branches, which are no part of the request, stay out."""
    parts = [str(part) for part in loc if not (isinstance(part, str) and ("[" in part or part in _BRANCHES))]
    return ".".join(parts)[:LONGEST_QUOTE]


_BRANCHES = {"str", "int", "float", "bool", "dict"}
