"""A line for a shell that asks one operation of an OpenAPI document."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any
from urllib.parse import quote, urlencode

from quantum_trader.serve.service.schema_words import Schema, example, resolve

HERE = "http://127.0.0.1:8000"
"""Where the service stands unless told otherwise."""
_ADDRESS = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:\d+)?(/[A-Za-z0-9._~/-]*)?")


def safe_address(address: str) -> str:
    """The address, or `HERE`: a Host header may hold anything, and what is shown is pasted into a shell."""
    return address if _ADDRESS.fullmatch(address) else HERE


def curl_line(schema: Schema, path: str, method: str, operation: Schema, base: str) -> str:
    """The command with an example of what the operation needs; a key comes from the environment.

    Args:
        schema: the whole document.
        path: template of the operation's path, e.g. "/v1/decisions/{symbol}".
        method: e.g. "post".
        operation: its entry in the document.
        base: address of the service, checked by `safe_address`.
    """
    address = base + _filled(schema, path, operation)
    lines = [f"curl {'' if method == 'get' else f'-X {method.upper()} '}{shlex.quote(address)}"]
    if operation.get("security", schema.get("security")):
        lines.append('-H "X-API-Key: $QUANTUM_TRADER_API_KEY"')
    model = body_schema(resolve(schema, operation.get("requestBody", {})))
    if model is not None:
        lines.append("-H 'Content-Type: application/json'")
        lines.append(f"-d {shlex.quote(json.dumps(example(schema, model)))}")
    return " \\\n  ".join(lines)


def body_schema(item: Schema) -> Schema | None:
    """Schema of the JSON that a request or an answer carries; None where it carries none."""
    content = item.get("content", {}).get("application/json")
    found: Schema | None = content.get("schema") if content else None
    return found


def _filled(schema: Schema, path: str, operation: Schema) -> str:
    query: dict[str, Any] = {}
    for parameter in (resolve(schema, item) for item in operation.get("parameters", [])):
        name = parameter["name"]
        value = example(schema, parameter.get("schema", {}), name=name)
        if parameter.get("in") == "path":
            path = path.replace(f"{{{name}}}", quote(str(value)))
        elif parameter.get("in") == "query" and parameter.get("required"):
            query[name] = value
    return path + (f"?{urlencode(query)}" if query else "")
