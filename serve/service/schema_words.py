"""JSON schemas in words, and an example of what fits one."""

from __future__ import annotations

import json
from typing import Any

Schema = dict[str, Any]

_LONGEST_CHAIN = 6
"""References to references that are followed: a chain may be a circle."""
_LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "minProperties": "at least {} entries",
    "maxProperties": "at most {} entries",
    "pattern": "matches {}",
}
_NAMES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
}
_SIMPLE: dict[str, Any] = {"integer": 0, "number": 0.0, "string": "text", "boolean": True, "null": None}


def resolve(schema: Schema, item: Schema) -> Schema:
    """The object itself where `item` only refers to one in `schema`."""
    for _ in range(_LONGEST_CHAIN):
        reference = item.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return item
        found: Any = schema
        for part in reference[2:].split("/"):
            found = (
                found.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, dict) else {}
            )
        item = found
    return item


def required_names(model: Schema) -> frozenset[str]:
    """Fields that may not be left out."""
    return frozenset(model.get("required", ()))


def type_words(schema: Schema, item: Schema) -> str:
    """The type of a value in words, e.g. "number or null", "list of BarIn", "map of text to number"."""
    if "$ref" in item:
        return str(item["$ref"]).rpartition("/")[2]
    if "const" in item:
        return json.dumps(item["const"])
    if "enum" in item:
        return "one of " + ", ".join(json.dumps(value) for value in item["enum"])
    choices = item.get("anyOf") or item.get("oneOf") or item.get("allOf")
    if choices:
        return " or ".join(dict.fromkeys(type_words(schema, choice) for choice in choices))
    kind = item.get("type")
    if isinstance(kind, list):
        return " or ".join(type_words(schema, {**item, "type": name}) for name in kind)
    if kind == "array":
        entries = item.get("prefixItems")
        if entries:
            return "list of " + ", ".join(type_words(schema, entry) for entry in entries)
        return f"list of {type_words(schema, item.get('items', {}))}"
    if kind == "object":
        entry = _entry(item)
        return "object" if entry is None else f"map of text to {type_words(schema, entry)}"
    return _NAMES.get(str(kind), "any value")


def constraints(item: Schema) -> str:
    """Limits and default of a value in words; empty where it has none."""
    found = [words.format(item[key]) for key, words in _LIMITS.items() if key in item]
    for choice in item.get("anyOf", ()):
        inner = constraints(choice)
        found += [inner] if inner else []
    if "default" in item:
        found.append(f"default {json.dumps(item['default'])}")
    return "; ".join(found)


def example(schema: Schema, item: Schema, *, name: str = "", within: tuple[str, ...] = ()) -> Any:
    """A value that fits `item`: its own example or default where it has one.

    Args:
        schema: the document that references point into.
        item: the schema of the value.
        name: of the field, for texts that are better shown than "text".
        within: references that the value lies within: a record that holds itself ends there.
    """
    if "$ref" in item:
        within = (*within, str(item["$ref"]))
        item = resolve(schema, item)
    if item.get("examples"):
        return _in_order(schema, item, item["examples"][0])
    for key in ("example", "const", "default"):
        if item.get(key) is not None:
            return item[key]
    if "enum" in item:
        return item["enum"][0]
    choices = item.get("anyOf") or item.get("oneOf") or item.get("allOf")
    if choices:
        ending = [choice for choice in choices if not _repeats(choice, within)]
        return example(schema, (ending or [{"type": "null"}])[0], name=name, within=within)
    return _made(schema, item, name, within)


def _made(schema: Schema, item: Schema, name: str, within: tuple[str, ...]) -> Any:
    kind = item["type"][0] if isinstance(item.get("type"), list) else item.get("type")
    if kind == "array":
        entries = item.get("prefixItems") or [item.get("items", {})]
        return [example(schema, entry, within=within) for entry in entries if not _repeats(entry, within)]
    if kind == "object":
        return _object(schema, item, within)
    if name == "symbol":
        return "BTCUSDT"
    if kind in ("integer", "number") and "minimum" in item:
        return int(item["minimum"]) if kind == "integer" else item["minimum"]
    return _SIMPLE.get(str(kind))


def _object(schema: Schema, item: Schema, within: tuple[str, ...]) -> dict[str, Any]:
    made = {
        field: example(schema, inner, name=field, within=within)
        for field, inner in item.get("properties", {}).items()
        if not _repeats(inner, within)
    }
    entry = _entry(item)
    if not made and entry is not None and not _repeats(entry, within):
        made = {"BTCUSDT": example(schema, entry, within=within)}
    return made


def _in_order(schema: Schema, item: Schema, value: Any) -> Any:
    """The example with its fields as the record lists them: pydantic sorts them by name."""
    item = resolve(schema, item)
    if isinstance(value, list):
        return [_in_order(schema, item.get("items", {}), entry) for entry in value]
    if not isinstance(value, dict):
        return value
    fields, other = item.get("properties", {}), _entry(item) or {}
    names = [name for name in fields if name in value] + [name for name in value if name not in fields]
    return {name: _in_order(schema, fields.get(name, other), value[name]) for name in names}


def _entry(item: Schema) -> Schema | None:
    """Schema of a map's values; None for an object that is no map."""
    # Keys with a pattern stand in an entry of their own.
    for found in (item.get("additionalProperties"), *item.get("patternProperties", {}).values()):
        if isinstance(found, dict):
            return found
    return None


def _repeats(item: Schema, within: tuple[str, ...]) -> bool:
    return item.get("$ref") in within
