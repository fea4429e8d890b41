"""Errors as clients see them: a status, a stable code and one sentence, never a traceback."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LONGEST_MESSAGE = 500

JSON_TYPE = (b"content-type", b"application/json")


@dataclass(kw_only=True)
class ServiceError(Exception):
    """Stops a request with an answer in the error schema."""

    status: int
    code: str
    """Stable identifier for programs, e.g. "rate_limited"."""
    message: str
    """One sentence for people."""
    headers: dict[str, str] = field(default_factory=dict)
    """Further response headers."""

    def __str__(self) -> str:
        return self.message


def overloaded(message: str, *, retry_after_s: int = 1) -> ServiceError:
    """503 with Retry-After: asking again soon can succeed."""
    headers = {"retry-after": str(retry_after_s)}
    return ServiceError(status=503, code="overloaded", message=message, headers=headers)


def stopping() -> ServiceError:
    """503: this process will answer nothing more."""
    return ServiceError(
        status=503, code="stopping", message="The service is shutting down.", headers={"retry-after": "5"}
    )


def error_body(code: str, message: str) -> bytes:
    """The error schema as ASCII JSON: whatever a client sent and the message quotes can be encoded."""
    if len(message) > LONGEST_MESSAGE:
        message = message[:LONGEST_MESSAGE] + " ..."
    return json.dumps({"error": {"code": code, "message": message}}).encode("ascii")


def json_body(value: Any) -> bytes:
    """Compact JSON; a number that is not finite is a fault of the caller's (see `to_json`)."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def header_pairs(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI has them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    421: "misdirected",
    422: "invalid",
    429: "rate_limited",
    500: "internal",
    503: "unavailable",
}
"""Code by status, where nothing more exact is known."""
