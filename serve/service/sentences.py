"""What is wrong with a request, in one sentence: where the first fault lies and what was expected there.

The value sent is not quoted: it may be anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SYMBOL_WORDS = "letters and digits, with any of _ ^ $ # @ = + & - and single . / : between them"

_EXPECTED = {
    "missing": "is missing",
    "dict_type": "expected an object",
    "model_type": "expected an object",
    "model_attributes_type": "expected an object",
    "list_type": "expected a list",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "finite_number": "expected a finite number",
    "bool_parsing": "expected true or false",
    "string_type": "expected text",
    "string_unicode": "expected Unicode text",
    "string_pattern_mismatch": f"expected a name: {SYMBOL_WORDS}",
}
"""By pydantic's names of its errors; others speak for themselves."""


def sentence(errors: Sequence[Mapping[str, Any]]) -> str:
    """The first of pydantic's errors, and how many more there are."""
    if not errors:
        return "The request is not as described: see /docs."
    first = errors[0]
    kind, place = str(first.get("type")), _place(first)
    if kind == "extra_forbidden":
        return f"{place}: unknown field; see /docs for those that are known."
    if kind in ("model_attributes_type", "missing") and not place:
        return "The body must be a JSON object sent with Content-Type: application/json."
    words = _words(first, kind, place)
    more = f" ({len(errors) - 1} more like this)" if len(errors) > 1 else ""
    return f"{place}: {words}{more}." if place else f"{words}{more}."


def _place(error: Mapping[str, Any]) -> str:
    """ "bars.BTCUSDT.open"."""
    left_out = ("body", "query", "path", "[key]")
    return ".".join(str(part) for part in error.get("loc", ()) if part not in left_out)


def _words(error: Mapping[str, Any], kind: str, place: str) -> str:
    if kind in ("greater_than_equal", "less_than_equal") and place.endswith("timestamp"):
        unit = "seconds" if kind == "greater_than_equal" else "microseconds"
        return f"expected milliseconds since the epoch, found what may be {unit}"
    limits = error.get("ctx", {})
    if kind == "too_short":
        return f"expected at least {limits.get('min_length', 1)}, found {limits.get('actual_length', 0)}"
    if kind == "string_too_long":
        return f"expected at most {limits.get('max_length')} characters"
    return _EXPECTED.get(kind, str(error.get("msg", "is not as described")))
